"""`differences`: whether two versions of one contract understand each other.

Only what would fail is a difference. The client sends arguments and reads results, the server the
reverse, so every type is compared in the direction in which its values travel: what is sent must be
readable by who receives it. A new method, a new optional parameter, a new field with a default, a
result that became narrower are no differences.

One of the two descriptions came from the other side and is not trusted: whatever is wrong with its
form is one more difference, never an exception.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from protocol.interface.readability import Reading


def differences(client: Mapping[str, Any], server: Mapping[str, Any]) -> list[str]:
    """Return what makes two contracts incompatible, one sentence each; empty if they work together.

    Args:
        client: description of the side that calls.
        server: description of the side that implements.
    """
    try:
        return list(dict.fromkeys(_Comparison(client, server).run()))  # a structure used twice is named once
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError):
        return ["the description that the other side sent cannot be read"]


@attrs.define
class _Comparison:
    """One comparison of two descriptions."""

    client: Mapping[str, Any]
    server: Mapping[str, Any]

    def run(self) -> list[str]:
        name = self.client["name"]
        if name != self.server["name"]:
            return [f"the client speaks {name}, the server {self.server['name']}"]
        ours, theirs = self.client["version"], self.server["version"]
        if ours[0] != theirs[0]:
            return [f"the client speaks {name} {_dotted(ours)}, the server {_dotted(theirs)}"]
        found: list[str] = []
        for method in self.client["methods"]:
            if method not in self.server["methods"]:
                found.append(f"{name}.{method}: the server does not have this method")
                continue
            found += self._method(
                f"{name}.{method}", self.client["methods"][method], self.server["methods"][method]
            )
        for event, described in self.client["events"].items():
            if event not in self.server["events"]:
                found.append(f"{name}.{event}: the server does not have this event")
                continue
            found += self._to_client().problems(
                self.server["events"][event]["type"], described["type"], f"{name}.{event}"
            )
        for code, described in self.client["errors"].items():
            sent = self.server["errors"].get(code)  # one that the server never raises is no loss
            if sent is not None:
                found += self._to_client().problems(sent["type"], described["type"], f"{name}: error {code}")
        return found

    def _to_server(self) -> Reading:
        return Reading("client", self.client["types"], "server", self.server["types"])

    def _to_client(self) -> Reading:
        return Reading("server", self.server["types"], "client", self.client["types"])

    def _method(self, where: str, client: Mapping[str, Any], server: Mapping[str, Any]) -> list[str]:
        found = self._parameters(where, client["parameters"], server["parameters"])
        found += _flows(f"{where}: taken", client["takes"], server["takes"], self._to_server())
        found += _flows(f"{where}: given", server["gives"], client["gives"], self._to_client())
        if client["returns"] is not None and server["returns"] is not None:
            found += self._to_client().problems(server["returns"], client["returns"], f"{where}: result")
        return found

    def _parameters(self, where: str, client: list[Any], server: list[Any]) -> list[str]:
        found: list[str] = []
        places = [parameter for parameter in server if parameter["positional"]]
        by_name = {parameter["name"]: parameter for parameter in server if parameter["named"]}
        met = set()
        for index, parameter in enumerate(client):
            name = parameter["name"]
            here = f"{where}: parameter {name}"
            if not parameter["positional"]:
                target = by_name.get(name)
            elif index >= len(places):
                target = None
            elif parameter["named"] and places[index]["name"] != name:
                found.append(f"{here}: the server has {places[index]['name']} in its place")
                met.add(places[index]["name"])
                continue
            else:
                target = places[index]
            if target is None:
                if parameter["required"]:
                    found.append(f"{here}: the server does not have this parameter")
                continue
            met.add(target["name"])
            if target["required"] and not parameter["required"]:
                found.append(f"{here}: the server needs it, the client may leave it out")
            found += self._to_server().problems(parameter["type"], target["type"], here)
        for target in server:
            if target["required"] and target["name"] not in met:
                here = f"{where}: parameter {target['name']}"
                found.append(f"{here}: the server needs it, the client does not have it")
        return found


def _flows(where: str, sent: Any, read: Any, reading: Reading) -> list[str]:
    """Compare a stream or blob: what one side sends beside the body with what the other reads."""
    if isinstance(sent, Mapping) and isinstance(read, Mapping):
        return reading.problems(sent["stream"], read["stream"], f"{where} items")
    if sent == read:
        return []
    return [f"{where}: the {reading.sender} has {_flow(sent)}, the {reading.receiver} {_flow(read)}"]


def _flow(described: Any) -> str:
    if described is None:
        return "no stream or blob"
    return "a stream" if isinstance(described, Mapping) else "a blob"


def _dotted(version: Any) -> str:
    return ".".join(str(number) for number in version)
