"""kill -9 in every change of a Resources folder: the old pair or the new one, whole, and no key open to others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

from protocol.certs import ensure_server_identity, make_key_pair
from protocol.certs.keys import load_private_key
from tests.protocol.certs.conftest import Authority, PrivateKey, pem_of
from tests.protocol.certs.kill_rig import CHANGES, PASSPHRASE

ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot fork")


@pytest.fixture
def start(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    authorities: dict[str, Authority],
    keys: dict[str, PrivateKey],
) -> Path:
    """The folder as it is before the change."""
    folder = tmp_path / "start"
    resources = folder / "Resources"
    folder.mkdir()
    change = request.node.callspec.params["change"]
    if change in ("first start", "keypair"):
        return folder
    ensure_server_identity(resources)
    if change == "install a new key":
        make_key_pair(resources, replace=True)
    if change.startswith("install"):
        waiting = resources / ("next-key.pem" if change == "install a new key" else "key.pem")
        own = load_private_key(waiting)
        (folder / "sent.pem").write_bytes(pem_of(authorities["root"].issue(own)))  # type: ignore[arg-type]
    if change == "import":
        issued = authorities["root"].issue(keys["own"])
        packed = pkcs12.serialize_key_and_certificates(
            b"", keys["own"], issued, None, BestAvailableEncryption(PASSPHRASE)
        )
        (folder / "sent.p12").write_bytes(packed)
    return folder


def run(change: str, start: Path, rounds: int) -> int:
    """How many kills there were."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.protocol.certs.kill_rig", change, str(start), str(rounds)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[0])


@pytest.mark.parametrize("change", CHANGES)
def test_a_kill_at_each_step_leaves_a_pair_that_fits_and_the_next_start_is_clean(
    start: Path, change: str
) -> None:
    assert run(change, start, 0) >= 5, "the kills were not among the steps"


@pytest.mark.parametrize("change", CHANGES)
def test_fifty_kills_at_random_moments_do_no_harm(start: Path, change: str) -> None:
    assert run(change, start, 50) > 0
