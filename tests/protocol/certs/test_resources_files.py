"""The files of a server's Resources folder: what is forgiven, permissions, links and passphrases."""

from __future__ import annotations

import os
import shlex
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from protocol.certs import errors, open_server_identity
from tests.secrecy.canaries import canary

PASSPHRASE = canary("passphrase of a server's key").encode()

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no permission bits or links")


def change_file(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize("file", ["key.pem", "cert.pem"])
@pytest.mark.parametrize(
    "change",
    [
        lambda pem: pem.replace(b"\n", b"\r\n"),
        lambda pem: b"\xef\xbb\xbf" + pem,
        lambda pem: b"\xef\xbb\xbf" + pem.replace(b"\n", b"\r\n"),
        lambda pem: b"Bag Attributes\n    friendlyName: x\n" + pem + b"\n\n",
        lambda pem: pem.rstrip(),
    ],
    ids=["CRLF", "mark", "mark and CRLF", "text around", "no last line end"],
)
def test_what_people_do_to_good_files_without_harm(
    resources: Path, file: str, change: Callable[[bytes], bytes]
) -> None:
    change_file(resources / file, change)
    assert open_server_identity(resources).names == ("localhost", "127.0.0.1")


@posix
def test_links_to_good_files_are_followed_and_their_target_is_judged(resources: Path) -> None:
    for file in ("key.pem", "cert.pem"):
        target = resources / f"live-{file}"
        (resources / file).rename(target)
        (resources / file).symlink_to(target.name)
    open_server_identity(resources)
    (resources / "live-key.pem").chmod(0o644)
    with pytest.raises(errors.KeyReadableByOthers):
        open_server_identity(resources)


@pytest.mark.parametrize("old", [False, True])
def test_a_passphrase_opens_the_key_and_a_wrong_one_does_not(
    resources: Path, key: Callable[..., bytes], cert: Callable[..., bytes], old: bool
) -> None:
    (resources / "key.pem").write_bytes(key("rsa", passphrase=PASSPHRASE, old=old))
    (resources / "cert.pem").write_bytes(cert("rsa"))
    identity = open_server_identity(resources, passphrase=PASSPHRASE)
    assert "key" not in repr(identity).replace("key_file", "").replace("key.pem", "")
    with pytest.raises(errors.WrongPassphrase) as caught:
        open_server_identity(resources, passphrase=canary("wrong passphrase of a server's key").encode())
    assert caught.value.file == resources / "key.pem"
    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_passphrase_for_a_key_that_has_none_does_no_harm(resources: Path) -> None:
    open_server_identity(resources, passphrase=PASSPHRASE)


@posix
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o601])
def test_a_key_that_others_can_read_is_refused_with_the_command_that_mends_it(
    resources: Path, mode: int
) -> None:
    path = resources / "key.pem"
    path.chmod(mode)
    with pytest.raises(errors.KeyReadableByOthers) as caught:
        open_server_identity(resources)
    assert f"mode {mode:04o}" in caught.value.finding
    command = caught.value.remedy.partition("Run: ")[2].partition("   ")[0]
    subprocess.run(shlex.split(command), check=True, timeout=10)
    open_server_identity(resources)


@posix
def test_a_secret_in_the_credentials_directory_may_be_open_to_its_group(
    resources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (resources / "key.pem").chmod(0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(resources))
    open_server_identity(resources)
    (resources / "key.pem").chmod(0o444)
    with pytest.raises(errors.KeyReadableByOthers):
        open_server_identity(resources)


@posix
def test_files_and_folders_that_cannot_be_read_are_told_apart_from_missing_ones(resources: Path) -> None:
    script = """if True:
        import os, sys
        from pathlib import Path
        from protocol.certs import open_server_identity
        open_server_identity(Path(sys.argv[1]))  # all modules are imported now
        Path(sys.argv[1], sys.argv[2]).chmod(0)
        if os.getuid() == 0:
            os.setegid(65534)
            os.seteuid(65534)
        try:
            open_server_identity(Path(sys.argv[1]))
        except Exception as error:
            print(type(error).__name__, error)
    """
    top = resources.parent
    for folder in (top, *top.parents):
        if not folder.stat().st_mode & 0o001 and folder.stat().st_uid == os.getuid():
            folder.chmod(0o755)
    for file, name, text in [
        ("key.pem", "UnreadableFile", f"{resources / 'key.pem'}: the file cannot be read"),
        (".", "UnreadableFile", f"{resources}: the folder cannot be entered"),
    ]:
        run = subprocess.run(
            [sys.executable, "-c", script, str(resources), file],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        resources.chmod(0o755)
        assert run.stdout.startswith(f"{name} {text}"), run.stdout


def test_a_missing_folder_and_a_file_in_its_place_are_named(tmp_path: Path) -> None:
    with pytest.raises(errors.MissingFolder, match=r"name another in \[tls\] resources"):
        open_server_identity(tmp_path / "none")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(errors.NotAFile):
        open_server_identity(tmp_path / "file")


def test_a_real_der_certificate_is_told_from_pem(resources: Path) -> None:
    change_file(resources / "cert.pem", lambda pem: ssl.PEM_cert_to_DER_cert(pem.decode()))
    with pytest.raises(errors.DerFile):
        open_server_identity(resources)
