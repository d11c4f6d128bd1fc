"""The settings that server and client share: their classes, reading them, changing one."""

from protocol.settings.edit import set_value, unset_value
from protocol.settings.errors import InvalidSetting, SettingsError
from protocol.settings.load import PATH_VARIABLE, LoadedSettings, load_settings, settings_from_environment
from protocol.settings.options import Option, all_options, find_option, value_at, with_values
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
    "PATH_VARIABLE",
    "ApplicationSettings",
    "ClientServerSettings",
    "InvalidSetting",
    "LimitSettings",
    "LoadedSettings",
    "LogSettings",
    "Option",
    "Settings",
    "SettingsError",
    "TimeoutSettings",
    "TlsSettings",
    "all_options",
    "find_option",
    "load_settings",
    "set_value",
    "settings_from_environment",
    "unset_value",
    "value_at",
    "with_values",
]
