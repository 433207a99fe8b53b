"""The conformance suite fails a driver that breaks the contract, in the case that is meant to."""

import subprocess
import sys

import pytest
from msgspec.structs import replace
from tests.conformance.test_mock import MockHarness

from fenglin.drivers.mock import Fault, MockDriver, Rule
from fenglin.errors import DriverError
from fenglin.model.allocation import Usage
from fenglin.model.site import Flavor, Node
from fenglin.model.states import ComputeClass
from fenglin.ports.driver import LogChunk, Observation, Presence, SiteReport
from fenglin.quantities.resources import Resources
from fenglin.testing.conformance import DriverConformance, SiteHand

FLAVOR = Flavor("std", ComputeClass.AI, Resources(1_000, 2**30, 0, 1_000), accelerator="")


class RunsAgain(MockDriver):
    async def start(self, order):
        known = order.key in self.runs
        await super().start(order)
        if known:
            self.runs[order.key] += 1


class NotDurable(MockDriver):
    async def start(self, order):
        self._attempts.clear()
        await super().start(order)


class NoFence(MockDriver):
    async def start(self, order):
        await super().start(replace(order, epoch=99))


class StopsOnlyWhatRuns(MockDriver):
    async def stop(self, key, grace_ms):
        if key in self.runs:
            await super().stop(key, grace_ms)


class StopsWhatHasEnded(MockDriver):
    async def observe(self, cursors):
        return [
            replace(o, reason="cancelled" if ("stop", o.key) in self.calls else o.reason)
            for o in await super().observe(cursors)
        ]


class ForgetsOutput(MockDriver):
    async def read_log(self, key, task, offset, limit):
        if key in self._kept:
            return LogChunk(b"", offset, complete=True)
        return await super().read_log(key, task, offset, limit)


class ForgetsWhatRuns(MockDriver):
    async def forget(self, key):
        self._kept[key] = self._attempts.pop(key, None)


class LosesOffsets(MockDriver):
    async def read_log(self, key, task, offset, limit):
        chunk = await super().read_log(key, task, offset, limit)
        return LogChunk(chunk.data, len(chunk.data), complete=chunk.complete)


class BillsMinimum(MockDriver):
    async def usage(self, key):
        usage = await super().usage(key)
        return Usage(usage.tasks, usage.wall_ms, usage.wall_ms + 60_000)


class BillsZero(MockDriver):
    async def usage(self, key):
        try:
            return await super().usage(key)
        except DriverError:
            return Usage()


class ListsTheRunningOnly(MockDriver):
    async def keys(self):
        now_ms = self._context.now_ms()
        return frozenset(k for k, line in self._attempts.items() if line and not line.done(now_ms))


class SaysAbsentWhenBlind(MockDriver):
    async def observe(self, cursors):
        try:
            return await super().observe(cursors)
        except DriverError:
            return [Observation(key, Presence.ABSENT) for key in cursors]


class SkipsUnknownKeys(MockDriver):
    async def observe(self, cursors):
        return [o for o in await super().observe(cursors) if o.presence is not Presence.ABSENT]


class NamesNoCard(MockDriver):
    async def inventory(self):
        report = await super().inventory()
        return replace(report, flavors=(FLAVOR,))


class PausesNothing(MockDriver):
    async def suspend(self, key, *, paused):
        pass


class BuysWithoutEnd(MockDriver):
    async def provision(self, flavor, nodes):
        await super().provision(flavor, min(nodes, 2))


class ChargesAnew(MockDriver):
    async def charges(self, since_ms, until_ms):
        lines = await super().charges(since_ms, until_ms)
        return [replace(line, line=f"{line.line}/{len(self.calls)}") for line in lines]


class NodesAlwaysUp(MockDriver):
    async def inventory(self):
        report = await super().inventory()
        return replace(report, nodes=tuple(replace(node, up=True) for node in report.nodes))


@pytest.fixture
def site_of(tmp_path):
    """Return what makes a site with a driver of some class, and with faults for ever."""
    sites = []

    def make(kind, *faults):
        def factory(context, settings):
            report = SiteReport(settings["flavors"], settings["nodes"])
            return kind(context, report, rules=[Rule(fault, times=-1) for fault in faults])

        sites.append(SiteHand(MockHarness(factory, tmp_path / str(len(sites)))))
        return sites[-1]

    yield make
    for site in sites:
        site._runner.close()


@pytest.mark.parametrize(
    ("kind", "case"),
    [
        (RunsAgain, "test_start_twice_makes_one_object"),
        (RunsAgain, "test_start_whose_answer_is_lost"),
        (RunsAgain, "test_start_of_an_ended_attempt_runs_nothing"),
        (NotDurable, "test_the_listing_is_complete"),
        (NoFence, "test_a_former_leader_is_refused"),
        (StopsOnlyWhatRuns, "test_stop_before_start_forbids_it"),
        (StopsWhatHasEnded, "test_stop_of_an_ended_attempt_changes_nothing"),
        (ForgetsOutput, "test_output_is_kept"),
        (ForgetsWhatRuns, "test_forget"),
        (LosesOffsets, "test_output_in_pieces"),
        (BillsMinimum, "test_usage_is_the_sum_of_the_ends"),
        (BillsZero, "test_usage_of_what_never_ran"),
        (ListsTheRunningOnly, "test_the_listing_is_complete"),
        (SaysAbsentWhenBlind, "test_what_cannot_be_seen_is_unknown"),
        (SkipsUnknownKeys, "test_many_keys_in_one_call"),
        (NamesNoCard, "test_cards_have_their_name_in_the_registry"),
        (PausesNothing, "test_a_paused_attempt_waits"),
        (BuysWithoutEnd, "test_nodes_come_and_go_as_they_are_wanted"),
        (ChargesAnew, "test_charges_are_listed"),
        (NodesAlwaysUp, "test_a_node_that_is_down_is_told"),
    ],
)
def test_a_broken_driver_is_caught(site_of, kind, case):
    site = site_of(kind)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        getattr(DriverConformance(), case)(site)


@pytest.mark.parametrize(
    ("fault", "case"),
    [
        (Fault.ABSENT, "test_a_life"),
        (Fault.REPEATED, "test_the_same_cursor_tells_the_same"),
        (Fault.STOP_LOST, "test_stop_ends_what_runs"),
    ],
)
def test_each_breach_that_the_mock_can_script_is_caught(site_of, fault, case):
    site = site_of(MockDriver, fault)
    with pytest.raises(AssertionError):
        getattr(DriverConformance(), case)(site)


def test_all_but_the_suite_does_without_pytest():
    code = "import sys; sys.modules['pytest'] = None; import fenglin.testing.scaffold"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_harness_must_be_given():
    with pytest.raises(NotImplementedError):
        DriverConformance.harness.__wrapped__(DriverConformance())


def test_an_order_needs_as_many_nodes_as_the_site_has(tmp_path):
    harness = MockHarness(None, tmp_path, nodes=(Node("only", "std"),))
    with pytest.raises(pytest.skip.Exception, match="needs 2"):
        harness.shares(1, 2)
