"""Enrolling at the server's folder: who gets a certificate for a code, who does not, and what revoking writes."""

from __future__ import annotations

import hashlib
import json
import shutil
import ssl
import stat
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from protocol.certs import (
    AlreadyEnrolled,
    CannotInvite,
    DamagedRegister,
    ExpiredCertificate,
    ExpiredInvitation,
    FullRegister,
    InvitationCode,
    KeyReadableByOthers,
    NotEnrolled,
    RenewalRefused,
    SubjectError,
    UnfitRequest,
    UnknownInvitation,
    UsedInvitation,
    admit_client,
    anchors_for_clients,
    check_resources,
    enrolled_are_accepted,
    ensure_server_identity,
    invite_client,
    list_clients,
    load_trust,
    open_server_identity,
    renew_client,
    require_certificates,
    restore_revocations,
    revoke_client,
    server_context,
)
from protocol.certs.authority import issue_client_certificate
from protocol.certs.client_certificates import common_name
from protocol.certs.first_start import load_authority
from protocol.certs.joining import finish_joining, make_key_request, prepare_joining
from protocol.certs.keys import make_private_key
from protocol.certs.memory_handshake import shake_hands
from protocol.certs.register import check_name
from protocol.certs.register_file import changing_register, read_register, register_file, write_register
from protocol.settings import TlsSettings
from tests.protocol.certs.odd import exchanged
from tests.secrecy.canaries import secret

NOW = datetime.now(UTC).replace(microsecond=0)
"""Some time before a test begins."""
OPENSSL = pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl")


@pytest.fixture
def resources(tmp_path: Path) -> Path:
    folder = tmp_path / "Resources"
    ensure_server_identity(folder)
    return folder


@pytest.fixture
def invite(resources: Path) -> Callable[..., InvitationCode]:
    def make(name: str = "ada", **options: object) -> InvitationCode:
        invited = invite_client(resources, name, host="localhost", port=1, **options)  # type: ignore[arg-type]
        secret(invited.code)
        return InvitationCode.parse(invited.code)

    return make


Invite = Callable[..., InvitationCode]


def request_of(key: object = None) -> bytes:
    return make_key_request(key or make_private_key("p256"))  # type: ignore[arg-type]


def certificate_of(der: bytes) -> x509.Certificate:
    return x509.load_der_x509_certificate(der)


class TestACode:
    def test_gives_a_certificate_for_a_client_and_for_nothing_else(
        self, resources: Path, invite: Invite
    ) -> None:
        key = make_private_key("p256")
        name, der = admit_client(resources, invite("Ada Lovelace").secret, request_of(key))
        made = certificate_of(der)
        authority, _ = load_authority(resources)
        made.verify_directly_issued_by(authority)
        assert name == "Ada Lovelace" == common_name(made.subject)
        assert made.public_key() == key.public_key()
        extensions = {part.oid: part.value for part in made.extensions}
        assert set(extensions) == {
            x509.BasicConstraints.oid,
            x509.KeyUsage.oid,
            x509.ExtendedKeyUsage.oid,
            x509.SubjectKeyIdentifier.oid,
            x509.AuthorityKeyIdentifier.oid,
        }
        assert extensions[x509.BasicConstraints.oid] == x509.BasicConstraints(ca=False, path_length=None)
        usage = x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH])
        assert extensions[x509.ExtendedKeyUsage.oid] == usage

    def test_counts_once_and_the_same_key_gets_the_same_again(self, resources: Path, invite: Invite) -> None:
        code, key = invite(), make_private_key("p256")
        first = admit_client(resources, code.secret, request_of(key))
        assert admit_client(resources, code.secret, request_of(key)) == first, "its reply was lost"
        with pytest.raises(UsedInvitation):
            admit_client(resources, code.secret, request_of())

    def test_is_over_at_its_end_for_everybody(self, resources: Path, invite: Invite) -> None:
        code, key = invite(lifetime=timedelta(minutes=1), now=NOW), request_of()
        admit_client(resources, code.secret, key, now=NOW)
        late = NOW + timedelta(minutes=2)
        with pytest.raises(ExpiredInvitation):
            admit_client(resources, code.secret, key, now=late)
        with pytest.raises(ExpiredInvitation):
            admit_client(resources, invite("eve", now=NOW).secret, request_of(), now=NOW + timedelta(hours=2))

    def test_that_nobody_made_is_unknown(self, resources: Path, invite: Invite) -> None:
        code = invite()
        for guess in (b"", bytes(20), code.secret[:-1], code.secret + b"\0", code.secret[::-1]):
            with pytest.raises(UnknownInvitation):
                admit_client(resources, guess, request_of())
        admit_client(resources, code.secret, request_of())

    def test_of_a_later_invitation_makes_the_earlier_one_worthless(
        self, resources: Path, invite: Invite
    ) -> None:
        early, late = invite(), invite("ADA")
        with pytest.raises(UnknownInvitation):
            admit_client(resources, early.secret, request_of())
        assert admit_client(resources, late.secret, request_of())[0] == "ADA"

    def test_is_stored_as_a_hash_that_others_cannot_read(self, resources: Path, invite: Invite) -> None:
        code = invite()
        path = register_file(resources)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600 or sys.platform == "win32"
        for file in resources.rglob("*"):
            if file.is_file():
                content = file.read_bytes()
                assert code.secret not in content
                assert code.secret.hex().encode() not in content
                assert code.encode().encode() not in content
        digest = hashlib.sha256(b"appserver invitation" + code.secret).hexdigest()
        assert json.loads(path.read_bytes())["invitations"][0]["digest"] == digest

    def test_that_many_try_at_once_lets_one_in(self, resources: Path, invite: Invite) -> None:
        code = invite()

        def attempt(_: int) -> bool:
            try:
                admit_client(resources, code.secret, request_of())
            except UsedInvitation:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(attempt, range(16))) == 1
        assert [entry.state for entry in list_clients(resources)] == ["enrolled"]


def test_who_guesses_or_asks_too_early_keeps_nobody_waiting(resources: Path, invite: Invite) -> None:
    """The lock is kept by another process here; whoever waits for it waits for seconds."""
    code, key = invite(), make_private_key("p256")
    _, certificate = admit_client(resources, code.secret, request_of(key))
    with changing_register(resources):
        with pytest.raises(UnknownInvitation):
            admit_client(resources, bytes(20), request_of())
        with pytest.raises(RenewalRefused):
            renew_client(resources, request_of())
        assert renew_client(resources, request_of(key)) == certificate


class TestARequest:
    def test_that_is_not_in_order_is_refused_and_the_code_still_counts(
        self, resources: Path, invite: Invite
    ) -> None:
        code = invite()
        sound = request_of()
        forged = bytearray(sound)
        forged[-1] ^= 1
        weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
        small = ec.generate_private_key(ec.SECP192R1())
        name = x509.Name([])
        bad = [b"", b"\x30", sound[:-1], bytes(forged), b"\0" * 10_000]
        bad += [
            exchanged(sound, old, new)
            for old, new in (
                ("020100", "020107"),  # the version
                ("06082a8648ce3d040302", "06082a8648ce3d04030a"),  # the kind of signature
                ("06082a8648ce3d030107", "06082a8648ce3d030108"),  # the curve
            )
        ]
        bad += [
            x509.CertificateSigningRequestBuilder()
            .subject_name(name)
            .sign(key, SHA256())
            .public_bytes(Encoding.DER)
            for key in (weak, small)
        ]
        for request in bad:
            with pytest.raises(UnfitRequest):
                admit_client(resources, code.secret, request)
        assert admit_client(resources, code.secret, sound)[0] == "ada"

    def test_says_nothing_about_the_name_or_the_use(self, resources: Path, invite: Invite) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        request = (
            x509.CertificateSigningRequestBuilder()
            .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "root")]))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("orders.example")]), critical=False)
            .sign(key, SHA256())
        )
        _, der = admit_client(resources, invite().secret, request.public_bytes(Encoding.DER))
        made = certificate_of(der)
        assert common_name(made.subject) == "ada"
        assert not made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        with pytest.raises(x509.ExtensionNotFound):
            made.extensions.get_extension_for_class(x509.SubjectAlternativeName)

    def test_for_the_key_of_another_client_is_refused(self, resources: Path, invite: Invite) -> None:
        key = make_private_key("p256")
        admit_client(resources, invite("ada").secret, request_of(key))
        with pytest.raises(UnfitRequest, match="another client"):
            admit_client(resources, invite("bob").secret, request_of(key))
        revoke_client(resources, "ada")
        with pytest.raises(UnfitRequest, match="another client"):
            admit_client(resources, invite("ada").secret, request_of(key))


class TestAName:
    @pytest.mark.parametrize(
        "name", ["", " ada", "ada ", "a\0b", "a\nb", "a\u200bb", "a\u202eb", "a\u00a0b", "x" * 65]
    )
    def test_that_people_could_mistake_is_refused(self, resources: Path, name: str) -> None:
        with pytest.raises(SubjectError, match="name"):
            invite_client(resources, name, host="localhost", port=1)
        assert read_register(resources).invitations == ()

    @given(st.text(max_size=70))
    def test_that_is_taken_is_one_that_servers_go_by(self, name: str) -> None:
        try:
            checked = check_name(name)
        except SubjectError:
            return
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, checked)])
        assert common_name(subject) == checked

    def test_is_had_by_one_client_until_it_is_revoked(self, resources: Path, invite: Invite) -> None:
        admit_client(resources, invite("Ada").secret, request_of())
        with pytest.raises(AlreadyEnrolled, match="--replace"):
            invite("ada")
        revoke_client(resources, "ada")
        admit_client(resources, invite("ada").secret, request_of())
        assert sorted(entry.state for entry in list_clients(resources)) == ["enrolled", "revoked"]

    def test_goes_to_another_client_where_that_was_said_and_when_it_joins(
        self, resources: Path, invite: Invite
    ) -> None:
        _, old = admit_client(resources, invite().secret, request_of())
        code = invite(replace=True)
        assert {entry.state for entry in list_clients(resources)} == {"enrolled", "invited"}
        _, new = admit_client(resources, code.secret, request_of())
        listed = revoked_serials(resources)
        assert certificate_of(old).serial_number in listed
        assert certificate_of(new).serial_number not in listed

    def test_of_the_host_must_be_one_of_the_servers(self, resources: Path) -> None:
        with pytest.raises(CannotInvite, match="that name"):
            invite_client(resources, "ada", host="other.example", port=1)
        invite_client(resources, "ada", host="other.example", port=1, names=["other.example"])


class TestRenewing:
    def enrol(self, resources: Path, invite: Invite, *, ago: timedelta) -> tuple[object, bytes]:
        key, then = make_private_key("p256"), NOW - ago
        _, der = admit_client(resources, invite(now=then).secret, request_of(key), now=then)
        return key, der

    def test_gives_the_same_certificate_until_a_third_is_left_and_then_another_for_the_same_key(
        self, resources: Path, invite: Invite
    ) -> None:
        key, first = self.enrol(resources, invite, ago=timedelta(days=0))
        request = request_of(key)
        assert renew_client(resources, request, now=NOW + timedelta(days=240)) == first
        second = renew_client(resources, request, shown=first, now=NOW + timedelta(days=250))
        assert second != first
        assert certificate_of(second).public_key() == certificate_of(first).public_key()
        assert common_name(certificate_of(second).subject) == "ada"
        again = renew_client(resources, request, now=NOW + timedelta(days=250))
        assert again == second, "the reply was lost, or another program shares the folder"

    def test_is_refused_to_strangers_the_revoked_and_the_late(self, resources: Path, invite: Invite) -> None:
        key, der = self.enrol(resources, invite, ago=timedelta(days=300))
        with pytest.raises(RenewalRefused):
            renew_client(resources, request_of())
        with pytest.raises(RenewalRefused):
            renew_client(resources, request_of(key), now=NOW + timedelta(days=66))
        stranger = open_server_identity(resources).chain[0]
        with pytest.raises(RenewalRefused, match="another key"):
            renew_client(resources, request_of(key), shown=stranger)
        revoke_client(resources, "ada")
        with pytest.raises(RenewalRefused):
            renew_client(resources, request_of(key), shown=der)

    def test_leaves_all_certificates_that_have_not_ended_to_be_revoked(
        self, resources: Path, invite: Invite
    ) -> None:
        key, first = self.enrol(resources, invite, ago=timedelta(days=300))
        second = renew_client(resources, request_of(key))
        assert revoke_client(resources, "ada").certificates == 2
        both = {certificate_of(der).serial_number for der in (first, second)}
        assert revoked_serials(resources) == both


def revocation_lists(resources: Path) -> list[x509.CertificateRevocationList]:
    pem = (resources / "clients-crl.pem").read_bytes()
    end = b"-----END X509 CRL-----\n"
    return [x509.load_pem_x509_crl(part + end) for part in pem.split(end) if part]


def foreign_list(issuer: x509.Name) -> x509.CertificateRevocationList:
    """A list that another authority has signed."""
    builder = x509.CertificateRevocationListBuilder(issuer, NOW, NOW + timedelta(days=9))
    return builder.sign(make_private_key("p256"), SHA256())


def revoked_serials(resources: Path) -> set[int]:
    return {entry.serial_number for entry in revocation_lists(resources)[0]}


class TestRevoking:
    @OPENSSL
    def test_writes_a_list_that_openssl_verifies_and_goes_by(
        self, tmp_path: Path, resources: Path, invite: Invite
    ) -> None:
        authority = resources / "authority" / "ca.pem"
        for name in ("ada", "bob"):
            _, der = admit_client(resources, invite(name).secret, request_of())
            (tmp_path / name).write_bytes(certificate_of(der).public_bytes(Encoding.PEM))
        revoke_client(resources, "ada")
        written = resources / "clients-crl.pem"
        listed = openssl("crl", "-in", written, "-CAfile", authority, "-noout")
        assert "verify OK" in listed.stderr
        check = ("verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", authority)
        revocations = ("-crl_check", "-CRLfile", written)
        assert openssl(*check, tmp_path / "ada").returncode == 0
        assert "certificate revoked" in openssl(*check, *revocations, tmp_path / "ada").stderr
        assert openssl(*check, *revocations, tmp_path / "bob").returncode == 0

    def test_may_be_done_again_with_another_number(self, resources: Path, invite: Invite) -> None:
        admit_client(resources, invite().secret, request_of())
        numbers = []
        for _ in range(2):
            revoke_client(resources, "ada")
            (made,) = revocation_lists(resources)
            numbers.append(made.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number)
        assert numbers[0] < numbers[1]
        assert len(revoked_serials(resources)) == 1

    def test_keeps_the_lists_of_other_authorities(
        self, tmp_path: Path, resources: Path, invite: Invite
    ) -> None:
        other = tmp_path / "other"
        ensure_server_identity(other)
        code = InvitationCode.parse(invite_client(other, "x", host="localhost", port=1).code)
        admit_client(other, code.secret, request_of())
        revoke_client(other, "x")
        shutil.copy(other / "clients-crl.pem", resources)
        admit_client(resources, invite().secret, request_of())
        for _ in range(2):
            revoke_client(resources, "ada")
        assert len({made.issuer for made in revocation_lists(resources)}) == 2
        assert len(revocation_lists(resources)) == 2

    def test_is_put_back_where_another_list_was_written_over_it(
        self, resources: Path, invite: Invite
    ) -> None:
        """As by an administrator who gets the other authority's list anew each month."""
        require_certificates(resources)
        _, ada = admit_client(resources, invite().secret, request_of())
        revoke_client(resources, "ada")
        club = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "club")])
        other = foreign_list(club).public_bytes(Encoding.PEM)
        (resources / "clients-crl.pem").write_bytes(other)
        assert restore_revocations(resources, create=False)
        assert revoked_serials(resources) == {certificate_of(ada).serial_number}
        assert [made.issuer for made in revocation_lists(resources)][1:] == [club]
        assert not restore_revocations(resources)

    def test_is_put_back_where_the_file_is_gone_unless_another_may_be_on_its_way(
        self, resources: Path, invite: Invite
    ) -> None:
        require_certificates(resources)
        admit_client(resources, invite().secret, request_of())
        assert not restore_revocations(resources)
        revoke_client(resources, "ada")
        (resources / "clients-crl.pem").unlink()
        assert not restore_revocations(resources, create=False)
        assert not (resources / "clients-crl.pem").exists()
        assert restore_revocations(resources)
        assert len(revoked_serials(resources)) == 1

    def test_goes_on_saying_what_it_said_where_the_register_is_a_new_one(
        self, resources: Path, invite: Invite
    ) -> None:
        _, ada = admit_client(resources, invite().secret, request_of())
        revoke_client(resources, "ada")
        register_file(resources).unlink()
        _, bob = admit_client(resources, invite("bob").secret, request_of())
        revoke_client(resources, "bob")
        assert revoked_serials(resources) == {certificate_of(der).serial_number for der in (ada, bob)}
        late = NOW + timedelta(days=400)
        admit_client(resources, invite("bob", now=late).secret, request_of(), now=late)
        revoke_client(resources, "bob", now=late)
        assert len(revoked_serials(resources)) == 1, "what has ended needs no list"

    def test_takes_no_list_of_another_authority_with_the_same_name_for_its_own(
        self, resources: Path, invite: Invite
    ) -> None:
        admit_client(resources, invite().secret, request_of())
        revoke_client(resources, "ada")
        (own,) = revocation_lists(resources)
        damaged = bytearray(own.public_bytes(Encoding.DER))
        damaged[-1] ^= 1
        another = foreign_list(own.issuer)
        lists = [x509.load_der_x509_crl(bytes(damaged)), another]
        path = resources / "clients-crl.pem"
        path.write_bytes(b"".join(made.public_bytes(Encoding.PEM) for made in lists))
        revoke_client(resources, "ada")
        first, second = revocation_lists(resources)
        assert first.is_signature_valid(load_authority(resources)[0].public_key())  # type: ignore[arg-type]
        assert second == another

    def test_is_possible_after_the_authority_has_ended(self, resources: Path, invite: Invite) -> None:
        late = load_authority(resources)[0].not_valid_after_utc - timedelta(days=1)
        admit_client(resources, invite(now=late).secret, request_of(), now=late)
        assert revoke_client(resources, "ada", now=late + timedelta(days=10)).certificates == 1

    def test_withdraws_open_codes_and_knows_who_is_nobody(self, resources: Path, invite: Invite) -> None:
        code = invite()
        assert revoke_client(resources, "Ada").since is None
        with pytest.raises(UnknownInvitation):
            admit_client(resources, code.secret, request_of())
        with pytest.raises(NotEnrolled):
            revoke_client(resources, "ada")
        assert not (resources / "clients-crl.pem").exists()

    def test_says_whether_it_keeps_anybody_out(self, resources: Path, invite: Invite) -> None:
        admit_client(resources, invite().secret, request_of())
        assert not revoke_client(resources, "ada").required
        require_certificates(resources)
        assert revoke_client(resources, "ada").required


def openssl(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["openssl", *map(str, words)], capture_output=True, text=True, check=False, timeout=30
    )


class TestRequiringCertificates:
    def test_is_not_changed_by_an_invitation(self, resources: Path) -> None:
        assert not invite_client(resources, "ada", host="localhost", port=1).required
        assert not (resources / "clients-ca.pem").exists()

    def test_is_switched_on_by_itself_once(self, resources: Path) -> None:
        assert require_certificates(resources)
        assert not require_certificates(resources)
        assert enrolled_are_accepted(resources)
        assert len(open_server_identity(resources).client_authorities) == 1

    def test_by_others_authorities_lets_the_own_clients_in_from_the_first_invitation_on(
        self, tmp_path: Path, resources: Path
    ) -> None:
        ensure_server_identity(tmp_path / "other")
        shutil.copy(tmp_path / "other" / "authority" / "ca.pem", resources / "clients-ca.pem")
        assert not enrolled_are_accepted(resources)
        invited = invite_client(resources, "ada", host="localhost", port=1)
        assert invited.accepted
        assert invited.required
        assert len(open_server_identity(resources).client_authorities) == 2
        assert not invite_client(resources, "bob", host="localhost", port=1).accepted

    def test_takes_no_certificate_that_is_for_a_server(self, tmp_path: Path, resources: Path) -> None:
        """The authority that issues clients' certificates has issued the server's, too."""
        require_certificates(resources)
        server = open_server_identity(resources)
        folder = tmp_path / "client"
        request = prepare_joining(folder)
        code = InvitationCode.parse(invite_client(resources, "ada", host="localhost", port=1).code)
        _, certificate = admit_client(resources, code.secret, request)
        authority, anchors = anchors_for_clients(resources)
        finish_joining(folder, certificate, anchors, authority=authority, host="localhost", port=1)
        trust = load_trust(folder)
        context = server_context(server, TlsSettings(min_version="1.2"))
        shake_hands(context, client_context_with(folder, trust.anchors), "localhost")
        pem, key = tmp_path / "impostor.pem", resources / "key.pem"
        pem.write_bytes(certificate_of(server.chain[0]).public_bytes(Encoding.PEM))
        impostor = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        impostor.maximum_version = ssl.TLSVersion.TLSv1_2
        impostor.load_verify_locations(resources / "authority" / "ca.pem")
        impostor.load_cert_chain(pem, key)
        with pytest.raises(ssl.SSLError, match="certificate purpose"):
            shake_hands(context, impostor, "localhost")


def client_context_with(folder: Path, anchors: tuple[bytes, ...]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=b"".join(anchors))
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


class TestTheRegister:
    @pytest.mark.parametrize("content", [b"x", b"{}", b"[]", b'{"version": 2}', b"\xff\xfe"])
    def test_that_is_damaged_is_never_taken_for_empty(
        self, resources: Path, invite: Invite, content: bytes
    ) -> None:
        code = invite()
        register_file(resources).write_bytes(content)
        for act in (
            lambda: invite("bob"),
            lambda: list_clients(resources),
            lambda: admit_client(resources, code.secret, request_of()),
            lambda: revoke_client(resources, "ada"),
        ):
            with pytest.raises(DamagedRegister, match="backup"):
                act()
        assert register_file(resources).read_bytes() == content
        (found,) = check_resources(resources, None)
        assert isinstance(found, DamagedRegister)

    @pytest.mark.skipif(sys.platform == "win32", reason="permissions are the folder's there")
    def test_that_others_can_read_is_refused(self, resources: Path, invite: Invite) -> None:
        invite()
        register_file(resources).chmod(0o644)
        with pytest.raises(KeyReadableByOthers, match="chmod"):
            list_clients(resources)

    def test_has_room_for_more_clients_than_one_server_serves(
        self, resources: Path, invite: Invite, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        admit_client(resources, invite("ada").secret, request_of())
        with changing_register(resources) as register:
            (ada,) = register.clients
            others = [
                attrs.evolve(ada, name=f"ada {number}", fingerprint=f"sha256:{number:064x}")
                for number in range(3000)
            ]
            write_register(resources, attrs.evolve(register, clients=(ada, *others)), now=NOW)
        admit_client(resources, invite("bob").secret, request_of())
        assert revoke_client(resources, "ada 2999").certificates == 1
        assert len(list_clients(resources)) == 3002
        monkeypatch.setattr("protocol.certs.register_file.MAX_SIZE", register_file(resources).stat().st_size)
        before = register_file(resources).read_bytes()
        with pytest.raises(FullRegister):
            invite("eve")
        assert register_file(resources).read_bytes() == before

    def test_forgets_what_nobody_needs(self, resources: Path, invite: Invite) -> None:
        long_ago = NOW - timedelta(days=400)
        admit_client(resources, invite("ada", now=long_ago).secret, request_of(), now=long_ago)
        revoke_client(resources, "ada", now=long_ago)
        invite("bob", now=long_ago)
        assert len(list_clients(resources)) == 2
        invite("eve")
        assert [entry.name for entry in list_clients(resources)] == ["eve"]


def test_an_authority_that_has_ended_takes_nobody_in(resources: Path, invite: Invite) -> None:
    end = load_authority(resources)[0].not_valid_after_utc
    code = invite(now=end - timedelta(minutes=10))
    with pytest.raises(ExpiredCertificate):
        admit_client(resources, code.secret, request_of(), now=end + timedelta(minutes=1))


def test_a_certificate_ends_with_its_authority(resources: Path) -> None:
    authority, key = load_authority(resources)
    late = authority.not_valid_after_utc - timedelta(days=10)
    made = issue_client_certificate(
        authority, key, make_private_key("p256").public_key(), name="ada", now=late
    )
    assert made.not_valid_after_utc == authority.not_valid_after_utc
