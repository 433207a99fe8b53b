"""At most once per key, whatever is asked twice, lost or late; and whose objects are whose."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from fenglin.errors import DriverError
from fenglin.model.reason import Reason
from fenglin.ports.driver import Capability, Presence
from fenglin.testing.conformance.harness import Payload
from fenglin.testing.conformance.site import SiteHand

MOST_AT_ONCE = 16


class StartingCases:
    """D1: start(key) n times → at most one outside object. D2: each carries our tag."""

    def test_start_twice_makes_one_object(self, site: SiteHand) -> None:
        """A second call with the same key finds the first's object."""
        order = site.order(Payload(sleep_s=site.harness.tick_s))
        site.start(order)
        site.start(order)
        ends, _ = site.finish(order.key)
        assert [end.index for end in ends] == [0]
        assert site.harness.runs(order.key) == [0]

    def test_starts_at_the_same_time_make_one_object(self, site: SiteHand) -> None:
        """Calls that race each other are as one."""
        order = site.order(Payload(sleep_s=site.harness.tick_s))

        async def race() -> None:
            await asyncio.gather(*(site.driver.start(order) for _ in range(4)))

        site.call(race())
        ends, _ = site.finish(order.key)
        assert [end.index for end in ends] == [0]
        assert site.harness.runs(order.key) == [0]

    def test_many_starts_at_the_same_time(self, site: SiteHand) -> None:
        """As many as the hub ever makes at once; each is one attempt."""
        orders = [site.order() for _ in range(MOST_AT_ONCE)]

        async def all_at_once() -> None:
            await asyncio.gather(*(site.driver.start(order) for order in orders))

        site.call(all_at_once())
        for order in orders:
            ends, _ = site.finish(order.key)
            assert [(end.index, end.exit_code) for end in ends] == [(0, 0)]
            assert site.harness.runs(order.key) == [0]

    def test_the_site_has_one_object_per_key(self, site: SiteHand) -> None:
        """Asked of the site itself, not of the driver."""
        order = site.order(Payload(sleep_s=500 * site.harness.tick_s))
        site.start(order)
        site.restart()
        site.start(order)
        site.running(order.key)
        # One that came second may need a moment to see that it is, and to go.
        site.wait(lambda: site.call(site.harness.objects(order.key)) == 1, "one object alone")
        site.stop(order.key)
        site.finish(order.key)

    def test_start_whose_answer_is_lost(self, site: SiteHand) -> None:
        """The hub does not know whether it started; it asks again, and the payload runs once."""
        order = site.order(Payload(sleep_s=site.harness.tick_s))
        site.lose_answer(order)
        site.restart()
        site.start(order)
        site.finish(order.key)
        assert site.harness.runs(order.key) == [0]

    def test_start_that_never_arrived(self, site: SiteHand) -> None:
        """To the hub it looks as a lost answer; looked up it is absent, asked again it runs."""
        order = site.order()
        with pytest.raises(DriverError) as caught:
            site.call(site.harness.lose_request(site.driver, order))
        assert caught.value.effect_unknown
        assert site.look(order.key).presence is Presence.ABSENT
        assert order.key not in site.listing()
        site.run(order)
        assert site.harness.runs(order.key) == [0]

    def test_start_that_is_refused(self, site: SiteHand) -> None:
        """For certain: the error says why, nothing is there, the hub goes elsewhere at once."""
        order = site.order()
        site.call(site.harness.refuse_start())
        with pytest.raises(DriverError) as caught:
            site.start(order)
        assert not caught.value.effect_unknown
        assert caught.value.what
        assert site.look(order.key).presence is Presence.ABSENT
        assert site.harness.runs(order.key) == []

    @pytest.mark.parametrize("after", [0.0, 0.003, 0.03])
    def test_start_given_up_half_way(self, site: SiteHand, after: float) -> None:
        """A deadline may strike at any point of the call; another start completes it."""
        order = site.order()

        async def give_up() -> None:
            try:
                await asyncio.wait_for(site.driver.start(order), after)
            except TimeoutError:
                return

        site.call(give_up())
        site.start(order)
        ends, _ = site.finish(order.key)
        assert [(end.index, end.exit_code) for end in ends] == [(0, 0)]
        assert site.harness.runs(order.key) == [0]

    def test_start_of_an_ended_attempt_runs_nothing(self, site: SiteHand) -> None:
        """A start that was under way for long comes when all is over."""
        order = site.order()
        ends, _ = site.run(order)
        site.restart()
        site.start(order)
        again, seen = site.finish(order.key)
        assert seen.presence is Presence.ENDED
        assert again == ends
        assert site.harness.runs(order.key) == [0]

    def test_stop_before_start_forbids_it(self, site: SiteHand) -> None:
        """A cancel may overtake its start: what comes late must not run."""
        order = site.order()
        site.stop(order.key)
        site.restart()
        site.start(order)
        ends, seen = site.finish(order.key)
        assert ends == []
        assert seen.reason is Reason.CANCELLED
        assert site.harness.runs(order.key) == []

    def test_a_former_leader_is_refused(self, site: SiteHand) -> None:
        """A key that was seen under a higher epoch belongs to that leader."""
        site.need(Capability.FENCE)
        order = site.order(Payload(sleep_s=site.harness.tick_s), epoch=7)
        site.start(order)
        with pytest.raises(DriverError) as caught:
            site.start(replace(order, epoch=6))
        assert not caught.value.effect_unknown
        site.start(replace(order, epoch=8))
        site.restart()
        with pytest.raises(DriverError):
            site.start(order)
        site.finish(order.key)
        assert site.harness.runs(order.key) == [0]

    def test_the_listing_is_complete(self, site: SiteHand) -> None:
        """Every key is listed from its start until it is forgotten, after a restart too."""
        orders = [site.order(Payload(sleep_s=site.harness.tick_s)) for _ in range(3)]
        ours = {order.key for order in orders}
        assert not ours & site.listing()
        for order in orders:
            site.start(order)
            assert order.key in site.listing()
        site.restart()
        assert ours <= site.listing()
        for order in orders:
            site.finish(order.key)
            assert order.key in site.listing()
            site.forget(order.key)
            assert order.key not in site.listing()

    def test_forget(self, site: SiteHand) -> None:
        """Forgetting is idempotent, refused while tasks run, and no error for an unknown key."""
        order = site.order(Payload(sleep_s=100 * site.harness.tick_s))
        site.start(order)
        site.running(order.key)
        with pytest.raises(DriverError) as caught:
            site.forget(order.key)
        assert not caught.value.effect_unknown
        site.stop(order.key)
        site.finish(order.key)
        site.forget(order.key)
        site.forget(order.key)
        site.forget(site.key())

    def test_another_hubs_attempts_are_not_ours(self, site: SiteHand) -> None:
        """Two hubs on one site see nothing of each other, and touch nothing."""
        order = site.order(Payload(sleep_s=2 * site.harness.tick_s))
        site.start(order)
        other = site.other_hub()
        assert order.key not in site.call(other.keys())
        seen = site.call(other.observe({order.key: ""}))
        assert [one.presence for one in seen] != [Presence.RUNNING]
        ends, _ = site.finish(order.key)
        assert [end.exit_code for end in ends] == [0]

    def test_what_lacks_our_tag_is_not_touched(self, site: SiteHand) -> None:
        """Foreign objects are neither listed nor ended."""
        foreign = site.call(site.harness.add_foreign())
        assert site.listing() == frozenset()
        order = site.order()
        site.run(order)
        site.stop(order.key)
        site.forget(order.key)
        assert site.call(site.harness.foreign_lives(foreign))
