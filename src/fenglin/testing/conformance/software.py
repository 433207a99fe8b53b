"""What a job brings along to stand in: the environment that its setup makes."""

from __future__ import annotations

import shlex

from fenglin.model.reason import Reason
from fenglin.ports.driver import Capability
from fenglin.testing.conformance.site import SiteHand


class SoftwareCases:
    """A setup runs before the tasks that want it, once for equal content."""

    def test_a_setup_is_made_once_and_seen_by_all_tasks(self, site: SiteHand) -> None:
        """By tasks of one attempt, and by the next one; another text is another environment."""
        site.need(Capability.SETUP)
        site.need_processes()
        made = site.harness.truth / "made"
        setup = f'echo x >> {shlex.quote(str(made))}; echo ready > "$FENGLIN_SETUP_DIR/state"'
        script = 'cat "$FENGLIN_SETUP_DIR/state"'
        for text, count in ((setup, 1), (setup, 1), (f"{setup} # again", 2)):
            order = site.array(3, script=script, setup=text, slots=2)
            ends, _ = site.run(order)
            assert [(end.exit_code, end.reason) for end in ends] == [(0, None)] * 3
            assert [site.text(order.key, task) for task in range(3)] == ["ready\n"] * 3
            assert len(made.read_text().splitlines()) == count

    def test_a_setup_that_fails_says_why(self, site: SiteHand) -> None:
        """No task runs; each ends by it, with what the setup said at its end."""
        site.need(Capability.SETUP)
        site.need_processes()
        order = site.array(2, setup="echo no such package >&2; exit 3")
        ends, last = site.run(order)
        assert ({end.reason for end in ends} or {last.reason}) == {Reason.SETUP_FAILED}
        assert site.harness.runs(order.key) == []
        if ends:
            assert "no such package" in site.text(order.key, 1)

    def test_a_stop_ends_a_setup(self, site: SiteHand) -> None:
        """It may take long, and nobody waits for it any more."""
        site.need(Capability.SETUP)
        site.need_processes()
        begun = site.harness.truth / "begun"
        order = site.order(setup=f"echo x > {shlex.quote(str(begun))}; sleep 300")
        key = site.start(order)
        site.wait(begun.exists, "the begin of the setup")
        site.stop(key, grace_ms=0)
        _, last = site.finish(key)
        assert last.reason is Reason.CANCELLED
        assert site.harness.runs(key) == []
