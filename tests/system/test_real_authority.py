"""An authority's certificate from the key to the connection, by the commands that an administrator gives.

The authority is OpenSSL's, with an intermediate; the connection is judged by OpenSSL, by GnuTLS and by our
client, and the certificate's way through the folder by what is in it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from appclient import connect
from protocol.certs import UnknownAuthority
from protocol.transport import Address
from tests.appserver.cli.processes import command
from tests.system.application import Desk
from tests.system.processes import ServerProcess, client_settings, environment, serving

SECONDS = 30.0
EXTENSIONS = """
[root]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[middle]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


def tool(name: str) -> str:
    """A tool of another TLS library; the test fails where it is missing, for .ci/run installs it."""
    path = shutil.which(name)
    assert path is not None, f"this test needs {name}: run .ci/run, or install it"
    return path


def run(words: list[str], folder: Path, **variables: str) -> str:
    done = subprocess.run(
        words,
        cwd=folder,
        env=environment(variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@attrs.frozen
class OpenSslAuthority:
    """A root and an intermediate in a folder, made and used by the openssl command alone."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> OpenSslAuthority:
        folder.mkdir()
        made = cls(folder)
        (folder / "extensions").write_text(EXTENSIONS)
        for name in ("root", "middle"):
            made.openssl(
                "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", f"{name}.key"
            )
            made.openssl(
                "req",
                "-new",
                "-key",
                f"{name}.key",
                "-subj",
                f"/O=Test/CN=Test {name}",
                "-out",
                f"{name}.csr",
            )
        made.openssl(
            "x509", "-req", "-in", "root.csr", "-signkey", "root.key", *made.extensions("root", "root.crt")
        )
        made.sign("middle.csr", "root", "middle", "middle.crt")
        return made

    def openssl(self, *words: str) -> str:
        return run([tool("openssl"), *words], self.folder)

    def extensions(self, section: str, out: str) -> tuple[str, ...]:
        return "-days", "90", "-extfile", "extensions", "-extensions", section, "-out", out

    def sign(self, request: str, issuer: str, section: str, out: str) -> None:
        signer = ("-CA", f"{issuer}.crt", "-CAkey", f"{issuer}.key", "-CAcreateserial")
        copied = ("-copy_extensions", "copy") if section == "server" else ()
        self.openssl("x509", "-req", "-in", request, *signer, *copied, *self.extensions(section, out))

    def issue(self, request: Path) -> None:
        """Sign a server's request; what the server is sent are server.crt, middle.crt and chain.p7b."""
        shutil.copy(request, self.folder / "server.csr")
        self.sign("server.csr", "middle", "server", "server.crt")
        files = ("-certfile", "root.crt", "-certfile", "middle.crt", "-certfile", "server.crt")
        self.openssl("crl2pkcs7", "-nocrl", *files, "-outform", "DER", "-out", "chain.p7b")


def certificates(folder: Path, *words: str) -> Any:
    """Give a command of `appserver certificates`; what it prints as JSON."""
    return json.loads(run(command("appserver", "certificates", *words, "--json"), folder))


def sent(authority: OpenSslAuthority, form: str) -> list[str]:
    """What the authority sends, in one form or the other."""
    folder = authority.folder
    if form == "PKCS#7":
        return [str(folder / "chain.p7b")]
    reversed_chain = b"".join(
        (folder / name).read_bytes() for name in ("root.crt", "middle.crt", "server.crt")
    )
    (folder / "bundle.pem").write_bytes(b"\xef\xbb\xbf" + reversed_chain.replace(b"\n", b"\r\n"))
    return [str(folder / "bundle.pem")]


async def check_openssl(server: ServerProcess, root: Path, option: str) -> None:
    words = ["-connect", f"127.0.0.1:{server.port}", "-servername", "localhost", "-CAfile", str(root), option]
    words += ["-verify_return_error", "-verify_hostname", "localhost", "-x509_strict", "-alpn", "appserver/1"]
    done = await trio.run_process(
        [tool("openssl"), "s_client", *words],
        stdin=b"",
        capture_stdout=True,
        capture_stderr=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"Verify return code: 0 (ok)" in done.stdout


async def check_gnutls(server: ServerProcess, root: Path, version: str, *, trusted: bool = True) -> None:
    words = ["--port", str(server.port), "--x509cafile", str(root), "--verify-hostname=localhost"]
    words += [
        "--sni-hostname=localhost",
        "--alpn=appserver/1",
        f"--priority=NORMAL:-VERS-ALL:+VERS-TLS{version}",
    ]
    done = await trio.run_process(
        [tool("gnutls-cli"), *words, "127.0.0.1"],
        stdin=b"",
        capture_stdout=True,
        capture_stderr=True,
        check=False,
    )
    assert (b"- Status: The certificate is trusted." in done.stdout) is trusted, done.stdout + done.stderr
    assert (b"- Handshake was completed" in done.stdout) is trusted
    assert (done.returncode == 0) is trusted


async def check_our_client(server: ServerProcess, root: Path, name: str) -> None:
    resources = server.folder / f"client {name}"
    resources.mkdir()
    shutil.copy(root, resources / "ca.pem")
    async with connect(
        Address("localhost", server.port), resources=resources, settings=client_settings()
    ) as client:
        assert await client.use(Desk).echo("verified") == "verified"


@pytest.mark.parametrize("form", ["PKCS#7", "PEM with CRLF, reversed"])
@pytest.mark.parametrize("options", [[], ["--rsa"]], ids=["P-256", "RSA"])
async def test_keypair_request_install_and_three_clients_that_verify(
    tmp_path: Path, form: str, options: list[str]
) -> None:
    authority = OpenSslAuthority.make(tmp_path / "authority")
    folder = tmp_path / "app"
    folder.mkdir()
    made = certificates(folder, "keypair", *options)
    request = certificates(folder, "request", "--cn", "localhost", "--organization", "Test", "--country", "DE",
                           "--name", "localhost", "--name", "127.0.0.1")  # fmt: skip
    authority.issue(Path(request["file"]))
    installed = certificates(folder, "install", *sent(authority, form))
    assert installed["certificate"]["fingerprint"] == made["fingerprint"] == request["fingerprint"]
    assert installed["chain"][1:] == ["CN=Test middle,O=Test"]
    assert certificates(folder, "check")["ok"]
    assert certificates(folder, "show")["names"] == ["localhost", "127.0.0.1"]
    root = authority.folder / "root.crt"
    with trio.fail_after(40):
        async with serving(folder, timeouts_first_frame=1.0, tls_auto_certificate=False) as server:
            for option in ("-tls1_2", "-tls1_3"):
                await check_openssl(server, root, option)
            for version in ("1.2", "1.3"):
                await check_gnutls(server, root, version)
            await check_our_client(server, root, "trusting")
            # The control: another root is not enough for anybody.
            other = OpenSslAuthority.make(tmp_path / "other").folder / "root.crt"
            await check_gnutls(server, other, "1.3", trusted=False)
            with pytest.raises(UnknownAuthority):
                await check_our_client(server, other, "strange")


async def test_the_first_starts_certificate_is_replaced_by_an_authoritys_with_a_new_key(
    tmp_path: Path,
) -> None:
    authority = OpenSslAuthority.make(tmp_path / "authority")
    folder = tmp_path / "app"
    folder.mkdir()
    with trio.fail_after(40):
        async with serving(folder) as server:
            await check_gnutls(server, server.authority, "1.3")
            certificates(folder, "keypair", "--replace")
            request = certificates(folder, "request", "--name", "localhost")
        async with serving(folder) as server:
            await check_our_client(server, server.authority, "of the first start, with the new key waiting")
        authority.issue(Path(request["file"]))
        installed = certificates(folder, "install", *sent(authority, "PKCS#7"))
        assert installed["new_key"]
        assert len(installed["kept"]) == 2
        async with serving(folder) as server:
            assert server.address.pin == request["fingerprint"]
            await check_gnutls(server, authority.folder / "root.crt", "1.3")
            await check_our_client(server, authority.folder / "root.crt", "of the authority")
