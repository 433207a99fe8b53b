"""Links between sites: what is the same both ways, what is not, what is assumed."""

from __future__ import annotations

import pytest

from fenglin.catalog.network import ASSUMED_MBIT_S, NOTHING_MOVED, Moved, Network, transfer_ms
from fenglin.model.job import DataNeed
from fenglin.model.site import Link, Site

GIB = 2**30
SITES = (
    Site("a", "p", "local", links=(Link("b", 1_500, 1_000, 800_000), Link("c", 0, 0, 100_000))),
    Site("b", "p", "local", links=(Link("c", 9_000, 0, 0),)),
    Site("c", "p", "local"),
)


@pytest.mark.parametrize(
    ("here", "there", "trip_us", "mbit_s"),
    [
        ("a", "b", 1_500, 1_000),
        ("b", "a", 1_500, 1_000),  # declared at one end, true for both
        ("c", "b", 9_000, None),
        ("a", "c", None, None),  # a link whose figures nobody has measured
        ("a", "nowhere", None, None),
    ],
)
def test_round_trip_and_bandwidth_are_those_of_either_end(here, there, trip_us, mbit_s):
    network = Network(SITES)
    assert network.round_trip_us(here, there) == trip_us
    assert network.bandwidth_mbit_s(here, there) == mbit_s


def test_a_site_is_no_distance_from_itself():
    assert Network(SITES).round_trip_us("c", "c") == 0


@pytest.mark.parametrize(
    ("size_bytes", "mbit_s", "time_ms"), [(0, 1, 0), (1, 10_000, 1), (125_000, 1, 1_000)]
)
def test_transfer_is_bits_over_bandwidth_rounded_up(size_bytes, mbit_s, time_ms):
    assert transfer_ms(size_bytes, mbit_s) == time_ms


def test_egress_is_paid_where_the_data_leaves():
    network = Network(SITES)
    paid = network.bring([DataNeed("x", 2 * GIB, ("a",))], "b")
    back = network.bring([DataNeed("x", 2 * GIB, ("b",))], "a")
    time_ms = transfer_ms(2 * GIB, 1_000)
    assert paid == Moved(2 * GIB, time_ms, 1_600_000)
    # The same line, but b declares no price for a.
    assert back == Moved(2 * GIB, time_ms, 0, unpriced=True)


def test_the_cheapest_source_wins_and_a_declared_one_before_an_undeclared():
    """From b to c nothing is paid; from a it would be 0.1 a GiB; from d nobody knows."""
    moved = Network(SITES).bring([DataNeed("x", GIB, ("a", "b", "d"))], "c")
    assert moved == Moved(GIB, transfer_ms(GIB, ASSUMED_MBIT_S), 0, assumed=True)
    unknown = Network(SITES).bring([DataNeed("x", GIB, ("a", "d"))], "c")
    assert (unknown.egress_micro, unknown.unpriced) == (100_000, False)


def test_datasets_add_up_and_those_that_are_there_or_nowhere_do_not_count():
    network = Network(SITES)
    here, nowhere = DataNeed("h", GIB, ("b", "c")), DataNeed("n", GIB)
    assert network.bring([here, nowhere], "b") == NOTHING_MOVED
    both = [DataNeed("x", GIB, ("a",)), DataNeed("y", 3 * GIB, ("a",)), here]
    moved = network.bring(both, "b")
    assert moved.size_bytes == 4 * GIB
    assert moved.egress_micro == 3_200_000
    assert moved.time_ms == transfer_ms(GIB, 1_000) + transfer_ms(3 * GIB, 1_000)
