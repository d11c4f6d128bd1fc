"""The schema: what each setting accepts and refuses, and how the refusal reads."""

from __future__ import annotations

import inspect
from pathlib import Path

import attrs
import pytest

from protocol.settings import (
    ClientServerSettings,
    InvalidSetting,
    Settings,
    TimeoutSettings,
    TlsSettings,
    all_options,
    find_option,
    value_at,
    with_values,
)
from protocol.settings.checks import is_host
from protocol.wire.limits import DEFAULT_LIMITS

REFUSED = [
    ("client_server.encrypt", "no", "true or false"),
    ("client_server.encrypt", 1, "true or false"),
    ("client_server.port", True, "a whole number from 0 to 65535"),
    ("client_server.port", 65536, "a whole number from 0 to 65535"),
    ("client_server.port", "19813", "a whole number from 0 to 65535"),
    ("client_server.port", 1.0, "a whole number from 0 to 65535"),
    ("client_server.host", "", "a host name or IP address"),
    ("client_server.host", "a b", "a host name or IP address"),
    ("application.name", "", "1 to 64 printable characters"),
    ("application.name", "two\nlines", "1 to 64 printable characters"),
    ("application.module", "orders:", '"package.module:attribute"'),
    ("tls.min_version", "1.1", '"1.2" or "1.3"'),
    ("tls.min_version", 1.2, '"1.2" or "1.3"'),
    ("tls.resources", "", "a path"),
    ("tls.names", "localhost", "a list of host names and IP addresses"),
    ("tls.names", ["good", "not good"], "a list of host names and IP addresses"),
    ("tls.key_type", "rsa1024", '"p256" or "rsa3072"'),
    ("tls.ciphers", "", "an OpenSSL cipher list"),
    ("tls.passphrase_variable", "A-B", "the name of an environment variable"),
    ("limits.frame", 16 * 1024 * 1024, "a whole number from 1024 to 16777215"),
    ("timeouts.ping", "30", "seconds from 0.1 to 3600"),
    ("timeouts.ping", float("nan"), "seconds from 0.1 to 3600"),
    ("timeouts.ping", True, "seconds from 0.1 to 3600"),
    ("timeouts.reconnect_factor", 0.5, "a number from 1 to 10"),
    ("log.format", "xml", '"console" or "json"'),
]


@pytest.mark.parametrize(("key", "value", "expected"), REFUSED)
def test_a_bad_value_is_refused_by_key_and_in_words(key: str, value: object, expected: str) -> None:
    with pytest.raises(InvalidSetting) as caught:
        find_option(key).check(value)
    assert caught.value.key == key
    assert caught.value.expected == expected
    assert str(caught.value).startswith(f"{key}: expected {expected}, got ")


def test_a_section_is_checked_whoever_makes_it() -> None:
    with pytest.raises(InvalidSetting, match=r"client_server\.port"):
        ClientServerSettings(port=-1)


def test_whole_seconds_are_floats_and_lists_are_tuples_and_text_is_a_path() -> None:
    assert type(TimeoutSettings(ping=5).ping) is float
    tls = TlsSettings(names=["a.example", "::1"], resources="Resources")
    assert tls.names == ("a.example", "::1")
    assert tls.resources == Path("Resources")


def test_settings_are_frozen_and_no_section_has_many_fields() -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Settings().client_server.port = 1  # type: ignore[misc]
    for section in attrs.astuple(Settings(), recurse=False):
        assert len(attrs.fields(type(section))) <= 11, section


def test_every_setting_is_described_in_its_section() -> None:
    for option in all_options().values():
        assert f"    {option.name}: " in (inspect.getdoc(option.section) or ""), option.key


def test_the_defaults_are_those_of_the_wire() -> None:
    limits = Settings().limits
    shared = {field.name for field in attrs.fields(type(limits))} & {
        field.name for field in attrs.fields(type(DEFAULT_LIMITS))
    }
    assert {"frame", "message", "open_calls", "pending_output"} <= shared
    for name in shared:
        assert getattr(limits, name) == getattr(DEFAULT_LIMITS, name), name


@pytest.mark.parametrize(
    "name", ["localhost", "a-b.example", "10.0.0.1", "::1", "fe80::1%eth0", "0.0.0.0", "*.example.org", "a_b"]
)
def test_names_and_addresses_are_hosts(name: str) -> None:
    assert is_host(name)


@pytest.mark.parametrize("name", ["", " ", "a b", "-a", "a..b", "a/b", "[::1]", "x" * 254, 5, None, "a\n"])
def test_other_values_are_not_hosts(name: object) -> None:
    assert not is_host(name)


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("client_server.encrypt", "false", False),
        ("client_server.encrypt", "ON", True),
        ("client_server.port", " 80 ", 80),
        ("timeouts.ping", "2.5", 2.5),
        ("timeouts.ping", "3", 3.0),
        ("tls.names", "a.example, ::1", ("a.example", "::1")),
        ("tls.names", "", ()),
        ("tls.ciphers", "", None),
        ("tls.resources", "/etc/x", Path("/etc/x")),
        ("log.level", "debug", "debug"),
    ],
)
def test_text_is_read_by_the_type_of_the_setting(key: str, text: str, value: object) -> None:
    parsed = find_option(key).parse(text)
    assert parsed == value
    assert type(parsed) is type(value) or isinstance(value, Path)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("client_server.encrypt", "maybe"),
        ("client_server.port", "many"),
        ("client_server.port", ""),
        ("log.level", ""),
    ],
)
def test_text_that_is_no_such_value_is_refused(key: str, text: str) -> None:
    with pytest.raises(InvalidSetting, match=key):
        find_option(key).parse(text)


def test_values_are_read_and_changed_by_key() -> None:
    changed = with_values(Settings(), {"client_server.encrypt": False, "timeouts.ping": 5})
    assert value_at(changed, "client_server.encrypt") is False
    assert value_at(changed, "timeouts.ping") == 5.0
    assert value_at(Settings(), "client_server.encrypt") is True
    with pytest.raises(KeyError):
        value_at(changed, "client_server.encrypted")
