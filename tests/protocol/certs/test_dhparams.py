"""`dhparams.pem`: made at once, read with care, used by clients of TLS 1.2 without elliptic curves."""

from __future__ import annotations

import base64
import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal, getcontext
from pathlib import Path

import pytest

from protocol.certs import (
    DhParameters,
    check_server_resources,
    client_context,
    ensure_dh_parameters,
    ensure_server_identity,
    errors,
    generate_dh_parameters,
    load_dh_parameters,
    load_trust,
    open_server_identity,
    server_context,
)
from protocol.certs.dhparams import FFDHE2048
from protocol.certs.pem import encode_pem
from protocol.certs.primes import is_prime
from protocol.settings import TlsSettings

Bytes = Callable[..., bytes]
Fill = Callable[..., Path]
Shake = Callable[..., tuple[ssl.SSLObject, ssl.SSLObject]]

OPENSSL = shutil.which("openssl")
needs_openssl = pytest.mark.skipif(OPENSSL is None, reason="there is no openssl command")
DEFAULT = FFDHE2048.encode()
getcontext().prec = 800


def published_group() -> int:
    """The 2048-bit group of RFC 3526 section 3, by its formula; pi is summed as Newton did."""
    pi, term, n = Decimal(0), Decimal(2), 0
    while term > Decimal(10) ** -700:
        pi, n = pi + term, n + 1
        term = term * n / (2 * n + 1)
    digits = int((Decimal(2) ** 1918 * pi).to_integral_value(rounding="ROUND_FLOOR"))
    return 2**2048 - 2**1984 - 1 + 2**64 * (digits + 124476)


def openssl(*words: str, text: str = "") -> str:
    assert OPENSSL is not None
    return subprocess.run(
        [OPENSSL, *words], input=text, capture_output=True, text=True, timeout=60, check=True
    ).stdout


def test_the_default_group_is_the_published_one() -> None:
    """RFC 7919: p = 2^2048 - 2^1984 + {[2^1918 * e] + 560316} * 2^64 - 1."""
    digits = int((Decimal(2) ** 1918 * Decimal(1).exp()).to_integral_value(rounding="ROUND_FLOOR"))
    assert FFDHE2048.prime == 2**2048 - 2**1984 + (digits + 560316) * 2**64 - 1
    assert (FFDHE2048.generator, FFDHE2048.bits, FFDHE2048.name) == (2, 2048, "ffdhe2048")


@needs_openssl
def test_openssl_reads_what_is_written_and_knows_the_group(tmp_path: Path) -> None:
    tmp_path.joinpath("dhparams.pem").write_bytes(DEFAULT)
    assert "GROUP: ffdhe2048" in openssl(
        "dhparam", "-in", str(tmp_path / "dhparams.pem"), "-noout", "-text", "-check"
    )


def test_a_missing_file_is_made_once_and_one_that_is_there_stays(tmp_path: Path) -> None:
    assert load_dh_parameters(tmp_path) == FFDHE2048
    assert ensure_dh_parameters(tmp_path)
    assert (tmp_path / "dhparams.pem").read_bytes() == DEFAULT
    (tmp_path / "dhparams.pem").write_bytes(b"theirs")
    assert not ensure_dh_parameters(tmp_path)
    assert (tmp_path / "dhparams.pem").read_bytes() == b"theirs"
    assert not ensure_dh_parameters(tmp_path / "missing")  # nowhere to write is no error


def test_another_group_is_read_in_every_form(tmp_path: Path) -> None:
    group = DhParameters(published_group(), 2)
    text = group.encode()
    for content in (text, text.replace(b"\n", b"\r\n"), b"\xef\xbb\xbf" + text, b"a comment\n" + text):
        (tmp_path / "dhparams.pem").write_bytes(content)
        assert load_dh_parameters(tmp_path) == group
    assert group.name == "own"
    assert "2048 bits" in repr(group)
    assert hex(group.prime)[2:20] not in repr(group)


ROWS: list[tuple[str, bytes, type[errors.ResourcesError], str]] = [
    ("empty", b"", errors.EmptyFile, "empty"),
    ("blank", b" \r\n", errors.EmptyFile, "empty"),
    ("CR", DEFAULT.replace(b"\n", b"\r"), errors.BareCarriageReturn, "CR alone"),
    ("UTF-16", DEFAULT.decode().encode("utf-16"), errors.Utf16File, "UTF-16"),
    ("DER", b"\x30\x82\x01\x08\x02", errors.DerFile, "binary"),
    ("text", b"hello", errors.DamagedPem, "not PEM"),
    ("cut off", DEFAULT[:200], errors.DamagedPem, "cut off"),
    ("bad base64", DEFAULT.replace(b"\nM", b"\n*"), errors.DamagedPem, "damaged"),
    ("not numbers", encode_pem("DH PARAMETERS", b"\x30\x03\x04\x01\x00"), errors.DamagedPem, "damaged"),
    ("one number", encode_pem("DH PARAMETERS", b"\x30\x03\x02\x01\x05"), errors.DamagedPem, "damaged"),
    ("negative", encode_pem("DH PARAMETERS", b"\x30\x06\x02\x01\x85\x02\x01\x02"), errors.DamagedPem, ""),
    ("a certificate", encode_pem("CERTIFICATE", b"\x30\x00"), errors.WrongContents, "CERTIFICATE"),
    ("two", DEFAULT * 2, errors.WrongContents, "one block"),
    ("1024 bits", DhParameters((1 << 1023) + 1155, 2).encode(), errors.ShortDhParameters, "1024 bits"),
    ("2047 bits", DhParameters((1 << 2046) + 5, 2).encode(), errors.ShortDhParameters, "2047 bits"),
    ("8192 bits", DhParameters((1 << 8191) + 1, 2).encode(), errors.UnsafeDhParameters, "4096 are the most"),
    ("no prime", DhParameters(FFDHE2048.prime - 2, 2).encode(), errors.UnsafeDhParameters, "no"),
    ("even", DhParameters(FFDHE2048.prime - 1, 2).encode(), errors.UnsafeDhParameters, "not a prime"),
    ("generator 1", DhParameters(FFDHE2048.prime, 1).encode(), errors.UnsafeDhParameters, "generator"),
    (
        "generator -1",
        DhParameters(FFDHE2048.prime, FFDHE2048.prime - 1).encode(),
        errors.UnsafeDhParameters,
        "generator",
    ),
]


@pytest.mark.parametrize(("name", "content", "error", "text"), ROWS, ids=[row[0] for row in ROWS])
def test_each_fault_has_its_class_and_no_server_starts_with_it(
    resources: Path, name: str, content: bytes, error: type[errors.ResourcesError], text: str
) -> None:
    path = resources / "dhparams.pem"
    path.write_bytes(content)
    for load in (load_dh_parameters, open_server_identity, ensure_server_identity):
        with pytest.raises(errors.ResourcesError) as caught:
            load(resources)
        assert type(caught.value) is error
        assert caught.value.file == path
        assert text in caught.value.finding
        assert caught.value.remedy
    assert [type(found) for found in check_server_resources(resources)] == [error]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pipes or links of this kind")
def test_what_is_no_file_is_told_too(resources: Path) -> None:
    path = resources / "dhparams.pem"
    path.symlink_to("nowhere")
    with pytest.raises(errors.BrokenLink):
        open_server_identity(resources)
    path.unlink()
    path.mkdir()
    with pytest.raises(errors.NotAFile):
        open_server_identity(resources)
    path.rmdir()
    os.mkfifo(path)
    with pytest.raises(errors.NotAFile):
        open_server_identity(resources)


def test_a_damaged_file_raises_nothing_else(tmp_path: Path) -> None:
    content = bytes(FFDHE2048.encode())
    body = base64.b64decode(b"".join(content.split(b"\n")[1:-2]))
    for length in range(len(body)):
        (tmp_path / "dhparams.pem").write_bytes(encode_pem("DH PARAMETERS", body[: length or 1]))
        with pytest.raises(errors.ResourcesError):
            load_dh_parameters(tmp_path)


@pytest.mark.parametrize("group", ["default", "another"])
def test_a_client_of_tls_1_2_without_elliptic_curves_is_served(
    shake: Shake, fill: Fill, key: Bytes, cert: Bytes, ca: Bytes, group: str
) -> None:
    resources = fill(key=key("rsa"), cert=cert("rsa"))
    if group == "another":
        (resources / "dhparams.pem").write_bytes(DhParameters(published_group(), 2).encode())
    context = client_context(
        load_trust(fill("client", ca=ca("root"))), TlsSettings(ciphers="DHE-RSA-AES256-GCM-SHA384")
    )
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    client, _server = shake(server_context(open_server_identity(resources), TlsSettings()), context)
    cipher = client.cipher()
    assert cipher is not None
    assert cipher[0] == "DHE-RSA-AES256-GCM-SHA384"


def test_small_primes_are_told_from_composites() -> None:
    def by_division(number: int) -> bool:
        return number > 1 and all(number % divisor for divisor in range(2, int(number**0.5) + 1))

    for number in range(-3, 2000):
        assert is_prime(number, rounds=20) == by_division(number), number
    for carmichael in (561, 1105, 1729, 41041, 3215031751):
        assert not is_prime(carmichael, rounds=20)
    assert is_prime((1 << 127) - 1, rounds=5)


@needs_openssl
def test_an_own_group_is_safe_and_takes_the_files_place(tmp_path: Path) -> None:
    ensure_dh_parameters(tmp_path)
    chances: list[float] = []
    made = generate_dh_parameters(tmp_path, bits=512, progress=chances.append)
    assert made.bits == 512
    assert (made.prime % 24, made.generator) == (23, 2)
    assert pow(2, made.prime >> 1, made.prime) == 1, "two generates the large part"
    assert chances == sorted(chances)
    assert 0 <= chances[0] <= chances[-1] < 1
    checked = openssl("prime", "-hex", f"{made.prime:x}", f"{made.prime >> 1:x}")
    assert checked.count("is prime") == 2
    assert (tmp_path / "dhparams.pem").read_bytes() == made.encode()


def test_an_interrupted_search_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    ensure_dh_parameters(tmp_path)

    def interrupt(chance: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate_dh_parameters(tmp_path, progress=interrupt)
    assert [path.name for path in tmp_path.iterdir()] == ["dhparams.pem"]
    assert (tmp_path / "dhparams.pem").read_bytes() == DEFAULT
    with pytest.raises(errors.MissingFolder):
        generate_dh_parameters(tmp_path / "missing", progress=interrupt)
