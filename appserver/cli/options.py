"""Options that the commands of `appserver` share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import attrs
from cyclopts import Parameter

Flag = Annotated[bool, Parameter(negative=())]


@Parameter(name="*", group="Settings and output")
@attrs.frozen
class Options:
    """What stands beside a command's own arguments.

    Attributes:
        settings: the settings file; settings.toml in this folder without.
        json: print JSON for programs.
        debug: show tracebacks.
    """

    settings: Path | None = None
    json: Flag = False
    debug: Flag = False


@Parameter(name="*", group="Settings and output")
@attrs.frozen
class ServerOptions(Options):
    """The same, for commands that look into the server's Resources folder.

    Attributes:
        resources: the server's Resources folder; the settings' without.
    """

    resources: Path | None = None
