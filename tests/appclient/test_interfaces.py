# mypy: disable-error-code="empty-body"
"""What happens when client and server were written against different versions of an interface."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from appclient import InterfaceMismatch, Refused
from appserver.testing import loopback, loopback_server
from protocol.interface import Interface
from protocol.settings import LimitSettings, Settings
from tests.protocol.peer.desk import Desk, new_desk
from tests.protocol.peer.rig import open_rig

Clock = trio.testing.MockClock


class Newer(Interface, version=(1, 3), name="Desk"):
    """Additive: an optional parameter more."""

    async def echo(self, number: int) -> int: ...


class Breaking(Interface, version=(1, 2), name="Desk"):
    """Another type of parameter."""

    async def echo(self, number: str) -> int: ...
    async def fly(self) -> int: ...


class NextMajor(Interface, version=(2, 0), name="Desk"):
    """Another major version."""

    async def echo(self, number: int) -> int: ...


class Unknown(Interface, version=(1, 0)):
    """Not served at all."""

    async def echo(self, number: int) -> int: ...


async def test_an_additive_difference_works(autojump_clock: Clock) -> None:
    application, _ = new_desk()
    with trio.fail_after(10):
        async with loopback(application, encrypted=False, interfaces=[Newer]) as client:
            assert await client.use(Newer).echo(1) == 1
        async with loopback(application, encrypted=False) as client:
            assert await client.use(Newer).echo(1) == 1


async def test_a_breaking_difference_is_named_at_connect(autojump_clock: Clock) -> None:
    application, _ = new_desk()
    with trio.fail_after(10), pytest.raises(InterfaceMismatch) as caught:
        async with loopback(application, encrypted=False, interfaces=[Breaking]):
            pass
    assert caught.value.interface == "Desk"
    assert any("echo" in difference and "number" in difference for difference in caught.value.differences)
    assert any("fly" in difference for difference in caught.value.differences)


async def test_a_breaking_difference_is_named_at_first_use(autojump_clock: Clock) -> None:
    application, counter = new_desk()
    with trio.fail_after(10):
        async with loopback(application, encrypted=False) as client:
            desk = client.use(Breaking)
            for _ in range(2):
                with pytest.raises(InterfaceMismatch, match="number"):
                    await desk.echo("1")
            assert counter.ran == []


@pytest.mark.parametrize("cls", [NextMajor, Unknown])
async def test_another_major_version_or_no_such_interface_is_refused_at_connect(
    cls: type[Interface], autojump_clock: Clock
) -> None:
    application, _ = new_desk()
    with trio.fail_after(10), pytest.raises(Refused, match=cls.__name__ if cls is Unknown else "Desk 2.0"):
        async with loopback(application, encrypted=False, interfaces=[cls]):
            pass


async def test_an_interface_that_is_not_served_harms_only_who_uses_it(autojump_clock: Clock) -> None:
    async with open_rig() as rig:
        with pytest.raises(InterfaceMismatch, match="no such interface"):
            rig.client.use(Unknown)
        rig.network.link.cut()
        await trio.sleep(5)
        assert await rig.desk.echo(1) == 1


async def test_the_first_use_works_at_the_limit_of_open_calls(autojump_clock: Clock) -> None:
    application, counter = new_desk()
    counter.plans["wait"] = lambda: nap(5)
    settings = Settings(limits=LimitSettings(open_calls=1))
    with trio.fail_after(60):
        async with (
            loopback_server(application, encrypted=False, settings=settings) as server,
            server.connect() as client,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(client.use(Desk).run, "wait")
            await trio.sleep(1)
            assert set(await client.describe()) == {"Desk"}
            assert await client.use(Newer).echo(1) == 1


async def nap(seconds: float) -> int:
    await trio.sleep(seconds)
    return 0


async def test_describe_names_what_is_served(autojump_clock: Clock) -> None:
    async with open_rig() as rig:
        described = await rig.client.describe("Desk")
        assert set(described) == {"Desk"}
        assert "echo" in str(described["Desk"])
        assert await rig.client.describe("Nothing") == {}
