"""The three scanners: how each is run, and what it has against a server.

Everything that a scanner minds is a finding, and so is whatever keeps it from finding anything: no answer,
a crash, an output that is not understood. What of this is no fault has a name and a reason in `EXCEPTIONS`.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from pathlib import Path
from xml.etree import ElementTree

import attrs

from protocol.certs.groups import HYBRID
from tests.scan.servers import Scanned

SECONDS = 540.0
_BAD = {"LOW", "MEDIUM", "HIGH", "CRITICAL", "FATAL"}
_ISSUE = re.compile(r"^\s+\* (\w+): (.+)$", re.MULTILINE)
_COMPLIANT = "OK - Compliant."
_GROUP_NAMES = {"x25519": "X25519", "secp256r1 (NIST P-256)": "P-256", "secp384r1 (NIST P-384)": "P-384"}
_OTHER_PEOPLES = (
    "it is about web servers, and the few octets that explain the port to a browser are no web page"
)
_PUBLIC = "it is about authorities on the internet, and this one is the server's own"

EXCEPTIONS = {
    ("testssl", "*", "cert_revocation"): f"{_PUBLIC}: a lost key is replaced at the clients, with the pin",
    ("testssl", "*", "DNS_CAArecord"): f"{_PUBLIC}: no record says which of them may issue for localhost",
    ("testssl", "*", "HSTS"): _OTHER_PEOPLES,
    ("testssl", "*", "security_headers"): _OTHER_PEOPLES,
}
"""Scanner, server ("*" for all of ours) and item, with the reason why the item is no fault."""


@attrs.frozen
class Finding:
    """One thing that a scanner minds.

    Attributes:
        scanner: which.
        item: its name for it, or "failed" where it found nothing at all.
        text: in its words.
    """

    scanner: str
    item: str
    text: str


def reason_for(finding: Finding, server: Scanned) -> str | None:
    """Why a finding is no fault of a server's; None where it is one."""
    names = (server.name, "*") if server.name != "weak" else ()
    return next(
        (EXCEPTIONS[key] for name in names if (key := (finding.scanner, name, finding.item)) in EXCEPTIONS),
        None,
    )


def run_sslyze(server: Scanned, python: Path) -> list[Finding]:
    """Compare a server with Mozilla's profile: modern where it speaks TLS 1.3 alone, or else intermediate.

    Args:
        server: to be scanned.
        python: of the environment that sslyze is installed in.
    """
    profile = "modern" if server.versions == ("1.3",) else "intermediate"
    words = [str(python), "-m", "sslyze", "--mozilla_config", profile]
    words += ["--certinfo_ca_file", str(server.authority), f"localhost:{server.port}"]
    return read_sslyze(*_run(words))


def read_sslyze(status: int, output: str) -> list[Finding]:
    """Read what sslyze has printed."""
    found = [Finding("sslyze", item, text) for item, text in _ISSUE.findall(output)]
    if not found and (status or _COMPLIANT not in output):
        return [Finding("sslyze", "failed", f"status {status}: {output[-500:]}")]
    return found


def run_sslscan(server: Scanned) -> list[Finding]:
    """Compare a server's versions, suites and groups with the ones that it should have."""
    return read_sslscan(*_run(["sslscan", "--xml=-", f"localhost:{server.port}"]), server)


def read_sslscan(status: int, output: str, server: Scanned) -> list[Finding]:
    """Read what sslscan has printed."""
    try:
        test = ElementTree.fromstring(output.strip()).find("ssltest")
    except ElementTree.ParseError:
        test = None
    if status or test is None:
        return [Finding("sslscan", "failed", f"status {status}: {output[-500:]}")]
    spoken = {
        f"{each.get('type')}{each.get('version')}"
        for each in test.iter("protocol")
        if each.get("enabled") == "1"
    }
    found = []
    if spoken != {f"tls{version}" for version in server.versions}:
        found.append(("versions", ", ".join(sorted(spoken)) or "none"))
    found += [("suite", str(each.get("cipher"))) for each in test.iter("cipher") if not _is_good(each)]
    for version in server.versions:
        if text := _groups(test, version, server.groups):
            found.append((f"groups of TLS {version}", text))
    flags = {"renegotiation": "supported", "compression": "supported", "heartbleed": "vulnerable"}
    found += [(tag, "yes") for tag, flag in flags.items() for each in test.iter(tag) if each.get(flag) == "1"]
    return [Finding("sslscan", item, text) for item, text in found]


def _is_good(suite: ElementTree.Element) -> bool:
    forward_secret = suite.get("ecdhebits") is not None or int(suite.get("dhebits", "0")) >= 2048
    return suite.get("strength") in ("strong", "acceptable") and forward_secret


def _groups(test: ElementTree.Element, version: str, groups: tuple[str, ...]) -> str | None:
    """The groups where they are not the right ones; in TLS 1.2 the certificate's curve may leave fewer."""
    raw = {str(each.get("name")) for each in test.iter("group") if each.get("sslversion") == f"TLSv{version}"}
    found = {_GROUP_NAMES.get(name, name) for name in raw}
    wanted = {group for group in groups if group != HYBRID or HYBRID in found}
    right = found == wanted if version == "1.3" else bool(found) and found <= wanted
    return None if right else ", ".join(sorted(found)) or "none"


_CROSSED = "secure_client_renego"
"""testssl.sh calls a server vulnerable that ends the connection in order before it was asked to renegotiate. Ours sends
whoever names no protocol away at once, so this is found now and then, when the two cross; a server that
renegotiates is found each time."""

_REPEATED = 3
"""How often it is looked at again before it counts."""


def run_testssl(server: Scanned, *options: str) -> list[Finding]:
    """Take everything that testssl.sh rates LOW or worse.

    Args:
        server: to be scanned.
        options: what to test; everything without, which takes two minutes.
    """
    found = _run_testssl(server, *options)
    for _ in range(_REPEATED):
        if not any(finding.item == _CROSSED for finding in found):
            break
        again = _run_testssl(server, "--protocols", "--renegotiation")
        found = [finding for finding in found if finding.item != _CROSSED]
        found += (finding for finding in again if finding.item in (_CROSSED, "failed"))
    return found


def _run_testssl(server: Scanned, *options: str) -> list[Finding]:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        words = ["testssl", "--quiet", "--warnings", "off", "--color", "0", "--add-ca", str(server.authority)]
        words += ["--jsonfile", str(report), *options, f"localhost:{server.port}"]
        _, output = _run(words)
        content = report.read_text("utf-8") if report.exists() else ""
    return read_testssl(content, output)


def read_testssl(content: str, output: str) -> list[Finding]:
    """Read the report of testssl.sh.

    Args:
        content: its JSON.
        output: what it has printed, for the case that there is no report.
    """
    try:
        items = json.loads(content)
    except ValueError:
        return [Finding("testssl", "failed", output[-500:])]
    if not any(item["id"].startswith("TLS1") for item in items):
        return [Finding("testssl", "failed", f"it has tested no version: {output[-500:]}")]
    return [
        Finding("testssl", item["id"], f"{item['severity']}: {item['finding']}")
        for item in items
        if item["severity"] in _BAD
    ]


def _run(words: list[str]) -> tuple[int, str]:
    done = subprocess.run(
        words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, errors="replace"
    )
    return done.returncode, done.stdout or done.stderr
