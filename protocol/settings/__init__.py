"""The settings that server and client share: their classes, reading them, changing one."""

from protocol.settings.errors import InvalidSetting, SettingsError
from protocol.settings.schema import (
    DEFAULT_PORT,
    ApplicationSettings,
    ClientServerSettings,
    LimitSettings,
    LogSettings,
    Settings,
    TimeoutSettings,
    TlsSettings,
)

__all__ = [
    "DEFAULT_PORT",
    "ApplicationSettings",
    "ClientServerSettings",
    "InvalidSetting",
    "LimitSettings",
    "LogSettings",
    "Settings",
    "SettingsError",
    "TimeoutSettings",
    "TlsSettings",
]
