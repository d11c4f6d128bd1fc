"""The operating system's authorities: asked only where nothing else decides, and then with the name."""

from __future__ import annotations

import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from truststore import _api

from protocol.certs import (
    CertificatesError,
    ExpiredServerCertificate,
    ServerIdentity,
    Trust,
    UnknownAuthority,
    WrongServerName,
    client_context,
    load_trust,
    open_server_identity,
    server_context,
    system_store,
    translate_ssl_error,
)
from protocol.settings import TlsSettings
from tests.appserver.cli.processes import environment
from tests.judging import leave_out_openssl

Bytes = Callable[..., bytes]
Fill = Callable[..., Path]
Refusal = Callable[..., CertificatesError]
Shake = Callable[..., tuple[ssl.SSLObject, ssl.SSLObject]]

ROOT = Path(__file__).parents[3]
POLICY = TlsSettings()
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]

each_version = pytest.mark.parametrize("version", VERSIONS, ids=["1.2", "1.3"])
openssl_judges = pytest.mark.skipif(
    sys.platform in ("win32", "darwin"), reason="the system's store cannot be exchanged for a test"
)


@pytest.fixture
def identity(resources: Path) -> ServerIdentity:
    return open_server_identity(resources)


@pytest.fixture
def system_trusts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[bytes], None]:
    """Exchange the operating system's authorities: `system_trusts(ca("root"))`."""

    def exchange(authorities: bytes) -> None:
        file = tmp_path / "system.pem"
        file.write_bytes(authorities)
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
        monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))

    return exchange


def of_version(context: ssl.SSLContext, version: ssl.TLSVersion) -> ssl.SSLContext:
    context.maximum_version = version
    return context


@openssl_judges
@each_version
def test_a_server_that_the_system_trusts_is_accepted_under_its_own_name_alone(
    shake: Shake,
    refusal: Refusal,
    identity: ServerIdentity,
    ca: Bytes,
    system_trusts: Callable[[bytes], None],
    version: ssl.TLSVersion,
) -> None:
    system_trusts(ca("root"))
    server = server_context(identity, POLICY)
    context = of_version(client_context(Trust(), POLICY), version)
    shake(server, context)
    assert type(refusal(server, context, name="elsewhere")) is WrongServerName
    assert type(refusal(server, context, name="10.0.0.9")) is WrongServerName


@openssl_judges
@each_version
def test_a_server_that_the_system_does_not_trust_is_refused(
    refusal: Refusal,
    identity: ServerIdentity,
    ca: Bytes,
    system_trusts: Callable[[bytes], None],
    version: ssl.TLSVersion,
) -> None:
    system_trusts(ca("other"))
    context = of_version(client_context(Trust(), POLICY), version)
    assert type(refusal(server_context(identity, POLICY), context)) is UnknownAuthority


@openssl_judges
def test_anchors_in_resources_leave_the_system_out(
    refusal: Refusal, identity: ServerIdentity, fill: Fill, ca: Bytes, system_trusts: Callable[[bytes], None]
) -> None:
    system_trusts(ca("root"))
    context = client_context(load_trust(fill("client", ca=ca("other"))), POLICY)
    assert type(refusal(server_context(identity, POLICY), context)) is UnknownAuthority


@each_version
@pytest.mark.parametrize("agrees", [True, False])
def test_where_the_system_judges_it_gets_chain_and_name_once_the_handshake_has_shown_them(
    shake: Shake,
    refusal: Refusal,
    identity: ServerIdentity,
    monkeypatch: pytest.MonkeyPatch,
    version: ssl.TLSVersion,
    agrees: bool,
) -> None:
    """As on Windows and macOS, with this test as the judge."""
    seen: list[tuple[list[bytes], str | None]] = []

    def judge(context: ssl.SSLContext, chain: list[bytes], server_hostname: str | None = None) -> None:
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
        seen.append((chain, server_hostname))
        if not agrees:
            error = ssl.SSLCertVerificationError("the chain leads nowhere")
            error.verify_code, error.verify_message = 0x800B0109, "the chain leads nowhere"
            raise error

    monkeypatch.setattr(system_store, "_SYSTEM_JUDGES", True)
    monkeypatch.setattr(_api, "_configure_context", leave_out_openssl)
    monkeypatch.setattr(_api, "_verify_peercerts_impl", judge)
    context = of_version(client_context(Trust(), POLICY), version)
    server = server_context(identity, POLICY)
    if agrees:
        shake(server, context)
    else:
        error = refusal(server, context)
        assert type(error) is UnknownAuthority
        assert "the chain leads nowhere" in str(error)
    assert seen[0] == ([identity.chain[0]], "localhost")


@pytest.mark.parametrize("code", [0x800B010F, -67602])
def test_the_systems_own_numbers_for_a_wrong_name_and_an_expired_certificate_are_known(code: int) -> None:
    error = ssl.SSLCertVerificationError("x")
    error.verify_code, error.verify_message = code, "x"
    assert type(translate_ssl_error(error, "a:1")) is WrongServerName
    error.verify_code = {0x800B010F: 0x800B0101, -67602: -67818}[code]
    assert type(translate_ssl_error(error, "a:1")) is ExpiredServerCertificate


def test_the_library_is_imported_where_the_system_decides_and_nowhere_else(fill: Fill, ca: Bytes) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from protocol.certs import Trust, client_context, load_trust\n"
        "from protocol.settings import TlsSettings\n"
        "client_context(load_trust(Path(sys.argv[1])), TlsSettings())\n"
        "client_context(Trust(), TlsSettings(), pin='sha256:' + '0' * 64)\n"
        "print('truststore' in sys.modules)\n"
        "client_context(Trust(), TlsSettings())\n"
        "print('truststore' in sys.modules)\n"
    )
    words = [sys.executable, "-c", code, str(fill("client", ca=ca("root")))]
    run = subprocess.run(
        words,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
        env=environment({"PYTHONPATH": str(ROOT)}),
    )
    assert run.stdout.split() == ["False", "True"]
