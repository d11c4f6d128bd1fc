"""The contracts by which a client gets its certificate, and gets it again before it ends.

`Joining` is all that there is on a connection for joining, whose ALPN protocol is `appserver-join/1`. `Renewal` is
built into every server beside `rpc.describe`, and not listed among the application's interfaces.

Certificates and requests are DER; what they mean is not known here.
"""

from __future__ import annotations

from typing import Final, Protocol

import attrs

from protocol.interface import Interface

JOIN_PROTOCOL: Final = "appserver-join/1"
"""The ALPN protocol of a connection for joining: by it the server knows that no certificate can be asked for."""


class CodeUnknown(Exception):
    """No invitation has this secret."""

    code = "joining.code_unknown"


class CodeUsed(Exception):
    """Another key has joined by this code, or a client of this name by another one."""

    code = "joining.code_used"


class CodeExpired(Exception):
    """The code's time is over."""

    code = "joining.code_expired"


class RequestUnfit(Exception):
    """The certificate request is not in order; the text says why."""

    code = "joining.request_unfit"


class JoiningClosed(Exception):
    """The server cannot issue a certificate at the moment; its log says why."""

    code = "joining.closed"


class NotRenewed(Exception):
    """The certificate is not renewed; the text says why."""

    code = "renewal.refused"


@attrs.frozen
class Admission:
    """What a client gets for its code.

    Attributes:
        certificate: its own.
        authority: the one that issued it, whose key the code names.
        anchors: what the server's own certificate is to be verified by; none where that is not this server's to
            say, for a public authority issued it.
    """

    certificate: bytes
    authority: bytes
    anchors: list[bytes]


class Joining(
    Interface,
    Protocol,
    version=(1, 0),
    errors=[CodeUnknown, CodeUsed, CodeExpired, RequestUnfit, JoiningClosed],
):
    """Joining by a code; one call for each connection."""

    async def join(self, secret: bytes, request: bytes) -> Admission:
        """Use a code up.

        Args:
            secret: of the code.
            request: PKCS#10, signed by the key that the certificate is to be for.
        """
        ...


class Renewal(Interface, Protocol, version=(1, 0), name="rpc", errors=[NotRenewed]):
    """Renewing a client's certificate."""

    async def renew(self, request: bytes) -> bytes:
        """Get the certificate anew, for the same key.

        Args:
            request: PKCS#10, signed by that key.
        """
        ...
