"""Reading PEM files with care: what stands in Resources was copied, mailed and edited by people.

The file is opened once, looked at through its descriptor and read whole, so that what was checked is
what is used, and nothing waits for a pipe or a terminal. LF and CRLF line ends and a UTF-8 byte order
mark are fine; everything else that people do to PEM files has its own error.

Bare CR is refused although cryptography reads it: OpenSSL, on the other side of every tool that the
administrator will try, does not.

Source: RFC 7468 (PEM), RFC 5958 (PKCS#8).
"""

from __future__ import annotations

import base64
import binascii
import errno
import os
import re
import shlex
import stat
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

import attrs

from protocol.certs import errors

MAX_SIZE = 1 << 20
"""Bytes of the largest file that is read: a bundle of all public authorities has a quarter of it."""

CREDENTIALS_VARIABLE = "CREDENTIALS_DIRECTORY"
"""Where systemd puts a service's secrets; it guards them by an ACL that the mode bits do not show."""

_OWN_IT = "Let the user who runs this program own it"

_BEGIN = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----[ \t]*\n")
_HEADER = re.compile(rb"[A-Za-z0-9-]+:[^\n]*\n([ \t]+[^\n]*\n)*")


@attrs.frozen
class Block:
    """One block of a PEM file.

    Attributes:
        label: what stands after BEGIN.
        text: the block as PEM, with LF; it may hold a key, so it stays out of the repr.
        content: the decoded bytes.
        encrypted: whether it is encrypted, by its label or by a header of the old kind.
    """

    label: str
    text: bytes = attrs.field(repr=False)
    content: bytes = attrs.field(repr=False)
    encrypted: bool


def read_file(path: Path, *, private: bool = False, most: int = MAX_SIZE) -> bytes:
    """Read a small file of Resources.

    Args:
        path: the file; a symbolic link is followed, as Let's Encrypt and Kubernetes use them.
        private: whether the file holds a secret, which others must not be able to read.
        most: bytes that it may have.

    Returns:
        Its content, never empty.

    Raises:
        ResourcesError: one of its classes, for every way in which this can fail.
    """
    content = _read(path, private=private, most=most)
    if not content.strip():
        raise errors.EmptyFile(path, "the file is empty", "Copy it again")
    return content


def read_blocks(path: Path, *, private: bool = False, most: int = MAX_SIZE) -> tuple[Block, ...]:
    """Read a PEM file.

    Args:
        path: the file.
        private: as for `read_file`.
        most: likewise.

    Returns:
        Its blocks in order, at least one.

    Raises:
        ResourcesError: one of its classes.
    """
    return parse_blocks(path, read_file(path, private=private, most=most))


def read_contents(
    path: Path, labels: Collection[str], *, expected: str, remedy: str, most: int = MAX_SIZE
) -> Iterator[bytes]:
    """Read a PEM file that holds one kind of thing.

    Args:
        path: the file.
        labels: what may stand after BEGIN.
        expected: the kind, as the beginning of a sentence: "certificates are".
        remedy: where it holds something else.
        most: as for `read_file`.

    Yields:
        The contents in order, at least one; each is looked at when its turn comes.

    Raises:
        WrongContents: it holds something else.
        ResourcesError: one of its other classes.
    """
    for block in read_blocks(path, most=most):
        if block.label not in labels:
            raise errors.WrongContents(path, f"{expected} expected, it holds a {block.label}", remedy)
        yield block.content


def parse_blocks(path: Path, content: bytes) -> tuple[Block, ...]:
    """Take the content of a PEM file apart.

    Args:
        path: where it comes from, for the errors.
        content: what `read_file` gave.

    Returns:
        Its blocks in order, at least one.

    Raises:
        ResourcesError: one of its classes.
    """
    text = _as_text(path, content)
    blocks = []
    position = 0
    while begin := _BEGIN.search(text, position):
        label = begin[1]
        end = text.find(b"-----END " + label + b"-----", begin.end())
        if end < 0:
            raise errors.DamagedPem(
                path, f"the file is cut off: a {label.decode()} has no end", "Copy it again, whole"
            )
        blocks.append(_block(path, label, text[begin.end() : end]))
        position = end
    if not blocks:
        raise errors.DamagedPem(
            path, "the file is not PEM: it has no line -----BEGIN ...-----", "Ask for the file in PEM format"
        )
    return tuple(blocks)


def is_binary(content: bytes) -> bool:
    """Tell whether the content of a file is DER (a certificate, PKCS#7 or PKCS#12) and not PEM."""
    return b"-----BEGIN " not in content and content[:1] == b"\x30"


def check_folder(path: Path, *, setting: str) -> None:
    """Check that a Resources folder is one, and that this process may look into it.

    Args:
        path: the folder.
        setting: the setting that could name another, for the remedy.

    Raises:
        ResourcesError: MissingFolder, NotAFile, BrokenLink or UnreadableFile.
    """
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode)
    except OSError as error:
        raise _folder_error(path, error, setting) from error
    if not is_folder:
        raise errors.NotAFile(path, "this is not a folder", f"Name the Resources folder in {setting}")
    effective = os.access in os.supports_effective_ids
    if not os.access(path, os.R_OK | os.X_OK, effective_ids=effective):
        raise errors.UnreadableFile(path, "the folder cannot be entered", _OWN_IT)


def encode_pem(label: str, content: bytes) -> bytes:
    """Write one block of PEM.

    Args:
        label: what stands after BEGIN.
        content: the bytes.

    Returns:
        The block, with lines of 64 characters that end in LF.
    """
    encoded = base64.b64encode(content)
    lines = [encoded[start : start + 64] for start in range(0, len(encoded), 64)]
    name = label.encode()
    return b"\n".join([b"-----BEGIN " + name + b"-----", *lines, b"-----END " + name + b"-----", b""])


def is_guarded(status: os.stat_result, path: Path) -> bool:
    """Tell whether a file with a secret is closed to other users.

    Windows has no such bits: there a file has the rights of its folder, and the folder that a first
    start makes is its owner's alone.
    """
    if sys.platform == "win32":
        return True
    credentials = os.environ.get(CREDENTIALS_VARIABLE)
    if credentials and path.resolve().is_relative_to(Path(credentials).resolve()):
        return not status.st_mode & stat.S_IRWXO
    return not status.st_mode & (stat.S_IRWXG | stat.S_IRWXO)


def _read(path: Path, *, private: bool, most: int) -> bytes:
    # O_NONBLOCK: a pipe would otherwise wait for a writer for ever; O_NOCTTY: nothing here may prompt.
    flags = os.O_RDONLY
    for name in ("O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY"):
        flags |= getattr(os, name, 0)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        raise _open_error(path, error) from error
    try:
        _check_status(path, os.fstat(descriptor), private=private, most=most)
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(most)
    except OSError as error:
        raise _open_error(path, error) from error
    finally:
        os.close(descriptor)


def _check_status(path: Path, status: os.stat_result, *, private: bool, most: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = "folder" if stat.S_ISDIR(status.st_mode) else "pipe, socket or device"
        raise errors.NotAFile(path, f"this is a {kind}", "Put a file in its place")
    if private and not is_guarded(status, path):
        raise errors.KeyReadableByOthers(
            path,
            f"other users can read this secret (mode {stat.S_IMODE(status.st_mode):04o})",
            f"Run: chmod 600 {shlex.quote(str(path))}   If others may have read it, make a new one",
        )
    if status.st_size > most:
        raise errors.DamagedPem(
            path, f"the file has {status.st_size} bytes, too many for one of its kind", "Copy the right file"
        )


def _open_error(path: Path, error: OSError) -> errors.ResourcesError:
    if error.errno in (errno.ENOENT, errno.ELOOP) and os.path.islink(path):
        return _broken_link(path)
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        if not os.path.isdir(path.parent):
            return errors.MissingFolder(path.parent, "there is no such folder", "Make it or name another")
        return errors.MissingFile(path, "there is no such file", "Put it there")
    # Windows answers to opening a folder with PermissionError.
    if isinstance(error, IsADirectoryError) or os.path.isdir(path):
        return errors.NotAFile(path, "this is a folder", "Put a file in its place")
    return errors.UnreadableFile(path, f"the file cannot be read ({error.strerror or error})", _OWN_IT)


def _folder_error(path: Path, error: OSError, setting: str) -> errors.ResourcesError:
    if os.path.islink(path) and error.errno in (errno.ENOENT, errno.ELOOP):
        return _broken_link(path)
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return errors.MissingFolder(
            path, "there is no such Resources folder", f"Make it, or name another in {setting}"
        )
    return errors.UnreadableFile(path, f"the folder cannot be entered ({error.strerror or error})", _OWN_IT)


def _broken_link(path: Path) -> errors.BrokenLink:
    target = os.readlink(path)
    return errors.BrokenLink(path, f"the symbolic link leads nowhere ({target})", "Mend or remove the link")


def _as_text(path: Path, content: bytes) -> bytes:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\x00-\x00-" in content:
        raise errors.Utf16File(path, "the file is text in UTF-16", "Save it as ASCII or UTF-8")
    content = content.removeprefix(b"\xef\xbb\xbf")
    if is_binary(content):
        raise errors.DerFile(
            path, "the file is binary (DER or PKCS#12), not PEM", "Ask for PEM, or convert it to PEM"
        )
    text = content.replace(b"\r\n", b"\n")
    if b"\r" in text:
        raise errors.BareCarriageReturn(
            path, "lines end in CR alone (old Macintosh text)", "Save it with LF or CRLF line ends"
        )
    return text


def _block(path: Path, label: bytes, body: bytes) -> Block:
    headers = b""
    while header := _HEADER.match(body):
        headers += header[0]
        body = body[header.end() :]
    try:
        content = base64.b64decode(b"".join(body.split()), validate=True)
    except binascii.Error as error:
        raise errors.DamagedPem(path, f"the {label.decode()} in it is damaged", "Copy it again") from error
    if not content:
        raise errors.DamagedPem(path, f"the {label.decode()} in it is empty", "Copy it again")
    name = label.decode()
    middle = headers + (b"\n" if headers else b"")
    first, rest = encode_pem(name, content).split(b"\n", 1)
    encrypted = name == "ENCRYPTED PRIVATE KEY" or b"ENCRYPTED" in headers
    return Block(name, first + b"\n" + middle + rest, content, encrypted)
