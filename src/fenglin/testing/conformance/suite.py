"""The suite put together: one class to subclass."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fenglin.testing.conformance.abilities import AbilityCases
from fenglin.testing.conformance.arrays import ArrayCases, GangCases
from fenglin.testing.conformance.files import FileCases
from fenglin.testing.conformance.hidden import HiddenCases
from fenglin.testing.conformance.hostile import HostileCases
from fenglin.testing.conformance.inventory import InventoryCases
from fenglin.testing.conformance.logs import LogCases
from fenglin.testing.conformance.observing import ObservingCases
from fenglin.testing.conformance.partial import PartialCases
from fenglin.testing.conformance.running import RunningCases
from fenglin.testing.conformance.site import SiteHand
from fenglin.testing.conformance.software import SoftwareCases
from fenglin.testing.conformance.starting import StartingCases
from fenglin.testing.conformance.stopping import StoppingCases
from fenglin.testing.conformance.usage import UsageCases

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fenglin.testing.conformance.harness import Harness


class DriverConformance(
    InventoryCases,
    StartingCases,
    ObservingCases,
    StoppingCases,
    PartialCases,
    RunningCases,
    ArrayCases,
    GangCases,
    LogCases,
    FileCases,
    SoftwareCases,
    HiddenCases,
    UsageCases,
    AbilityCases,
    HostileCases,
):
    """Everything that a driver must do. Subclass it and define the fixture `harness`."""

    @pytest.fixture
    def harness(self) -> Harness:
        """Return the harness of the site under test; the one thing a subclass must define."""
        raise NotImplementedError("define the fixture `harness`")

    @pytest.fixture
    def site(self, harness: Harness) -> Iterator[SiteHand]:
        """Yield the site, opened; end everything on it afterwards."""
        hand = SiteHand(harness)
        yield hand
        hand.close()
