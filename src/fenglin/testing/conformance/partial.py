"""Some tasks of an attempt end while the others go on (capability STOP_TASKS)."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from fenglin.model.reason import Reason
from fenglin.ports.driver import Capability
from fenglin.quantities.taskset import TaskSet
from fenglin.testing.conformance.harness import Payload
from fenglin.testing.conformance.site import SiteHand

if TYPE_CHECKING:
    from fenglin.ports.driver import StopsTasks


class PartialCases:
    """J6 for single tasks: what is unwanted ends or never begins, what is wanted is untouched."""

    def test_single_tasks_are_ended(self, site: SiteHand) -> None:
        """One that runs and one that waits; a hub that comes back asks again, then for the rest."""
        site.need(Capability.STOP_TASKS)
        long_s = 200 * site.harness.tick_s
        key = site.start(site.array(4, Payload(sleep_s=long_s), slots=1))
        site.running(key)
        _stop_tasks(site, key, "0,2")
        site.wait(lambda: site.look(key).started == 2, "the start of task 1")
        site.restart()
        _stop_tasks(site, key, "0")
        ended = {end.index: end.reason for end in site.look(key).ends}
        assert ended in ({0: Reason.CANCELLED}, {0: Reason.CANCELLED, 2: Reason.CANCELLED})
        _stop_tasks(site, key, "1,3")
        ends, last = site.finish(key)
        assert sorted(end.index for end in ends) == [0, 1, 2, 3]
        assert {end.reason for end in ends} == {Reason.CANCELLED}
        assert sum(end.wall_ms for end in ends if end.index > 1) == 0
        # All its tasks have ended, so the attempt itself was not cut short.
        assert last.reason is None
        assert site.harness.runs(key) == [0, 1]

    def test_what_has_ended_keeps_its_end(self, site: SiteHand) -> None:
        """Tasks and keys that are gone, or never were, are no errors."""
        site.need(Capability.STOP_TASKS)
        key = site.start(site.array(2, Payload(exit_code=4)))
        before = site.finish(key)
        _stop_tasks(site, key, "0-1,9")
        _stop_tasks(site, site.key(), "0")
        site.restart()
        assert site.finish(key)[0] == before[0]
        assert [end.exit_code for end in before[0]] == [4, 4]


def _stop_tasks(site: SiteHand, key: str, tasks: str) -> None:
    """Ask for the end of some tasks."""
    driver = cast("StopsTasks", site.driver)
    site.call(driver.stop_tasks(key, TaskSet.parse(tasks), 1_000))
