"""Secrets on every way into the product, with everything logged: `tests.secrecy.plugin` judges what became readable.

Each test also proves that its canary has really gone that way. Others are planted where the tests of a room use secrets
anyway.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import trio
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from appclient import Refused, connect
from protocol.certs import DamagedPem, MissingFile, Trust, load_trust
from protocol.certs.keys import load_private_key
from protocol.settings import SettingsError, load_settings
from protocol.transport import Address, AddressError, ConnectionRefused
from tests.appserver.cli.processes import command, run_command
from tests.secrecy.canaries import canary
from tests.system.application import Desk
from tests.system.processes import ROOT, client_of, client_settings, serving

TESTS = ROOT / "tests"
CANARIES = 20


def test_twenty_canaries_and_more_are_planted() -> None:
    names = {
        node.args[0].value
        for path in TESTS.rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "canary"
        and isinstance(node.args[0], ast.Constant)
        and path.name != "test_secrecy.py"
    }
    assert len(names) >= CANARIES, names


def start_with_encrypted_key(folder: Path, passphrase: str) -> None:
    """The files of a first start, with the key encrypted afterwards."""
    made = run_command(
        command("appserver", "certificates", "keypair", "--json"),
        cwd=folder,
        extra={"APPSERVER_TLS_PASSPHRASE_VARIABLE": "PLANTED", "PLANTED": passphrase},
    )
    assert made.returncode == 0, made.stderr


def in_a_file(folder: Path, passphrase: str) -> dict[str, str]:
    path = folder / "passphrase"
    path.write_text(f"{passphrase}\n")
    path.chmod(0o600)
    return {"APPSERVER_TLS_PASSPHRASE_FILE": str(path)}


def in_a_variable(folder: Path, passphrase: str) -> dict[str, str]:
    return {"APPSERVER_TLS_PASSPHRASE_VARIABLE": "PLANTED", "PLANTED": passphrase}


def in_the_credentials_directory(folder: Path, passphrase: str) -> dict[str, str]:
    path = folder / "appserver-key-passphrase"
    path.write_text(passphrase)
    path.chmod(0o600)
    return {"CREDENTIALS_DIRECTORY": str(folder)}


WAYS = {
    canary("passphrase that a server finds in a file"): in_a_file,
    canary("passphrase that a server finds in a variable"): in_a_variable,
    canary("passphrase that systemd gives a server"): in_the_credentials_directory,
}


@pytest.mark.parametrize("passphrase", WAYS, ids=[way.__name__ for way in WAYS.values()])
async def test_a_server_opens_its_key_and_signs_clients_in_with_everything_logged(
    tmp_path: Path, passphrase: str
) -> None:
    start_with_encrypted_key(tmp_path, passphrase)
    password = canary("password with everything logged")
    right = {"user": "ada", "password": password, "token": canary("credential that nobody reads")}
    wrong = {"user": "ada", "password": canary("wrong password with everything logged")}
    extra = {**WAYS[passphrase](tmp_path, passphrase), "DESK_PASSWORD": password}
    with trio.fail_after(45):
        async with serving(tmp_path, extra=extra, log_level="debug") as server:
            async with client_of(server, credentials=right) as client:
                assert await client.use(Desk).echo("a") == "a"
            with pytest.raises(Refused):
                async with client_of(server, credentials=wrong):
                    pass
            await server.wait_log(lambda line: line["event"] == "client refused")
    with pytest.raises(TypeError):
        load_pem(tmp_path / "Resources" / "key.pem")


def load_pem(path: Path) -> None:
    """Fails where the key needs a passphrase: the canary was what opened it."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    load_pem_private_key(path.read_bytes(), None)


@pytest.mark.parametrize("words", [("run", "app"), ("check",), ("certificates", "check")], ids=" ".join)
def test_a_wrong_passphrase_is_refused_without_being_shown(tmp_path: Path, words: tuple[str, ...]) -> None:
    start_with_encrypted_key(tmp_path, canary("passphrase that a command lacks"))
    (tmp_path / "app.py").write_text("from appserver import Application\napp = Application('a')\n")
    result = run_command(
        command("appserver", *words, "--debug"),
        cwd=tmp_path,
        extra=in_a_variable(tmp_path, canary("wrong passphrase of a command")),
    )
    assert result.returncode == 1
    assert "passphrase" in result.stdout + result.stderr


@pytest.mark.parametrize("body", ["{}", "AAAA{}====", "{}\n{}", "Proc-Type: 4,ENCRYPTED\n{}"])
def test_a_damaged_key_is_refused_without_being_quoted(tmp_path: Path, body: str) -> None:
    path = tmp_path / "secret.pem"
    planted = body.replace("{}", canary("body of a damaged key"))
    path.write_text(f"-----BEGIN PRIVATE KEY-----\n{planted}\n-----END PRIVATE KEY-----\n")
    path.chmod(0o600)
    with pytest.raises(DamagedPem):
        load_private_key(path)


def test_a_passphrase_that_somebody_writes_into_the_settings_is_refused_without_being_quoted(
    tmp_path: Path,
) -> None:
    for line in ("passphrase = '{}'", "key = ['{}']", "resources = 'R'\n'{}' = 1 ="):
        path = tmp_path / "settings.toml"
        path.write_text(f"[tls]\n{line.format(canary('passphrase in the settings'))}\n")
        with pytest.raises(SettingsError):
            load_settings(path)


def test_a_password_in_an_address_is_refused_without_being_quoted() -> None:
    planted = canary("password in an address")
    for text in (
        f"appserver://ada:{planted}@orders.example:19813/",
        f"ada:{planted}@orders.example",
        f"https://ada:{planted}@orders.example",
        f"appserver://ada:{planted}@orders.example:x/",
        f"appserver://:{planted}@[::1",
    ):
        with pytest.raises(AddressError) as caught:
            Address.parse(text)
        assert planted not in repr(caught.value)
        assert planted not in caught.value.text


def test_a_clients_key_stays_out_of_reprs(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    path = tmp_path / "key.pem"
    passphrase = canary("passphrase of a client's folder").encode()
    path.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase))
    )
    path.chmod(0o600)
    assert isinstance(load_private_key(path, passphrase=passphrase), ec.EllipticCurvePrivateKey)
    with pytest.raises(MissingFile, match="cert"):
        load_trust(tmp_path, passphrase=passphrase)
    assert repr(Trust())


async def test_credentials_stay_out_of_what_a_client_says_of_a_server_that_is_not_there(
    tmp_path: Path,
) -> None:
    planted = {"password": canary("password for nobody")}
    with trio.fail_after(30), pytest.raises(ConnectionRefused) as caught:
        async with connect(
            Address("127.0.0.1", 1), resources=tmp_path, settings=client_settings(), credentials=planted
        ):
            pass
    assert planted["password"] not in str(caught.value)


def test_arguments_of_a_process_hold_no_passphrase(tmp_path: Path) -> None:
    """`certificates import` takes a file or a variable, never a word that `ps` shows."""
    result = run_command(command("appserver", "certificates", "import", "--help"), cwd=tmp_path)
    options = [word for word in result.stdout.split() if word.startswith("--pass")]
    assert set(options) == {"--passphrase-file", "--passphrase-variable"}
