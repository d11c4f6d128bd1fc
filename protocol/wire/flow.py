"""The flow control of one connection: the credit of all its streams, both ways.

Theory of operation. Each stream has an account in each direction (`protocol.wire.credit`). Ordinary messages
fit into the receiver's window and flow as the application consumes. A message that is larger than its
stream's window is announced by BLOCKED; its receiver advances the missing credit when two things are so: the
application waits for that very message, so that it never lies here unused; and the advances of all streams
together are no more than the message limit, those that came first served first. So a connection holds at most
what its windows add up to and one message of the largest size, however many streams it has; and no
stream waits for another one's consumer, which might itself be waiting for this one. An application that gives
up waiting when its message has been let in is the exception: the message lies here until it comes back,
and counts no more, for the others would have to wait for that.

It knows nothing of which streams are open, and nothing of subscribers, whose credit is kept with them
(`protocol.wire.subscriber`).
"""

from __future__ import annotations

from protocol.wire.codec import pack
from protocol.wire.credit import ReceiveWindow, SendCredit, WindowPool
from protocol.wire.errors import RemoteProtocolError
from protocol.wire.framing import FrameType
from protocol.wire.limits import Limits
from protocol.wire.outbox import Outbox
from protocol.wire.session import Session


class Flow:
    """The accounts of one connection's streams.

    Attributes:
        awaited: streams whose announced message the application waits for, in that order.
    """

    __slots__ = (
        "_credits",
        "_free",
        "_limits",
        "_outbox",
        "_peer_credit",
        "_pool",
        "_session",
        "_windows",
        "awaited",
    )

    def __init__(self, limits: Limits, outbox: Outbox, session: Session) -> None:
        self._limits = limits
        self._outbox = outbox
        self._session = session
        self._peer_credit = limits.stream_credit
        self._pool = WindowPool(limits.connection_credit)
        self._free = limits.message  # for advances
        self._windows: dict[int, ReceiveWindow] = {}
        self._credits: dict[int, SendCredit] = {}
        self.awaited: dict[int, None] = {}

    def set_peer_limits(self, limits: Limits) -> None:
        """Take note of what the other side stated."""
        self._peer_credit = limits.stream_credit

    # What this side sends

    def credit(self, stream: int) -> SendCredit:
        """The account of what this side may send on a stream."""
        credit = self._credits.get(stream)
        if credit is None:
            credit = self._credits[stream] = SendCredit(self._peer_credit)
        return credit

    def announce(self, stream: int, size: int) -> bool:
        """Say, where the other side has to know, that a message waits for credit; returns whether it waits."""
        credit = self.credit(stream)
        if credit.left >= size:
            return False
        if credit.announce(size):
            self._outbox.send(FrameType.BLOCKED, stream, pack([size]))
        return True

    # What it receives

    def has_received(self, stream: int) -> bool:
        """Whether anything has come on a stream that is open."""
        return stream in self._windows

    def window(self, stream: int, *, grows: bool = True) -> ReceiveWindow:
        """The account of what the other side may send on a stream."""
        window = self._windows.get(stream)
        if window is None:
            limits = self._limits
            most = limits.stream_window if grows else limits.stream_credit
            window = self._windows[stream] = ReceiveWindow(limits.stream_credit, most, self._pool)
        return window

    def receive(self, stream: int, size: int, *, grows: bool = True) -> None:
        """Take note of a received message; raises RemoteProtocolError where there was no credit for it."""
        self._free += self.window(stream, grows=grows).receive(size)

    def consume(self, stream: int, size: int) -> bool:
        """Take note that the application used `size` received bytes; grants more where it is time.

        Returns:
            Whether it did: there is a CREDIT to be sent.
        """
        window = self._windows.get(stream)
        granted = 0 if window is None else window.consume(size)
        if granted:  # an ACK will be due soon, and costs nothing beside it
            self._grant(stream, granted)
            self._outbox.control(FrameType.ACK, pack([self._session.confirm()]))
        return granted > 0

    def block(self, stream: int, size: int, *, grows: bool = True) -> None:
        """Take note of a received BLOCKED."""
        if not 0 < size <= self._limits.message:
            raise RemoteProtocolError(f"BLOCKED: {size} bytes, {self._limits.message} are accepted")
        self._grant(stream, self.window(stream, grows=grows).block(size))

    def admit(self, stream: int) -> None:
        """The application waits for the announced message of a stream: let it in as soon as there is room."""
        window = self._windows.get(stream)
        if window is not None and window.blocked and not window.advanced:
            self.awaited[stream] = None
            self.advance()

    def withdraw(self, stream: int) -> None:
        """The application does not wait any more: others come first, until it waits again."""
        if stream in self.awaited:
            del self.awaited[stream]
            self.advance()

    def advance(self) -> None:
        """Grant what is missing for the messages that are waited for, while there is room for them."""
        for stream in list(self.awaited):
            window = self._windows[stream]
            if window.missing > self._free:
                return
            del self.awaited[stream]
            if window.missing > 0:
                self._free -= window.missing
                self._grant(stream, window.advance())

    def forget(self, stream: int) -> None:
        """Close a stream's accounts."""
        if self._credits:
            self._credits.pop(stream, None)
        if self._windows:
            self.stop_receiving(stream)

    def stop_receiving(self, stream: int) -> None:
        """Close the account of what may come on a stream; the room that it has is the others'."""
        window = self._windows.pop(stream, None)
        if window is not None:
            window.close()
            self._free += window.advanced
            self.awaited.pop(stream, None)
            self.advance()

    def _grant(self, stream: int, size: int) -> None:
        if size:
            self._outbox.urgent(FrameType.CREDIT, stream, pack([size]))
