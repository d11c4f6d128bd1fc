"""Addresses: what users type, and the canonical form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.transport import Address, AddressError

PIN = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("orders.example", Address("orders.example")),
        (" Orders.Example ", Address("orders.example")),
        ("localhost:1", Address("localhost", 1)),
        ("10.0.0.1:65535", Address("10.0.0.1", 65535)),
        ("[::1]:19000", Address("::1", 19000)),
        ("[::1]", Address("::1")),
        ("::1", Address("::1")),
        ("2001:DB8:0::1", Address("2001:db8::1")),
        ("appserver://host", Address("host")),
        ("appserver://host/", Address("host")),
        ("APPSERVER://host:5/", Address("host", 5)),
        (f"appserver://host:5/?pin={PIN}", Address("host", 5, PIN)),
        (f"appserver://[::1]/?pin={PIN.upper().replace('SHA', 'sha')}", Address("::1", pin=PIN)),
        ("bücher.example", Address("xn--bcher-kva.example")),
    ],
)
def test_an_address_is_understood(text: str, expected: Address) -> None:
    assert Address.parse(text) == expected


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("", "host is missing"),
        (":19813", "host is missing"),
        ("appserver://", "host is missing"),
        ("http://host", "starts with http://"),
        ("host:", "port"),
        ("host:0", "port"),
        ("host:65536", "port"),
        ("host:12x", "port"),
        ("host:\u0661", "port"),
        ("host/path", "needs appserver://"),
        ("appserver://host/path", "path"),
        ("appserver://host/#x", "path"),
        ("appserver://anna@host/", "user name"),
        ("appserver://host/?pni=1", "'pni' is not known"),
        ("appserver://host/?pin=sha256:12", "pin is not"),
        (f"appserver://host/?pin={PIN}&pin={PIN}", "two pins"),
        ("[::1", ""),
        ("[::1]x", ""),
        ("[host]", ""),
        ("1:2:3", "not an IPv6 address"),
        ("ho st", "control character"),
        ("host\nx", "control character"),
        ("ho_st!", "no host name has"),
        (f"{'a' * 70}\u00fc.example", "not a valid name"),
    ],
)
def test_anything_else_is_refused_and_the_forms_are_shown(text: str, finding: str) -> None:
    with pytest.raises(AddressError, match="Examples: orders") as caught:
        Address.parse(text)
    assert finding in caught.value.finding
    assert caught.value.text == text


@given(
    host=st.from_regex(r"[a-z][a-z0-9.-]{0,30}", fullmatch=True) | st.ip_addresses().map(str),
    port=st.integers(1, 65535),
    pin=st.none() | st.binary(min_size=32, max_size=32).map(lambda raw: f"sha256:{raw.hex()}"),
)
def test_the_canonical_form_reads_back_as_itself(host: str, port: int, pin: str | None) -> None:
    address = Address(host, port, pin)
    assert Address.parse(str(address)) == address
    assert Address.parse(address.location) == Address(host, port)


@given(st.text())
def test_any_text_gives_an_address_or_an_address_error(text: str) -> None:
    try:
        address = Address.parse(text)
    except AddressError:
        return
    assert Address.parse(str(address)) == address
