"""Options that every command of `appclient` has."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import attrs
from cyclopts import Parameter


@Parameter(name="*", group="Connection and output")
@attrs.frozen
class Options:
    """What stands beside a command's own arguments.

    Attributes:
        settings: the shared settings.toml, for `client_server.encrypt` and the timeouts; the defaults
            (encryption on) without.
        resources: the client's Resources folder, with the certificates it trusts.
        timeout: seconds after which to give up; none without.
        json: print JSON for programs.
        debug: log what happens and show tracebacks.
    """

    settings: Path | None = None
    resources: Path | None = None
    timeout: float | None = None
    json: Annotated[bool, Parameter(negative=())] = False
    debug: Annotated[bool, Parameter(negative=())] = False
