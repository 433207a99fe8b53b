"""What the hub learns: each end exactly once, and nothing that is not certain."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from fenglin.errors import DriverError
from fenglin.model.reason import SITE_FAULTS, Reason
from fenglin.ports.driver import Presence
from fenglin.testing.conformance.harness import Payload
from fenglin.testing.conformance.site import SiteHand

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from fenglin.ports.driver import Observation

MANY_KEYS = 3_000
DEADLINE_S = 30.0
BUSY = 3
GIVEN_UP_AFTER_S = 0.05


class ObservingCases:
    """Cursors, adoption after a restart, and the difference between absent and unknown."""

    def test_a_life(self, site: SiteHand) -> None:
        """A task is seen to run and to end, with times that fit."""
        before_ms = site.harness.now_ms()
        sleep_s = 2 * site.harness.tick_s
        key = site.start(site.order(Payload(sleep_s=sleep_s)))
        seen = site.running(key)
        assert (seen.started, seen.ends, seen.reason) == (1, (), None)
        ends, last = site.finish(key, seen.cursor)
        (end,) = ends
        assert (end.index, end.exit_code, end.reason) == (0, 0, None)
        # A site's clock may be some seconds off ours, and may count whole seconds.
        assert abs(end.started_ms - before_ms) < 1_000 * (site.harness.patience_s + sleep_s)
        assert last.first_start_ms == end.started_ms
        assert end.wall_ms >= 1_000 * sleep_s - 1_000 * site.harness.coarse_s
        assert last.reason is None

    def test_the_same_cursor_tells_the_same(self, site: SiteHand) -> None:
        """A hub that could not commit what it learned is told again, and the last adds nothing."""
        key = site.start(site.order())
        ends, last = site.finish(key)
        again, _ = site.finish(key)
        assert again == ends
        assert site.look(key, last.cursor).ends == ()
        site.restart()
        assert site.finish(key)[0] == ends
        assert site.look(key, last.cursor).presence is Presence.ENDED

    def test_a_restarted_hub_adopts_what_runs(self, site: SiteHand) -> None:
        """The end is learned by another driver from the former's cursor."""
        key = site.start(site.order(Payload(sleep_s=2 * site.harness.tick_s, says="hello")))
        cursor = site.running(key).cursor
        site.restart()
        assert key in site.listing()
        ends, _ = site.finish(key, cursor)
        assert [(end.index, end.exit_code) for end in ends] == [(0, 0)]
        assert site.harness.runs(key) == [0]

    def test_closing_ends_nothing(self, site: SiteHand) -> None:
        """A hub that stops in good order leaves its tasks alone; closing twice is no error."""
        key = site.start(site.order(Payload(sleep_s=2 * site.harness.tick_s)))
        site.running(key)
        former = site.driver
        site.restart(politely=True)
        site.call(former.close())
        ends, _ = site.finish(key)
        assert [end.exit_code for end in ends] == [0]

    def test_never_started_is_absent(self, site: SiteHand) -> None:
        """A complete listing without the key, so the hub may start it elsewhere."""
        seen = site.look(site.key())
        assert (seen.presence, seen.ends, seen.started) == (Presence.ABSENT, (), 0)

    def test_many_keys_in_one_call(self, site: SiteHand) -> None:
        """One observation for each key, whatever is known of it, none for others."""
        ended = site.start(site.order(Payload(exit_code=3)))
        site.finish(ended)
        runs = site.start(site.order(Payload(sleep_s=100 * site.harness.tick_s)))
        site.running(runs)
        never = site.key()
        seen = site.call(site.driver.observe({runs: "", never: "", ended: ""}))
        assert {one.key: one.presence for one in seen} == {
            runs: Presence.RUNNING,
            never: Presence.ABSENT,
            ended: Presence.ENDED,
        }
        assert len(seen) == 3
        assert list(site.call(site.driver.observe({}))) == []

    def test_thousands_of_keys_in_one_call(self, site: SiteHand) -> None:
        """One pass or one listing for all, within the hub's deadline, whatever their number."""
        key = site.start(site.order())
        site.finish(key)
        many = dict.fromkeys([key, *(site.key() for _ in range(MANY_KEYS))], "")

        async def observe() -> Sequence[Observation]:
            try:
                return await asyncio.wait_for(site.driver.observe(many), DEADLINE_S)
            except TimeoutError:
                # The machine is busy, or has lost a line; a call per key would be late again.
                return await asyncio.wait_for(site.driver.observe(many), BUSY * DEADLINE_S)

        seen = site.call(observe())
        assert {one.key for one in seen} == set(many)
        assert [one.key for one in seen if one.presence is not Presence.ABSENT] == [key]

    def test_a_cursor_that_is_none_of_ours_is_not_guessed_at(self, site: SiteHand) -> None:
        """What cannot be understood is unknown, or an error; never an end made up."""
        key = site.start(site.order())
        site.finish(key)
        try:
            seen = site.look(key, "\x00garbage:-1:🙂")
        except DriverError:
            return
        assert seen.presence is Presence.UNKNOWN
        assert seen.ends == ()

    def test_what_cannot_be_seen_is_unknown(self, site: SiteHand) -> None:
        """Loss of contact is never an end and never absence; afterwards all goes on."""
        # So long that it still runs when all is asked, however slow this machine is.
        key = site.start(site.order(Payload(sleep_s=500 * site.harness.tick_s)))
        site.running(key)
        never = site.key()
        site.call(site.harness.cut())
        try:
            for one in (key, never):
                assert _presence(site, one) is Presence.UNKNOWN
            with pytest.raises(DriverError):
                site.listing()
            if site.harness.starts_blind:
                site.restart()
                assert _presence(site, key) is Presence.UNKNOWN
        finally:
            site.call(site.harness.mend())
        site.wait(lambda: site.look(key).presence is Presence.RUNNING, "sight of it")
        assert site.look(never).presence is Presence.ABSENT
        site.stop(key)
        ends, _ = site.finish(key)
        assert [(end.index, end.reason) for end in ends] == [(0, Reason.CANCELLED)]

    def test_one_attempt_that_cannot_be_seen(self, site: SiteHand) -> None:
        """It is unknown, the others are not, and its end is told once when it can be."""
        hidden, plain = site.order(), site.order()
        for order in (hidden, plain):
            site.start(order)
        site.call(site.harness.blind(hidden.key))
        try:
            assert site.look(hidden.key).presence is Presence.UNKNOWN
            assert [end.index for end in site.finish(plain.key)[0]] == [0]
        finally:
            site.call(site.harness.mend())
        assert [end.index for end in site.finish(hidden.key)[0]] == [0]

    def test_a_call_that_hangs_can_be_given_up(self, site: SiteHand) -> None:
        """D4: the hub's deadline cancels it, and leaves nothing behind that blocks the next."""
        order = site.order()
        site.call(site.harness.hang())

        async def give_up() -> None:
            calls: tuple[Callable[[], Awaitable[object]], ...] = (
                site.driver.inventory,
                site.driver.keys,
                lambda: site.driver.start(order),
                lambda: site.driver.observe({order.key: ""}),
                lambda: site.driver.stop(site.key(), 0),
            )
            for call in calls:
                with pytest.raises((TimeoutError, DriverError)):
                    await asyncio.wait_for(call(), GIVEN_UP_AFTER_S)

        try:
            site.call(give_up())
        finally:
            site.call(site.harness.mend())
        site.start(order)
        assert [end.index for end in site.finish(order.key)[0]] == [0]
        assert site.harness.runs(order.key) == [0]

    def test_a_crash_at_the_site_is_the_sites_fault(self, site: SiteHand) -> None:
        """What ran is told as ended by the site, once, and after any restart the same."""
        key = site.start(site.order(Payload(sleep_s=100 * site.harness.tick_s)))
        site.running(key)
        site.call(site.harness.lose_agent(key))
        ends, last = site.finish(key)
        assert last.reason in SITE_FAULTS
        assert [end.index for end in ends] == [0]
        assert {end.reason for end in ends} <= SITE_FAULTS
        site.restart()
        assert site.finish(key)[0] == ends


def _presence(site: SiteHand, key: str) -> Presence:
    """Return what is said of a key; an error says nothing, as UNKNOWN does."""
    try:
        return site.look(key).presence
    except DriverError:
        return Presence.UNKNOWN
