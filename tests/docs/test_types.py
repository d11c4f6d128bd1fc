"""What the documents show passes `mypy --strict`."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

from tests.docs.pages import ROOT, blocks

README = ROOT / "README.md"
GUIDE = ROOT / "docs" / "guide.md"
CLIENT = ROOT / "docs" / "client.md"

CLIENTS_HEAD = """\
from appclient import Client
from desk_contract import Orders

async def around(client: Client, orders: Orders, address: str) -> None:
"""


def test_the_readme_the_guide_and_the_clients_page(tmp_path: Path) -> None:
    files = {"greeter": blocks(README)[0].text}
    files |= {block.module: block.text for block in blocks(GUIDE) if block.module}
    for page in (GUIDE, CLIENT):
        asynchronous = [
            block for block in blocks(page) if block.kind in ("client", "address") and "await" in block.text
        ]
        inside = "\n".join(block.text for block in asynchronous)
        files[f"{page.stem}_client"] = CLIENTS_HEAD + textwrap.indent(inside, "    ")
    for name, text in files.items():
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(ROOT / ".mypy_cache")]
    names = [f"{name}.py" for name in files]
    done = subprocess.run(
        [*command, *names], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout
