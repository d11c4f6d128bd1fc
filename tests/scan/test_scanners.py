"""What the scanners print is understood: a planted fault is found, and silence is not taken for praise."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from protocol.certs.groups import GROUPS
from tests.scan import scanners
from tests.scan.scanners import (
    EXCEPTIONS,
    Finding,
    read_sslscan,
    read_sslyze,
    read_testssl,
    reason_for,
    run_testssl,
)
from tests.scan.servers import OURS, Scanned

RAW = {"X25519": "x25519", "P-256": "secp256r1 (NIST P-256)", "P-384": "secp384r1 (NIST P-384)"}
MODERN = Scanned("modern", 1, Path(), ("1.3",), GROUPS)
SUITE = '<cipher sslversion="TLSv1.3" cipher="TLS_A" strength="acceptable" ecdhebits="253" />'


def sslscan_output(
    *groups: str, tls11: str = "0", suites: str = SUITE, more: str = '<compression supported="0" />'
) -> str:
    named = "".join(f'<group sslversion="TLSv1.3" name="{RAW.get(group, group)}" />' for group in groups)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<document><ssltest>'
        f'<protocol type="tls" version="1.1" enabled="{tls11}" />'
        f'<protocol type="tls" version="1.3" enabled="1" />{more}{suites}{named}</ssltest></document>\n'
    )


def test_sslscan_has_nothing_against_what_is_right() -> None:
    assert read_sslscan(0, sslscan_output(*GROUPS), MODERN) == []


@pytest.mark.parametrize(
    ("output", "item", "text"),
    [
        (sslscan_output("X25519", "P-256"), "groups of TLS 1.3", "P-256, X25519"),
        (sslscan_output(*GROUPS, "ffdhe8192"), "groups of TLS 1.3", "P-256, P-384, X25519, ffdhe8192"),
        (sslscan_output(), "groups of TLS 1.3", "none"),
        (sslscan_output(*GROUPS, tls11="1"), "versions", "tls1.1, tls1.3"),
        (sslscan_output(*GROUPS, suites=SUITE.replace("acceptable", "weak")), "suite", "TLS_A"),
        (sslscan_output(*GROUPS, suites=SUITE.replace("ecdhebits", "x")), "suite", "TLS_A"),
        (
            sslscan_output(*GROUPS, suites=SUITE.replace('ecdhebits="253"', 'dhebits="1024"')),
            "suite",
            "TLS_A",
        ),
        (sslscan_output(*GROUPS, more='<heartbleed vulnerable="1" />'), "heartbleed", "yes"),
        (sslscan_output(*GROUPS, more='<renegotiation supported="1" secure="1" />'), "renegotiation", "yes"),
    ],
)
def test_sslscan_finds_each_fault(output: str, item: str, text: str) -> None:
    assert read_sslscan(0, output, MODERN) == [Finding("sslscan", item, text)]


def test_sslyze_has_its_way_without_exception() -> None:
    assert not [key for key in EXCEPTIONS if key[0] == "sslyze"]


def test_a_scanner_that_did_not_work_is_a_finding() -> None:
    assert read_sslscan(0, "", MODERN)[0].item == "failed"
    assert read_sslscan(1, sslscan_output(*GROUPS), MODERN)[0].item == "failed"
    assert read_sslyze(0, "")[0].item == "failed"
    assert read_sslyze(1, "  localhost:1: ERROR - Scan did not run successfully")[0].item == "failed"
    assert read_testssl("", "no such host")[0].item == "failed"
    assert read_testssl("[]", "")[0].item == "failed"


def test_sslyze_is_read() -> None:
    assert read_sslyze(0, "    localhost:1: OK - Compliant.\n") == []
    refused = "    localhost:1: FAILED - Not compliant.\n        * ciphers: Cipher suites {'A'} are bad.\n"
    assert read_sslyze(1, refused) == [Finding("sslyze", "ciphers", "Cipher suites {'A'} are bad.")]


def test_testssl_is_read_from_low_on() -> None:
    rated = {
        "TLS1_3": "OK",
        "a": "INFO",
        "b": "WARN",
        "c": "LOW",
        "d": "MEDIUM",
        "e": "HIGH",
        "f": "CRITICAL",
    }
    items = [{"id": item, "severity": severity, "finding": "x"} for item, severity in rated.items()]
    assert [finding.item for finding in read_testssl(json.dumps(items), "")] == ["c", "d", "e", "f"]


@pytest.mark.parametrize(("times", "counts"), [(1, False), (3, False), (4, True)])
def test_a_renegotiation_that_is_not_found_again_was_none(
    times: int, counts: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = [
        {"id": "TLS1_2", "severity": "OK", "finding": "x"},
        {"id": "a", "severity": "LOW", "finding": "x"},
    ]
    crossed = {"id": "secure_client_renego", "severity": "HIGH", "finding": "x"}
    runs: list[list[str]] = []

    def run(words: list[str]) -> tuple[int, str]:
        runs.append(words)
        seen = items[: 2 if len(runs) == 1 else 1] + [crossed] * (len(runs) <= times)
        Path(words[words.index("--jsonfile") + 1]).write_text(json.dumps(seen), "utf-8")
        return 0, ""

    monkeypatch.setattr(scanners, "_run", run)
    found = [finding.item for finding in run_testssl(Scanned("default", 1, tmp_path))]
    assert found == ["a", *["secure_client_renego"] * counts]
    assert len(runs) == min(times + 1, 4)
    assert all("--renegotiation" in words for words in runs[1:])


def test_exceptions_have_reasons_and_never_excuse_the_control() -> None:
    weak = Scanned("weak", 1, Path())
    for (scanner, name, item), reason in EXCEPTIONS.items():
        assert len(reason) > 40
        for ours in OURS if name == "*" else [name]:
            assert reason_for(Finding(scanner, item, ""), Scanned(ours, 1, Path())) == reason
        assert reason_for(Finding(scanner, item, ""), weak) is None
        assert reason_for(Finding(scanner, item + "x", ""), Scanned("default", 1, Path())) is None
    assert (
        reason_for(Finding("sslyze", "maximum_certificate_lifespan", ""), Scanned("default", 1, Path()))
        is None
    )
