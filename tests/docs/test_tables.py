"""The tables of the documents say what the code says."""

from __future__ import annotations

import inspect
import re

import pytest

from appclient import ConnectError, ConnectionState, connect
from protocol.certs import PeerError, ResourcesError
from protocol.peer import CallError
from protocol.peer.errors import CLASSES
from protocol.settings import InvalidSetting, Option, all_options
from protocol.transport import Mismatch, TransportError
from tests.docs.pages import ROOT, table

SETTINGS = ROOT / "docs" / "settings.md"
BOUNDS = re.compile(r"([\d.]+) to ([\d.]+)")


def _sections() -> dict[str, list[list[str]]]:
    """The rows of the settings' page by section."""
    rows: dict[str, list[list[str]]] = {}
    section = ""
    for line in SETTINGS.read_text(encoding="utf-8").splitlines():
        if found := re.fullmatch(r"## `\[(\w+)\]`", line):
            section = found[1]
        elif section and line.startswith("| `"):
            rows.setdefault(section, []).append([cell.strip() for cell in line.split("|")[1:-1]])
    return rows


ROWS = {f"{section}.{row[0].strip('`')}": row for section, rows in _sections().items() for row in rows}


def _written(value: object) -> str:
    if value is None:
        return "unset"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    return (
        f'"{value}"' if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else str(value)
    )


def test_every_setting_has_its_row_in_the_schemas_order() -> None:
    assert list(ROWS) == list(all_options())


@pytest.mark.parametrize("option", all_options().values(), ids=lambda option: option.key)
def test_a_row_has_the_settings_default_and_variable(option: Option) -> None:
    _, default, _, _, variable, why = ROWS[option.key]
    assert default == f"`{_written(option.default)}`"
    assert variable == f"`{option.variable}`"
    assert why


@pytest.mark.parametrize("option", all_options().values(), ids=lambda option: option.key)
def test_a_row_has_the_settings_range(option: Option) -> None:
    allowed = ROWS[option.key][3]
    bounds = BOUNDS.fullmatch(allowed)
    if bounds is not None:
        low, high = (option.type(float(bound)) for bound in bounds.groups())
        option.check(low)
        option.check(high)
        for beyond in (low - option.type(1), high + option.type(1)):
            with pytest.raises(InvalidSetting):
                option.check(beyond)
        return
    for choice in re.findall(r'"([^"]+)"', allowed):
        option.check(choice)
    if '"' in allowed:
        with pytest.raises(InvalidSetting) as caught:
            option.check("another")
        assert set(re.findall(r'"([^"]+)"', caught.value.expected)) == set(re.findall(r'"([^"]+)"', allowed))


def test_the_pages_tables_are_read() -> None:
    assert len(table(SETTINGS, "key")) == len(ROWS)


@pytest.mark.parametrize("key", all_options())
def test_each_default_has_its_reason_on_the_page_of_reasons(key: str) -> None:
    assert f"`{key}" in (ROOT / "docs" / "explain" / "defaults.md").read_text("utf-8")


CLIENT = ROOT / "docs" / "client.md"
TLS = ROOT / "docs" / "tls.md"


def _names(rows: list[list[str]]) -> list[str]:
    return [row[0].strip("`") for row in rows]


def _below(base: type[object]) -> set[str]:
    """The names of all classes below one, as the packages define them."""
    return {name for cls in base.__subclasses__() for name in {cls.__name__, *_below(cls)}}


def test_each_cause_of_no_connection_and_of_a_failed_call_is_in_the_clients_tables() -> None:
    named = _names(table(CLIENT, "exception"))
    assert len(named) == len(set(named))
    of_the_server = {"Mismatch", "CannotListen"} | _below(Mismatch)
    expected = _below(TransportError) | _below(PeerError) | _below(ConnectError) | _below(CallError)
    assert set(named) == expected - of_the_server


def test_each_finding_in_a_file_is_in_the_table() -> None:
    named = _names(table(TLS, "finding"))
    assert set(named) == _below(ResourcesError)
    assert len(named) == len(set(named))


def test_the_codes_of_failed_calls_are_right() -> None:
    rows = {row[0].strip("`"): row[1] for row in table(CLIENT, "exception") if row[1][:5] == "`rpc."}
    written = {code: name for name, cell in rows.items() for code in re.findall(r"`(rpc\.\w+)`", cell)}
    assert written == {code: cls.__name__ for code, cls in CLASSES.items()}


def test_the_states_are_all_there() -> None:
    assert _names(table(CLIENT, "state")) == [state.value for state in ConnectionState]


def test_the_arguments_of_connect_are_all_there() -> None:
    assert _names(table(CLIENT, "argument")) == list(inspect.signature(connect).parameters)
