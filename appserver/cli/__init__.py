"""The command `appserver`: make, check and run an application from a terminal or a service manager."""

from appserver.cli.entry import main

__all__ = ["main"]
