"""What a reload says has changed: settings by their keys, certificates by their files."""

from __future__ import annotations

from pathlib import Path

import attrs

from appserver.changes import changes_between
from appserver.encryption import Encryption, load_encryption
from protocol.settings import Settings
from protocol.settings.options import with_values
from tests.appserver.clients import ClientAuthority
from tests.appserver.pairs import Issuer, new_folders, put


def test_settings_are_named_and_those_that_wait_for_a_start_say_so() -> None:
    off = Encryption(encrypt=False, policy=Settings().tls)
    changed = with_values(Settings(), {"limits.open_calls": 7, "client_server.port": 7, "log.level": "debug"})
    assert changes_between((Settings(), off), (changed, off)) == (
        "client_server.port (at the next start)",
        "limits.open_calls",
        "log.level (at the next start)",
    )
    assert changes_between((changed, off), (changed, off)) == ()


def test_files_are_named(tmp_path: Path) -> None:
    issuer = Issuer()
    resources, _ = new_folders(tmp_path, issuer)
    settings = with_values(Settings(), {"tls.auto_certificate": False})
    issuer.pair().put(resources)
    first = load_encryption(settings, resources)
    issuer.pair().put(resources)
    second = load_encryption(settings, resources)
    assert set(changes_between((settings, first), (settings, second))) == {"key.pem", "cert.pem"}
    club = ClientAuthority()
    put(resources, "clients-ca.pem", club.pem)
    third = load_encryption(settings, resources)
    assert changes_between((settings, second), (settings, third)) == ("clients-ca.pem",)
    put(resources, "clients-crl.pem", club.revocations())
    fourth = load_encryption(settings, resources)
    assert changes_between((settings, third), (settings, fourth)) == ("clients-crl.pem",)
    closed = attrs.evolve(third, identity=None, context=None)
    assert changes_between((settings, closed), (settings, third)) == ("cert.pem",), (
        "never taken for no change"
    )
