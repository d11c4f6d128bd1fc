"""The administrators' way through certificates.md, gone with its own commands: they print what the page shows."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from trustme import CA

from protocol.certs import Identity, ensure_server_identity
from tests.appserver.cli.processes import command, run_command, running
from tests.docs.pages import ROOT, blocks

PAGE = ROOT / "docs" / "certificates.md"


def shown() -> list[tuple[list[str], list[str]]]:
    """The page's commands, each with the labels of the lines that it prints."""
    found: list[tuple[list[str], list[str]]] = []
    for block in blocks(PAGE, "console"):
        for line in block.text.splitlines():
            if line.startswith("$ "):
                found.append((shlex.split(line[2:]), []))
            else:
                found[-1][1].append(label(line))
    return found


def label(line: str) -> str:
    """What a line says that does not depend on the machine and the day."""
    if re.fullmatch(r"join[a-z2-7]{80,}", line):
        return "a code"
    line = re.sub(r"\S*/Resources/", "Resources/", line)
    return re.split(r"  +", line)[0] if re.search(r"  +", line) else line


def first_start(folder: Path) -> Identity:
    """What `appserver run` does before it listens."""
    return ensure_server_identity(folder / "Resources", names=["orders.example"])


def issue(folder: Path, file: str) -> None:
    """What the authority does: a certificate for the request, as PKCS#7 with its chain."""
    request = x509.load_pem_x509_csr((folder / "Resources" / "request.pem").read_bytes())
    root = CA()
    middle = root.create_child_ca()
    # trustme issues for a key of its own: what it makes is signed again for the request's key.
    model = x509.load_pem_x509_certificate(middle.issue_cert("orders.example").cert_chain_pems[0].bytes())
    builder = x509.CertificateBuilder(
        extensions=[part for part in model.extensions if part.oid not in _OF_THE_KEY]
    )
    signer = middle._private_key
    issued = (
        builder.subject_name(request.subject)
        .issuer_name(model.issuer)
        .public_key(request.public_key())
        .serial_number(model.serial_number)
        .not_valid_before(model.not_valid_before_utc)
        .not_valid_after(model.not_valid_after_utc)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(request.public_key()), critical=False)
        .sign(signer, SHA256())
    )
    chain = [x509.load_pem_x509_certificate(part.cert_pem.bytes()) for part in (root, middle)]
    (folder / file).write_bytes(pkcs7.serialize_certificates([*chain, issued], Encoding.DER))


_OF_THE_KEY = (x509.SubjectKeyIdentifier.oid,)


def join(folder: Path) -> subprocess.CompletedProcess[str]:
    """What the page's client does, at a server that runs here."""
    with running(folder) as server:
        again = ("invite", "ada", "--address", f"localhost:{server.port}", "--json")
        code = json.loads(run_command(command("appserver", *again), cwd=folder).stdout)["code"]
        return run_command(command("appclient", "join", code, "--resources", "ada"), cwd=folder)


def test_the_commands_of_the_page_print_what_it_shows(tmp_path: Path) -> None:
    folder = tmp_path
    given = 0
    for words, labels in shown():
        match words:
            case ["cd", name]:
                folder = folder / name
                continue
            case ["appserver", "run"]:
                first_start(folder)
                continue
            case ["appserver", "certificates", "install", file]:
                issue(folder, file)
        if words[:2] == ["appclient", "join"]:
            done = join(folder)
        else:
            done = run_command(command("appserver", *words[1:]), cwd=folder)
        assert done.returncode == 0, (words, done.stderr)
        if labels:
            assert [label(line) for line in done.stdout.splitlines()] == labels, words
            given += 1
    assert given == 10
    check = run_command(command("appserver", "certificates", "check", "--json"), cwd=folder)
    assert json.loads(check.stdout)["ok"]
