"""The commands of `appserver certificates`."""

from __future__ import annotations

from cyclopts import App

from appserver.cli.dhparams_command import dhparams

certificates_app = App("certificates", help="Look after the files of the Resources folder.")
certificates_app.command(dhparams)
