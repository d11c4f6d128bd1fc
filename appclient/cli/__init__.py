"""The command `appclient`: call and describe a live server from a terminal or a script."""

from appclient.cli.entry import main

__all__ = ["main"]
