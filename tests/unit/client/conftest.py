"""Fixtures that need a hub on the wire."""

import importlib.util
from pathlib import Path

import pytest

PLACE = Path(__file__).parents[1] / "client" / "fakehub.py"
SPEC = importlib.util.spec_from_file_location("fakehub", PLACE)
fakehub = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(fakehub)


@pytest.fixture
def play():
    """Make one scripted answer."""
    return fakehub.Play


@pytest.fixture
def no_hub():
    """Return a URL at which nobody listens."""
    return fakehub.free_url()


@pytest.fixture
def hub():
    """Run a scripted hub."""
    with fakehub.fake_hub() as running:
        yield running
