"""Capabilities with a call of their own, and orders that need what is not declared."""

from __future__ import annotations

import signal
from functools import partial
from typing import TYPE_CHECKING, cast

import pytest

from fenglin.errors import DriverError
from fenglin.model.secret import Secret
from fenglin.ports.driver import Capability, Presence, StagedInput
from fenglin.testing.conformance.harness import Payload
from fenglin.testing.conformance.site import SiteHand
from fenglin.testing.conformance.stopping import FOR_EVER

if TYPE_CHECKING:
    from fenglin.ports.driver import Provisions, ReportsCosts, Signals, StartOrder, Suspends


class AbilityCases:
    """What is declared is done; what is not is refused, never done as something less."""

    @pytest.mark.parametrize(
        "capability",
        [
            Capability.ARRAYS,
            Capability.GANGS,
            Capability.IMAGES,
            Capability.SETUP,
            Capability.INPUTS,
            Capability.ARTIFACTS,
            Capability.SECRETS,
        ],
    )
    def test_what_is_not_declared_is_refused(self, site: SiteHand, capability: Capability) -> None:
        """For certain, so that the hub goes elsewhere at once; nothing has run."""
        site.need_processes()
        if capability in site.driver.capabilities:
            pytest.skip(f"the {site.driver.kind} driver declares {capability}")
        order = _needing(site, capability)
        with pytest.raises(DriverError) as caught:
            site.start(order)
        assert not caught.value.effect_unknown
        assert site.look(order.key).presence is not Presence.RUNNING
        assert site.harness.runs(order.key) == []

    def test_a_signal_reaches_what_runs(self, site: SiteHand) -> None:
        """It is the task that decides what it does; afterwards it goes on."""
        site.need(Capability.SIGNAL, Capability.FOLLOW)
        site.need_processes()
        script = f"trap 'echo saved' USR1; echo ready; {FOR_EVER}"
        key = site.start(site.order(script=script))
        site.wait(lambda: site.chunk(key).data == b"ready\n", "the task's trap")
        driver = cast("Signals", site.driver)
        site.call(driver.signal(key, signal.SIGUSR1))
        site.wait(lambda: site.chunk(key).data == b"ready\nsaved\n", "the signal")
        assert site.look(key).presence is Presence.RUNNING

    def test_a_signal_to_what_is_gone_is_no_error(self, site: SiteHand) -> None:
        """It may cross the task's end."""
        site.need(Capability.SIGNAL)
        key = site.start(site.order())
        ends, _ = site.finish(key)
        driver = cast("Signals", site.driver)
        site.call(driver.signal(key, signal.SIGUSR1))
        site.call(driver.signal(site.key(), signal.SIGUSR1))
        assert site.finish(key)[0] == ends

    def test_a_paused_attempt_waits(self, site: SiteHand) -> None:
        """It runs, does not end, and goes on afterwards; asking twice is as once."""
        site.need(Capability.SUSPEND)
        tick_s = site.harness.tick_s
        key = site.start(site.order(Payload(sleep_s=3 * tick_s)))
        site.running(key)
        driver = cast("Suspends", site.driver)
        for _ in range(2):
            site.call(driver.suspend(key, paused=True))
        site.call(site.harness.rest(5 * tick_s))
        assert site.look(key).presence is Presence.RUNNING
        assert site.look(key).ends == ()
        site.restart()
        driver = cast("Suspends", site.driver)
        site.call(driver.suspend(key, paused=False))
        ends, _ = site.finish(key)
        assert [(end.index, end.exit_code) for end in ends] == [(0, 0)]
        site.call(driver.suspend(key, paused=True))
        site.call(driver.suspend(site.key(), paused=True))
        assert site.finish(key)[0] == ends

    def test_a_paused_attempt_can_be_stopped(self, site: SiteHand) -> None:
        """Nothing keeps a cancelled task alive."""
        site.need(Capability.SUSPEND)
        key = site.start(site.order(Payload(sleep_s=500 * site.harness.tick_s)))
        site.running(key)
        site.call(cast("Suspends", site.driver).suspend(key, paused=True))
        site.stop(key)
        ends, _ = site.finish(key)
        assert [end.index for end in ends] == [0]

    def test_nodes_come_and_go_as_they_are_wanted(self, site: SiteHand) -> None:
        """A wish, not a difference: the same wish twice buys nothing twice."""
        site.need(Capability.PROVISION)
        flavor = site.harness.flavors[0].name
        driver = cast("Provisions", site.driver)
        most = sum(node.flavor == flavor for node in site.harness.nodes)
        for wanted in (0, most, most, 0):
            site.call(driver.provision(flavor, wanted))
            site.wait(partial(_has, site, flavor, wanted), f"{wanted} nodes of {flavor}")
        with pytest.raises(DriverError) as caught:
            site.call(driver.provision(flavor, 10**6))
        assert caught.value.what
        assert _has(site, flavor, 0)

    def test_charges_are_listed(self, site: SiteHand) -> None:
        """In order, each line once, and a line that was told is told the same again."""
        site.need(Capability.COSTS)
        order = site.order(Payload(sleep_s=site.harness.tick_s))
        site.run(order)
        site.call(site.harness.rest(site.harness.tick_s))
        driver = cast("ReportsCosts", site.driver)
        now_ms = site.harness.now_ms()
        lines = list(site.call(driver.charges(0, now_ms)))
        assert lines == sorted(lines, key=lambda line: (line.ended_ms, line.line))
        assert len({line.line for line in lines}) == len(lines)
        assert all(line.started_ms <= line.ended_ms < now_ms for line in lines)
        again = list(site.call(driver.charges(0, now_ms)))
        assert [line for line in again if line in lines] == lines
        assert list(site.call(driver.charges(now_ms, now_ms))) == []


def _needing(site: SiteHand, capability: Capability) -> StartOrder:
    """Return an order that only a driver with the capability can run."""
    if capability is Capability.ARRAYS:
        return site.order(tasks="0-1", task_count=2)
    if capability is Capability.GANGS:
        return site.order(nodes=2, slots=1)
    if capability is Capability.IMAGES:
        return site.order(image="debian:12")
    if capability is Capability.SETUP:
        return site.order(setup="true")
    if capability is Capability.SECRETS:
        return site.order(secrets=(("TOKEN", Secret("s3cr3t-conformance")),))
    if capability is Capability.INPUTS:
        return site.order(inputs=(StagedInput("x", str(site.harness.truth)),))
    return site.order(artifacts=("*.png",))


def _has(site: SiteHand, flavor: str, nodes: int) -> bool:
    """Return whether the site has just so many usable nodes of a flavor."""
    report = site.call(site.driver.inventory())
    return sum(node.up and node.flavor == flavor for node in report.nodes) == nodes
