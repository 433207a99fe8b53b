"""A stop is polite, then final, may come at any time, and is learned from `observe`."""

from __future__ import annotations

from fenglin.model.reason import Reason
from fenglin.ports.driver import Presence
from fenglin.testing.conformance.harness import Payload
from fenglin.testing.conformance.site import GRACE_MS, SiteHand

# The shell itself remarks on errors when a signal ends its `sleep`.
FOR_EVER = "exec 2>/dev/null; while :; do sleep 0.05; done"


class StoppingCases:
    """D5: stop is idempotent. J6: an acknowledged cancel ends with nothing alive."""

    def test_stop_ends_what_runs(self, site: SiteHand) -> None:
        """The task ends before its time, as cancelled."""
        key = site.start(site.order(Payload(sleep_s=200 * site.harness.tick_s)))
        site.running(key)
        site.stop(key)
        ends, last = site.finish(key)
        assert [(end.index, end.reason) for end in ends] == [(0, Reason.CANCELLED)]
        assert ends[0].exit_code != 0
        assert last.reason is Reason.CANCELLED

    def test_stop_twice_and_from_another_hub_process(self, site: SiteHand) -> None:
        """A stop that was heard may be asked for again by a hub that restarted."""
        key = site.start(site.order(Payload(sleep_s=200 * site.harness.tick_s)))
        site.running(key)
        site.restart()
        site.stop(key)
        site.stop(key)
        site.restart()
        site.stop(key)
        ends, _ = site.finish(key)
        assert [(end.index, end.reason) for end in ends] == [(0, Reason.CANCELLED)]

    def test_stop_of_an_ended_attempt_changes_nothing(self, site: SiteHand) -> None:
        """Terminal states never change."""
        key = site.start(site.order(Payload(exit_code=4)))
        before = site.finish(key)
        site.stop(key)
        site.restart()
        after = site.finish(key)
        assert after[0] == before[0]
        assert [end.exit_code for end in after[0]] == [4]
        assert after[1].reason is None

    def test_stop_that_crosses_its_start(self, site: SiteHand) -> None:
        """Whichever comes first at the site, the attempt ends cancelled and can be forgotten."""
        orders = [site.order(Payload(sleep_s=200 * site.harness.tick_s)) for _ in range(5)]
        for order in orders:
            site.start(order)
            site.stop(order.key, 0)
        for order in orders:
            ends, last = site.finish(order.key)
            assert last.reason is Reason.CANCELLED
            assert {end.reason for end in ends} <= {Reason.CANCELLED}
            assert site.harness.runs(order.key) in ([], [0])
            site.forget(order.key)

    def test_stop_of_what_never_was_is_no_error(self, site: SiteHand) -> None:
        """Nothing runs, and nothing is said to."""
        key = site.key()
        site.stop(key)
        site.stop(key)
        seen = site.look(key)
        assert seen.presence in {Presence.ABSENT, Presence.ENDED}
        assert seen.ends == ()

    def test_a_task_is_asked_politely(self, site: SiteHand) -> None:
        """SIGTERM first, and the time of the grace to save what it has."""
        site.need_processes()
        mark = site.harness.folder / "ready"
        script = f"trap 'echo saved; exit 0' TERM; echo ready; touch {mark}; {FOR_EVER}"
        key = site.start(site.order(script=script))
        site.running(key)
        site.wait(mark.exists, "the task's trap")
        site.stop(key, GRACE_MS)
        ends, _ = site.finish(key)
        assert [end.reason for end in ends] == [Reason.CANCELLED]
        assert site.text(key).splitlines() == ["ready", "saved"]

    def test_a_deaf_task_is_killed_after_its_grace(self, site: SiteHand) -> None:
        """What does not listen ends all the same."""
        site.need_processes()
        mark = site.harness.folder / "ready"
        key = site.start(site.order(script=f"trap '' TERM; touch {mark}; {FOR_EVER}"))
        site.running(key)
        site.wait(mark.exists, "the task's trap")
        site.stop(key, 100)
        ends, _ = site.finish(key)
        assert [(end.exit_code, end.reason) for end in ends] == [(137, Reason.CANCELLED)]

    def test_nothing_of_a_stopped_task_is_left(self, site: SiteHand) -> None:
        """Children of a task end with it, also those in the background."""
        site.need_processes()
        beat = site.harness.folder / "beat"
        script = f"(trap '' TERM; while :; do date >> {beat}; sleep 0.05; done) &\necho ready; wait"
        key = site.start(site.order(script=script))
        site.running(key)
        site.wait(beat.exists, "a beat of the child")
        site.stop(key, 100)
        site.finish(key)
        size = beat.stat().st_size
        site.call(site.harness.rest(4 * 0.05))
        assert beat.stat().st_size == size
