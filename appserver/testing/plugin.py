"""The pytest plugin: a fixture that gives tests the harness. It is loaded wherever appserver is installed."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def loopback() -> Any:
    """Give a test the harness: `async with` what it returns for an application is a client."""
    from appserver import testing  # not before a test asks for it: every pytest run loads this module

    return testing.loopback
