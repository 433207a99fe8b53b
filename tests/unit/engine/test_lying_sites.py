"""What a site says is never trusted beyond what can be, nor that it says nothing for now."""

import msgspec
import pytest

from fenglin.engine.admission import Admission
from fenglin.engine.fold import MOST_AHEAD_MS, Fold
from fenglin.engine.status import MOST_LICENCES, SiteStatus
from fenglin.errors import InputError
from fenglin.planner.policy import BALANCED
from fenglin.ports.driver import Observation, Presence, SiteReport
from fenglin.testing.builders import a_job, a_site

NOW_MS = 100_000


@pytest.mark.parametrize(
    ("said_ms", "believed_ms"),
    [
        (90_000, 90_000),
        (NOW_MS + 3_600_000, NOW_MS + 3_600_000),
        (NOW_MS + MOST_AHEAD_MS + 1, NOW_MS),
        (-5, NOW_MS),
        (2**70, NOW_MS),
    ],
)
def test_a_start_at_no_possible_time_counts_as_now(world, said_ms, believed_ms):
    pool = world.pool([world.job()], [world.allocation(1, 1, "0")])
    fold = Fold(pool, NOW_MS)
    fold.observed(Observation("hub-a1-1", Presence.RUNNING, (), 1, said_ms, "1"), 1)
    change = fold.finish()

    assert change.allocations[0].started_ms == believed_ms
    assert change.jobs[0].started_ms == believed_ms


def test_no_count_of_licences_is_beyond_what_can_be_planned():
    site = a_site()
    told = (("a", -5), ("b", 2**70), ("c", 3), ("c", 1))
    status = SiteStatus(site, down="", report=SiteReport(site.flavors, site.nodes, told))

    assert status.effective().licences == (("a", 0), ("b", MOST_LICENCES), ("c", 1))


def test_what_no_site_can_ever_hold_is_refused_also_while_sites_are_down(world):
    pool = world.pool(sites=(a_site(nodes=2),))
    pool.sites["site"].down = "no answer in time"
    admission = Admission(pool, BALANCED, frozenset({"default"}))
    gang = msgspec.structs.replace(a_job(), nodes=3)

    with pytest.raises(InputError, match="no site of the pool can ever hold"):
        admission.check(gang)
    admission.check(msgspec.structs.replace(gang, nodes=2))
