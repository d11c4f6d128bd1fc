"""Refusals reach the peer as named TLS alerts: seen by OpenSSL's own client and by ours, every time.

`ALERT_TRIES=100 scripts/test tests/system/test_alerts.py` tries each more often.
"""

from __future__ import annotations

import os
import re
import shutil
import ssl
import subprocess
import warnings
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import attrs
import pytest
import trio
import trustme
from cryptography import x509

from protocol.certs import client_context, load_trust
from protocol.certs.identity import open_client_identity
from protocol.settings import TimeoutSettings, TlsSettings
from protocol.transport import Address, TlsFailure, connect_transport
from tests.appserver.clients import revocation_list
from tests.system.processes import ServerProcess, client_resources, serving

TRIES = int(os.environ.get("ALERT_TRIES", "10"))
AT_ONCE = 4
NOW = datetime.now(UTC)
DAY = timedelta(days=1)
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
NUMBERS = {
    "handshake_failure": 40,
    "certificate_revoked": 44,
    "certificate_expired": 45,
    "unknown_ca": 48,
    "protocol_version": 70,
    "certificate_required": 116,
}
"""RFC 8446, section 6."""


@attrs.frozen
class Refusal:
    """One cause, in one version of TLS.

    Attributes:
        cause: why the client is refused.
        version: of TLS that it speaks.
        alert: what it must be told.
        text: what our client's error must say.
        identity: the certificate that it shows: "expired", "revoked" or "stranger"; None for none.
        mutual: whether the server wants one.
        words: what makes OpenSSL's client that client.
        change: what makes ours it.
        settings: the server's.
    """

    cause: str
    version: str
    alert: str
    text: str
    identity: str | None = None
    mutual: bool = False
    words: tuple[str, ...] = ()
    change: Callable[[ssl.SSLContext], object] = lambda context: None
    settings: dict[str, str] = attrs.field(factory=dict)

    def __str__(self) -> str:
        return f"{self.cause}, TLS {self.version}"


def only(version: str, context: ssl.SSLContext) -> None:
    context.minimum_version = context.maximum_version = VERSIONS[version]


def old(context: ssl.SSLContext) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")


ROWS = [
    *(
        Refusal("no certificate", version, alert, "wants a certificate of this client", mutual=True)
        for version, alert in [("1.2", "handshake_failure"), ("1.3", "certificate_required")]
    ),
    *(
        Refusal("wrong authority", version, "unknown_ca", "does not trust", "stranger", mutual=True)
        for version in VERSIONS
    ),
    *(
        Refusal("expired", version, "certificate_expired", "it has expired", "expired", mutual=True)
        for version in VERSIONS
    ),
    *(
        Refusal("revoked", version, "certificate_revoked", "it was revoked", "revoked", mutual=True)
        for version in VERSIONS
    ),
    Refusal(
        "old version",
        "1.1",
        "protocol_version",
        "no TLS version in common",
        words=("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"),
        change=old,
    ),
    Refusal(
        "old version",
        "1.2",
        "protocol_version",
        "no TLS version in common",
        settings={"APPSERVER_TLS_MIN_VERSION": "1.3"},
    ),
    Refusal(
        "no common cipher",
        "1.2",
        "handshake_failure",
        "no cipher in common",
        words=("-cipher", "ECDHE-ECDSA-AES128-SHA"),
        change=lambda context: context.set_ciphers("ECDHE-ECDSA-AES128-SHA"),
    ),
    # Python cannot choose the suites of TLS 1.3; a key exchange that is not in common is the same to it.
    Refusal(
        "no common cipher",
        "1.3",
        "handshake_failure",
        "no cipher in common",
        words=("-ciphersuites", "TLS_AES_128_CCM_SHA256"),
        change=lambda context: context.set_ecdh_curve("secp521r1"),
    ),
]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA) -> dict[str, Path]:
    """A client's Resources for each identity."""
    begin = NOW - 3 * DAY
    leaves = {
        "stranger": trustme.CA(key_type=trustme.KeyType.ECDSA).issue_cert("ada@example", not_before=begin),
        "expired": authority.issue_cert("ada@example", not_before=begin, not_after=NOW - DAY),
        "revoked": authority.issue_cert("ada@example", not_before=begin),
    }
    made = {}
    for name, leaf in leaves.items():
        folder = made[name] = tmp_path_factory.mktemp(name)
        leaf.cert_chain_pems[0].write_to_path(folder / "cert.pem")
        (folder / "key.pem").touch(0o600)
        leaf.private_key_pem.write_to_path(folder / "key.pem")
    return made


def openssl_alert(refusal: Refusal, server: ServerProcess, identity: Path | None) -> str:
    """What OpenSSL's client says that it was told."""
    words = [
        "openssl",
        "s_client",
        "-connect",
        f"127.0.0.1:{server.port}",
        "-alpn",
        "appserver/1",
        "-ign_eof",
    ]
    words += ["-CAfile", str(server.authority), *refusal.words]
    if refusal.version in VERSIONS:
        words.append(f"-tls{refusal.version.replace('.', '_')}")
    if identity is not None:
        words += ["-cert", str(identity / "cert.pem"), "-key", str(identity / "key.pem")]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)
    found = re.search(r"SSL alert number (\d+)", done.stderr)
    return found[1] if found else done.stderr[-300:]


def our_context(refusal: Refusal, server: ServerProcess, identity: Path | None) -> ssl.SSLContext:
    trust = load_trust(client_resources(server))
    if identity is not None:
        # As a client whose clock is two days slow: with a right one it would not even try.
        own = open_client_identity(identity, now=NOW - 2 * DAY)
        trust = attrs.evolve(trust, identity=own)
    context = client_context(trust, TlsSettings())
    if refusal.version in VERSIONS:
        only(refusal.version, context)
    refusal.change(context)
    return context


async def our_failure(context: ssl.SSLContext, server: ServerProcess) -> TlsFailure:
    """What our client raises; TLS 1.3 tells it of its certificate only when it reads."""
    address = Address("localhost", server.port)
    try:
        transport = await connect_transport(address, context=context, timeouts=TimeoutSettings())
        try:
            while True:
                await transport.wait_readable()
                assert transport.receive_nowait() is None
        finally:
            transport.abort()
    except TlsFailure as failure:
        return failure


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl command")
@pytest.mark.parametrize("refusal", ROWS, ids=str)
async def test_the_client_is_told_why_by_name_every_time(
    refusal: Refusal, tmp_path: Path, authority: trustme.CA, folders: dict[str, Path]
) -> None:
    resources = tmp_path / "Resources"
    if refusal.mutual:
        resources.mkdir()
        authority.cert_pem.write_to_path(resources / "clients-ca.pem")
        revoked = x509.load_pem_x509_certificate((folders["revoked"] / "cert.pem").read_bytes())
        (resources / "clients-crl.pem").write_bytes(revocation_list(authority, [revoked.serial_number]))
    identity = folders[refusal.identity] if refusal.identity is not None else None
    alerts: Counter[str] = Counter()
    failures: Counter[tuple[str | None, str]] = Counter()
    limit = trio.CapacityLimiter(AT_ONCE)

    async def ask_openssl() -> None:
        alerts[await trio.to_thread.run_sync(openssl_alert, refusal, server, identity, limiter=limit)] += 1

    async def ask_ours(context: ssl.SSLContext) -> None:
        async with limit:
            failure = await our_failure(context, server)
        failures[failure.alert, str(failure)] += 1

    with trio.fail_after(60 + TRIES):
        async with serving(tmp_path, extra=refusal.settings) as server:
            context = await trio.to_thread.run_sync(partial(our_context, refusal, server, identity))
            async with trio.open_nursery() as nursery:
                for _ in range(TRIES):
                    nursery.start_soon(ask_openssl)
                    nursery.start_soon(ask_ours, context)
    assert alerts == {str(NUMBERS[refusal.alert]): TRIES}
    assert sum(failures.values()) == TRIES
    for (alert, text), _ in failures.items():
        assert alert == refusal.alert
        assert refusal.text in text
        assert "localhost" in text
