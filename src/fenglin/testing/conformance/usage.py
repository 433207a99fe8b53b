"""What is billed: the site's own record, equal to the sum of the ends."""

from __future__ import annotations

import sys

import pytest

from fenglin.errors import DriverError
from fenglin.ports.driver import Capability
from fenglin.testing.conformance.harness import Payload
from fenglin.testing.conformance.site import SiteHand


class UsageCases:
    """M1 to M6 begin here: one record, no negative time, the same however often it is read."""

    def test_usage_is_the_sum_of_the_ends(self, site: SiteHand) -> None:
        """Tasks and runtime, failed tasks too; the minimum of a price is not the site's matter."""
        order = site.order(Payload(sleep_s=site.harness.tick_s, exit_code=2))
        ends, _ = site.run(order)
        usage = site.usage(order.key)
        assert usage.tasks == len(ends) == 1
        assert usage.wall_ms == usage.billed_ms == sum(end.wall_ms for end in ends)
        assert usage.wall_ms >= 1_000 * (site.harness.tick_s - site.harness.coarse_s)
        assert usage.cpu_ms == sum(end.cpu_ms for end in ends)
        site.restart()
        assert site.usage(order.key) == usage
        assert site.usage(order.key) == usage

    def test_usage_of_an_array(self, site: SiteHand) -> None:
        """A sum over tasks."""
        order = site.array(5, Payload(sleep_s=site.harness.tick_s / 2))
        ends, _ = site.run(order)
        usage = site.usage(order.key)
        assert usage.tasks == 5
        assert usage.wall_ms == sum(end.wall_ms for end in ends)

    def test_usage_of_what_was_stopped(self, site: SiteHand) -> None:
        """Time is counted up to the end, not to when it would have ended."""
        long_s = 500 * site.harness.tick_s
        key = site.start(site.order(Payload(sleep_s=long_s)))
        site.running(key)
        site.call(site.harness.rest(site.harness.tick_s))
        site.stop(key)
        ends, _ = site.finish(key)
        usage = site.usage(key)
        assert (usage.tasks, usage.wall_ms) == (1, sum(end.wall_ms for end in ends))
        assert 0 <= usage.wall_ms < 1_000 * long_s

    def test_usage_of_what_never_ran(self, site: SiteHand) -> None:
        """No record is an error, not a zero that would be billed."""
        with pytest.raises(DriverError):
            site.usage(site.key())

    def test_usage_agrees_with_the_sites_accounting(self, site: SiteHand) -> None:
        """M4: ours against what the site says when it is asked some other way."""
        order = site.order(Payload(sleep_s=2 * site.harness.tick_s))
        site.run(order)
        theirs = site.call(site.harness.accounting(order.key))
        ours = site.usage(order.key)
        assert ours.tasks == theirs.tasks
        assert abs(ours.wall_ms - theirs.wall_ms) <= 1_000 * site.harness.coarse_s

    def test_meters(self, site: SiteHand) -> None:
        """CPU time and memory are those of the payload, roughly."""
        site.need(Capability.METERS)
        site.need_processes()
        script = (
            f"#!{sys.executable}\nimport time\nkept = b'x' * 50_000_000\n"
            "while time.process_time() < 0.3: pass\n"
        )
        order = site.order(script=script)
        (end,), _ = site.run(order)
        usage = site.usage(order.key)
        assert 250 <= end.cpu_ms <= 5_000
        assert 50_000_000 <= end.peak_memory_bytes <= 500_000_000
        assert (usage.cpu_ms, usage.peak_memory_bytes) == (end.cpu_ms, end.peak_memory_bytes)
