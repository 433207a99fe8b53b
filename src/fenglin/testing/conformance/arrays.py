"""Orders of many tasks, and tasks of many nodes."""

from __future__ import annotations

from fenglin.model.reason import Reason
from fenglin.ports.driver import Capability, Presence
from fenglin.testing.conformance.harness import Payload
from fenglin.testing.conformance.site import SiteHand


class ArrayCases:
    """Each task once, in no more slots than there are."""

    def test_each_task_of_an_array_runs_once(self, site: SiteHand) -> None:
        """Every index has one end over all cursors and one run."""
        order = site.array(20)
        ends, last = site.run(order)
        assert sorted(end.index for end in ends) == list(range(20))
        assert {(end.exit_code, end.reason) for end in ends} == {(0, None)}
        assert last.started == 20
        assert last.first_start_ms == min(end.started_ms for end in ends)
        assert site.harness.runs(order.key) == list(range(20))

    def test_part_of_an_array(self, site: SiteHand) -> None:
        """An order may hold any of an array's tasks; each knows its index and the whole size."""
        site.need_processes()
        script = "echo $FENGLIN_TASK_INDEX of $FENGLIN_TASK_COUNT, $FENGLIN_ATTEMPT"
        order = site.array(2, tasks="3,7-8,400", task_count=900, tries=((8, 5),), script=script)
        ends, _ = site.run(order)
        assert sorted(end.index for end in ends) == [3, 7, 8, 400]
        assert [site.text(order.key, task) for task in (3, 7, 8, 400)] == [
            "3 of 900, 1\n",
            "7 of 900, 1\n",
            "8 of 900, 5\n",
            "400 of 900, 1\n",
        ]

    def test_each_task_has_its_own_end(self, site: SiteHand) -> None:
        """One that fails ends none of the others."""
        site.need_processes()
        order = site.array(6, script="exit $FENGLIN_TASK_INDEX")
        ends, last = site.run(order)
        assert sorted((end.index, end.exit_code) for end in ends) == [(i, i) for i in range(6)]
        assert {end.index for end in ends if end.reason is None} == {0}
        assert last.reason is None

    def test_no_more_at_once_than_slots(self, site: SiteHand) -> None:
        """Two slots, six tasks: never a third beside two."""
        site.need_processes()
        busy = site.harness.folder / "busy"
        busy.mkdir()
        mark = f"{busy}/$FENGLIN_TASK_INDEX"
        script = f"touch {mark}; ls {busy} | wc -l; sleep 0.1; rm {mark}"
        order = site.array(6, script=script, slots=2)
        ends, _ = site.run(order)
        assert [end.exit_code for end in ends] == [0] * 6
        assert max(int(site.text(order.key, task)) for task in range(6)) <= 2

    def test_ends_are_told_as_they_come(self, site: SiteHand) -> None:
        """Through a chain of cursors and a restart each end is told exactly once."""
        order = site.array(8, Payload(sleep_s=site.harness.tick_s / 2), slots=2)
        key = site.start(order)
        cursor = ""
        told: list[int] = []

        def some() -> bool:
            nonlocal cursor
            seen = site.look(key, cursor)
            told.extend(end.index for end in seen.ends)
            cursor = seen.cursor or cursor
            return bool(told) or seen.presence is Presence.ENDED

        site.wait(some, "the first end")
        site.restart()
        rest, _ = site.finish(key, cursor)
        told += [end.index for end in rest]
        assert sorted(told) == list(range(8))

    def test_stop_in_the_middle_of_an_array(self, site: SiteHand) -> None:
        """What has ended keeps its end, what runs is cancelled, what has not begun never will."""
        long_s = 200 * site.harness.tick_s
        order = site.array(40, Payload(sleep_s=long_s), slots=2)
        key = site.start(order)
        site.running(key)
        site.stop(key)
        ends, last = site.finish(key)
        assert last.reason is Reason.CANCELLED
        assert len({end.index for end in ends}) == len(ends) < 40
        assert {end.reason for end in ends} == {Reason.CANCELLED}
        ran = site.harness.runs(key)
        site.restart()
        assert site.finish(key)[0] == ends
        assert site.harness.runs(key) == ran


class GangCases:
    """J10: the pieces of a gang start all or none, and end together."""

    def test_ranks_of_a_gang_know_each_other(self, site: SiteHand) -> None:
        """One task, one end, a process per node."""
        site.need(Capability.GANGS)
        site.need_processes()
        script = "echo $FENGLIN_NODE_RANK/$FENGLIN_NODE_COUNT of $FENGLIN_NODES"
        order = site.order(script=script, nodes=2, slots=1)
        ends, _ = site.run(order)
        assert [(end.index, end.exit_code) for end in ends] == [(0, 0)]
        lines = sorted(site.text(order.key).splitlines())
        assert [line.split(" of ")[0] for line in lines] == ["0/2", "1/2"]
        (nodes,) = {line.split(" of ")[1] for line in lines}
        assert len(set(nodes.split(","))) == 2

    def test_the_first_rank_that_fails_ends_the_gang(self, site: SiteHand) -> None:
        """No rank waits for ever for another that is gone."""
        site.need(Capability.GANGS)
        site.need_processes()
        script = '[ "$FENGLIN_NODE_RANK" = 1 ] && exit 5\nexec sleep 300'
        ends, _ = site.run(site.order(script=script, nodes=2, slots=1))
        assert [(end.index, end.exit_code, end.reason) for end in ends] == [
            (0, 5, Reason.EXIT_CODE)
        ]

    def test_a_gang_is_stopped_whole(self, site: SiteHand) -> None:
        """One stop, every rank."""
        site.need(Capability.GANGS)
        site.need_processes()
        key = site.start(site.order(Payload(sleep_s=300), nodes=2, slots=1))
        site.running(key)
        site.stop(key)
        ends, _ = site.finish(key)
        assert [(end.index, end.reason) for end in ends] == [(0, Reason.CANCELLED)]
