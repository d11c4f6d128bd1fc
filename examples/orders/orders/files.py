"""The attachments' contents: one file each, in one folder, named by the attachment's id.

The name that a client gives a file is a label in the database and never part of a path. Everything here
but `path` blocks.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from orders.contract import Attachment


class AttachmentFolder:
    """Where the contents lie.

    Args:
        folder: made by `open` where there is none.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, attachment: UUID) -> Path:
        """Where the content of an attachment lies, or will."""
        return self._folder / str(attachment)

    def open(self, known: Collection[UUID]) -> None:
        """Make the folder, and delete what was received but never entered when the process was killed.

        Args:
            known: the attachments that are entered in the database.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        names = {str(attachment) for attachment in known}
        for file in self._folder.iterdir():
            if file.name not in names:
                file.unlink()

    def describe(self, attachment: UUID, name: str) -> Attachment:
        """Describe a content that has been received, once it is certain to be there after a power cut."""
        path = self.path(attachment)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.tell()
        if os.name == "posix":  # the name of a new file is on the disk when its folder is
            folder = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        return Attachment(attachment, name, size, digest, datetime.now(UTC))

    def delete(self, attachment: UUID) -> None:
        """Delete a content that was not entered, the part of it that had come included."""
        for file in self._folder.glob(f"{attachment}*"):
            file.unlink()
