"""Fixtures for rooms that need a hub on the wire: the client and the command line."""

import importlib.util
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

PLACE = Path(__file__).with_name("client") / "fakehub.py"
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


@pytest.fixture(scope="module")
def server():
    """Run one HTTP server for all tests of a file."""
    with fakehub.serving() as running:
        yield running


@pytest.fixture
def hub(server):
    """Return a hub without any script yet."""
    server.hub = fakehub.FakeHub(f"http://127.0.0.1:{server.server_port}")
    return server.hub


class Mortal(NamedTuple):
    """A hub that a test may stop, and how."""

    url: str
    hub: object
    stop: object


@pytest.fixture
def mortal():
    """Run a hub for this test alone."""
    with ExitStack() as stack:
        server = stack.enter_context(fakehub.serving())
        url = f"http://127.0.0.1:{server.server_port}"
        server.hub = fakehub.FakeHub(url)
        yield Mortal(url, server.hub, stack.close)
