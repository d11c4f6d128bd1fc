"""The pytest plugin: a fixture that gives tests the harness. It is loaded wherever appserver is installed."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def loopback() -> Any:
    """The harness as a fixture: write `async with loopback(app) as client` in the test."""
    from appserver import testing  # not before a test asks for it: every pytest run loads this module

    return testing.loopback
