"""The conformance suite: what every driver must do, proved against the real site.

A driver's whole test is a class of a few lines. It says how the driver is built; the driver
itself says what it can do, by `capabilities`, and what it cannot do is skipped with a reason:

    class TestMine(DriverConformance):
        @pytest.fixture
        def harness(self, tmp_path):
            return Harness(driver, tmp_path, settings={"address": "login.example.org"})

A `Harness` subclass adds, hook by hook, what only the site's owner can do: cut the line, count
the outside objects, take a node down, kill the driver's agent. Needs pytest, nothing else of
`fenglin.testing` does.
"""

import pkgutil

import pytest

pytest.register_assert_rewrite(
    *(f"{__name__}.{module.name}" for module in pkgutil.iter_modules(__path__))
)

from fenglin.testing.conformance.harness import Harness, Payload  # noqa: E402 - after the rewrite
from fenglin.testing.conformance.site import SiteHand  # noqa: E402
from fenglin.testing.conformance.suite import DriverConformance  # noqa: E402

__all__ = ["DriverConformance", "Harness", "Payload", "SiteHand"]
