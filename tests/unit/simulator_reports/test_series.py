"""What plots are made of: bounded, exact in its sums, and with every peak."""

from __future__ import annotations

import gc
import random
import tracemalloc

import numpy as np
import pytest

from fenglin.simulator.reports.lanes import MOST_BARS, MOST_LANES, Lanes
from fenglin.simulator.reports.series import MOST_QUEUES, OTHERS, Series
from fenglin.simulator.reports.steps import CELLS, Flow, Steps


def walk(seed, count, longest_ms):
    """Return moments with values, one of which stands out for a single millisecond."""
    chance = random.Random(seed)
    at_ms, steps = 0, []
    for _ in range(count):
        steps.append((at_ms, float(chance.randrange(100))))
        at_ms += chance.randrange(1, longest_ms)
    peak = chance.randrange(1, count)
    steps[peak:peak] = [(steps[peak][0] - 1, 1_000.0)]
    return steps, at_ms


@pytest.mark.parametrize("longest_ms", [2, 1_000, 10**7])
@pytest.mark.parametrize("seed", range(3))
def test_no_peak_is_lost_and_the_integral_is_exact(seed, longest_ms):
    steps, end_ms = walk(seed, 3_000, longest_ms)
    kept = Steps(1)
    for at_ms, value in steps:
        kept.add(at_ms, [value])
    kept.advance(end_ms)
    (band,) = kept.bands()
    assert 2 * len(band.high) <= 2_000
    assert band.high.max() == 1_000.0
    assert band.low.min() == min(value for _, value in steps)
    ends = [at_ms for at_ms, _ in steps[1:]] + [end_ms]
    area = sum(value * (to - at) for (at, value), to in zip(steps, ends, strict=True))
    assert (band.mean * np.diff(band.edges_s)).sum() * 1_000 == pytest.approx(area)
    # The peak lies in the cell of its moment.
    at_s = next(at_ms for at_ms, value in steps if value == 1_000.0) / 1_000
    cell = int(np.argmax(band.high))
    assert band.edges_s[cell] <= at_s <= band.edges_s[cell + 1]
    assert (band.low <= band.mean + 1e-9).all()
    assert (band.mean <= band.high + 1e-9).all()


def test_a_state_of_no_length_is_a_peak_too():
    kept = Steps(1)
    for at_ms, value in [(0, 1.0), (500, 9.0), (500, 2.0)]:
        kept.add(at_ms, [value])
    kept.advance(1_000)
    (band,) = kept.bands()
    assert band.high.max() == 9.0
    assert band.mean.mean() == pytest.approx(1.5)


def test_functions_do_not_mix():
    kept = Steps(2)
    kept.add(0, [1.0, 5.0])
    kept.add(10**9, [3.0, 0.0])
    kept.advance(2 * 10**9)
    one, two = kept.bands()
    assert (one.low.min(), one.high.max()) == (1.0, 3.0)
    assert (two.low.min(), two.high.max()) == (0.0, 5.0)


def test_nothing_happened():
    assert [len(band.high) for band in Steps(2).bands()] == [0, 0]
    assert Flow(1).sums()[1].tolist() == [[0.0]]


def test_amounts_arise_evenly_and_sum_up():
    flow = Flow(2)
    flow.add(0, 0, 8_000_000, 40.0)
    flow.add(1, 4_000_000, 4_000_000, 7.0)
    edges_s, sums = flow.sums()
    assert len(edges_s) <= CELLS + 1
    assert (edges_s[0], edges_s[-1]) == (0.0, 8_000.0)
    assert sums[:, -1].tolist() == pytest.approx([40.0, 7.0])
    assert np.allclose(sums[0], edges_s * 40 / 8_000)
    assert sums[1, edges_s < 4_000].max() == 0.0


def test_the_longest_runs_stay(row, make_site):
    lanes = Lanes([make_site(nodes=1)])
    for at in range(MOST_BARS + 500):
        # Every second one is long; the short ones come in between.
        length_ms = 100 + at if at % 2 else 1 + at % 7
        lanes.add(row.run(at * 10_000, at * 10_000 + length_ms), 0)
    bars = lanes.bars()
    assert lanes.seen == MOST_BARS + 500
    assert len(bars) == MOST_BARS
    long = [bar for bar in bars if bar.to_ms - bar.from_ms >= 100]
    assert len(long) == (MOST_BARS + 500) // 2
    assert lanes.shortest_ms == min(bar.to_ms - bar.from_ms for bar in bars)
    # What is not drawn still left its mark on the node's time.
    edges_s, busy = lanes.busy()
    total_s = (busy[0] * np.diff(edges_s)).sum()
    at_work_ms = sum(100 + at if at % 2 else 1 + at % 7 for at in range(MOST_BARS + 500))
    assert total_s * 1_000 == pytest.approx(at_work_ms)


def test_lanes_are_spread_over_flavors_and_sites(make_site):
    lanes = Lanes([make_site("a", 100), make_site("b", 3, ("x", "y"))])
    assert lanes.nodes == 106
    assert len(lanes.names) == MOST_LANES
    assert sum(name.startswith("b/x") for name in lanes.names) == 3
    assert sum(name.startswith("b/y") for name in lanes.names) == 3
    assert lanes.names[:2] == ["a/std0", "a/std1"]


def test_runs_on_other_nodes_are_not_on_a_lane(row, make_site):
    lanes = Lanes([make_site(nodes=1)])
    lanes.add(row.run(0, 5, node="elsewhere"), 0)
    lanes.add(row.run(5, 5), 0)
    assert (lanes.seen, lanes.bars()) == (0, [])


def test_queues_beyond_the_first_are_counted_together(row, make_site):
    series = Series([make_site()])
    for at in range(1_000):
        series.job(row.job(queue=f"q{at}", wait_ms=at))
        series.run(row.run(0, 10, queue=f"q{at}", cost_micro=1_000_000))
    assert len(series.queues) == MOST_QUEUES + 1
    assert series.queues[-1] == OTHERS
    assert series.waits_ms[OTHERS].count == 1_000 - MOST_QUEUES
    assert series.all_waits_ms.count == 1_000
    money = series.money()
    assert sum(money.by_queue.values()) == pytest.approx(1_000)
    assert money.by_queue[OTHERS] == pytest.approx(1_000 - MOST_QUEUES)
    assert money.sums[0, -1] == pytest.approx(1_000)
    assert next(iter(series.ranks())) == OTHERS


def test_refused_jobs_wait_for_nothing(row, make_site):
    series = Series([make_site()])
    series.job(row.job(state="refused"))
    assert series.all_waits_ms.count == 0


def test_the_last_state_lasts_until_the_last_end(row, make_site):
    series = Series([make_site()])
    series.sample(row.sample(0, used=0.5))
    series.job(row.job(ended_ms=60_000))
    series.close()
    band = series.used()["cpu_milli"]
    assert band.edges_s[-1] == series.end_s == 60.0
    assert (band.mean == 0.5).all()
    assert list(series.used()) == ["cpu_milli", "memory_bytes"]


@pytest.mark.slow
def test_memory_does_not_grow_with_the_run(row, make_site):
    series = Series([make_site()])

    def feed(from_, to):
        for at in range(from_, to):
            queue = f"q{at % 100}"
            series.sample(row.sample(at * 997, at % 50, at % 10 / 10))
            series.run(row.run(at * 997, at * 997 + 500 + at % 300, queue, f"std{at % 2}", 5))
            series.job(row.job(queue, at % 4_000, at * 997))

    feed(0, 4_000)
    gc.collect()
    tracemalloc.start()
    feed(4_000, 8_000)
    gc.collect()
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # Kept rows of 4,000 jobs, runs and samples would be two megabytes. Bars that replace others
    # and cells that are joined were made anew, so that they count here once.
    assert grown < 500_000
    assert len(series.lanes.bars()) == MOST_BARS
