"""Where the Resources folders are: argument, environment, settings, default, in this order.

The environment comes with the settings: `[tls] resources` and `client_resources` are overridden by
APPSERVER_TLS_RESOURCES and APPSERVER_TLS_CLIENT_RESOURCES.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from protocol.settings import LoadedSettings

RESOURCES = "Resources"
CLIENT = "client"


def server_resources_folder(loaded: LoadedSettings, argument: Path | None = None) -> Path:
    """Say where the server's Resources folder is; it need not exist.

    Args:
        loaded: the settings.
        argument: a folder from the command line or the caller, which wins.
    """
    return argument or loaded.settings.tls.resources or loaded.folder / RESOURCES


def client_resources_folder(
    loaded: LoadedSettings | None = None,
    argument: Path | None = None,
    *,
    application: str = "appserver",
    environ: Mapping[str, str] | None = None,
) -> Path | None:
    """Find the client's Resources folder.

    Args:
        loaded: the settings, where the client has any.
        argument: a folder from the caller, which wins.
        application: name of the folder within the user's configuration.
        environ: environment variables; None takes the process's own.

    Returns:
        The folder that was named, existing or not; or else the first that exists of: `client/Resources`
        beside the settings file, `Resources` beside the executable of a packaged application, and the
        one in the user's configuration folder; or else None.
    """
    named = argument or (loaded.settings.tls.client_resources if loaded else None)
    if named is not None:
        return named
    places = [user_resources_folder(environ, application=application)]
    if getattr(sys, "frozen", False):
        places.insert(0, Path(sys.executable).parent / RESOURCES)
    if loaded is not None and loaded.path is not None:
        places.insert(0, loaded.folder / CLIENT / RESOURCES)
    return next((place for place in places if place.is_dir()), None)


def user_resources_folder(
    environ: Mapping[str, str] | None = None, *, application: str = "appserver"
) -> Path:
    """Say where a client of this user has its Resources folder if it has it nowhere else; it need not exist."""
    return user_configuration_folder(os.environ if environ is None else environ) / application / RESOURCES


def user_configuration_folder(environ: Mapping[str, str]) -> Path:
    """Say where programs keep their configuration for this user, by the rules of the system."""
    if sys.platform == "win32":
        return Path(environ.get("APPDATA") or Path.home() / "AppData" / "Roaming")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    return Path(environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
