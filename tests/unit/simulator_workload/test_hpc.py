"""Lublin and Feitelson's model: our arrays against the paper's steps, one job at a time.

The scalar below follows the paper's description with Python's own generator. Both must have the
same distributions; seeds are fixed, so that nothing here fails by chance.
"""

import math
import random

import numpy as np
import pytest

from fenglin.errors import InputError
from fenglin.simulator.synthetic.hpc import ANY, BATCH, INTERACTIVE, day_weights
from fenglin.simulator.synthetic.registry import generate

JOBS = 20_000


def size(model, dice):
    kind = dice.random()
    if kind <= model.serial_prob:
        return 1
    low, high = (
        (model.ulow, model.umed) if dice.random() <= model.uprob else (model.umed, model.uhi)
    )
    power = dice.uniform(low, high)
    if kind <= model.serial_prob + model.pow2_prob:
        power = int(power + 0.5)
    return int(2**power + 0.5)


def capped(dice, shape, scale, most):
    while (value := dice.gammavariate(shape, scale)) > most:
        pass
    return value


def runtime_s(model, procs, dice):
    first = dice.random() <= min(1, max(0, model.pa * procs + model.pb))
    shape, scale = (model.a1, model.b1) if first else (model.a2, model.b2)
    return math.exp(capped(dice, shape, scale, 12))


def gap_s(model, dice):
    return math.exp(capped(dice, model.aarr * model.arar, model.barr, 13))


def distance(one, other):
    """Return the largest difference of two empirical distribution functions."""
    one, other = np.sort(one), np.sort(other)
    points = np.concatenate([one, other])
    shares = [
        np.searchsorted(values, points, side="right") / len(values) for values in (one, other)
    ]
    return np.abs(shares[0] - shares[1]).max()


# Two samples of one distribution are nearer than this in all but one of a thousand cases.
NEAR = 1.95 * math.sqrt(2 / JOBS)


@pytest.fixture(scope="module")
def made():
    jobs = list(generate("hpc", jobs=JOBS, seed=5).jobs())
    return {
        "submitted": np.array([job.submitted_ms for job in jobs]) / 1_000,
        "size": np.array([job.shape.resources.cpu_milli for job in jobs]) / 1_000,
        "runtime": np.array([job.runtimes_ms[0] for job in jobs]) / 1_000,
    }


@pytest.fixture(scope="module")
def told():
    dice = random.Random(17)
    sizes = [size(ANY, dice) for _ in range(JOBS)]
    return {
        "size": sizes,
        "runtime": [runtime_s(ANY, procs, dice) for procs in sizes],
        "gap": [gap_s(ANY, dice) for _ in range(JOBS)],
    }


def test_sizes_are_those_of_the_paper(made, told):
    assert distance(made["size"], told["size"]) < NEAR
    assert (made["size"] == 1).mean() == pytest.approx(ANY.serial_prob, abs=0.01)
    powers = np.isin(made["size"], 2.0 ** np.arange(1, 8)).mean()
    assert ANY.pow2_prob < powers < ANY.pow2_prob + 0.1
    assert made["size"].max() <= 128


def test_runtimes_are_those_of_the_paper(made, told):
    assert distance(made["runtime"], told["runtime"]) < NEAR
    assert made["runtime"].max() <= math.exp(12) + 1
    # In the mean of the logarithm, larger jobs run longer.
    logs, sizes = np.log(made["runtime"]), made["size"]
    means = [logs[(sizes >= low) & (sizes < 2 * low)].mean() for low in (1, 8, 64)]
    assert means == sorted(means)


def test_gaps_are_those_of_the_paper_on_an_even_clock(made, told):
    """The clock is undone: even time is the weight that has passed."""
    weights = day_weights(ANY)
    even = np.concatenate([[0], np.cumsum(weights / weights.sum())]) * 86_400
    days = made["submitted"] // 86_400
    within = np.interp(made["submitted"] % 86_400, np.linspace(0, 86_400, 49), even)
    gaps = np.diff(days * 86_400 + within)
    assert distance(gaps, told["gap"]) < NEAR


@pytest.mark.parametrize("model", [ANY, BATCH, INTERACTIVE])
def test_half_hours_weigh_as_the_gamma_distribution_says(model):
    def below(x):
        """Return the lower incomplete gamma function by its series."""
        x /= model.bnum
        term = total = 1 / model.anum
        for n in range(1, 400):
            term *= x / (model.anum + n)
            total += term
        return total * math.exp(-x + model.anum * math.log(x) - math.lgamma(model.anum))

    wanted = np.zeros(48)
    for i in range(11, 59):
        wanted[(i - 1) % 48] = below(i + 0.5) - below(i - 0.5)
    assert day_weights(model) / day_weights(model).sum() == pytest.approx(
        wanted / wanted.sum(), rel=1e-3
    )


def test_the_day_has_its_cycle(made):
    shares = np.bincount((made["submitted"] // 3_600 % 24).astype(int), minlength=24) / JOBS
    weights = day_weights(ANY).reshape(24, 2).sum(axis=1)
    assert shares == pytest.approx(weights / weights.sum(), abs=0.012)
    assert 12 <= shares.argmax() <= 16
    assert shares.max() > 5 * shares.min()


def test_classes_come_together_in_order():
    jobs = list(generate("hpc", jobs=3_000, seed=1, classes="both").jobs())
    moments = [job.submitted_ms for job in jobs]
    assert moments == sorted(moments)
    alone = {
        name: {(job.submitted_ms, job.runtimes_ms)
               for job in generate("hpc", jobs=3_000, seed=1, classes=name).jobs()}
        for name in ("batch", "interactive")
    }  # fmt: skip
    found = [
        [(job.submitted_ms, job.runtimes_ms) in alone[name] for job in jobs]
        for name in ("batch", "interactive")
    ]
    assert all(a or b for a, b in zip(*found, strict=True))
    assert min(map(sum, found)) > 300


def test_a_larger_machine_stretches_the_sizes():
    sizes = [
        job.shape.resources.cpu_milli * job.shape.nodes // 1_000
        for job in generate("hpc", jobs=5_000, seed=1, capacity=1_024, procs_per_node=16).jobs()
    ]
    assert 512 < max(sizes) <= 1_024
    assert np.mean([procs == 1 for procs in sizes]) == pytest.approx(ANY.serial_prob, abs=0.02)


def test_estimates_are_told_on_request():
    plain, told = (
        list(generate("hpc", jobs=2_000, seed=1, overestimate=factor).jobs()) for factor in (0, 5)
    )
    assert {job.estimate_ms for job in plain} == {0}
    ratios = np.array([job.estimate_ms / job.runtimes_ms[0] for job in told])
    assert ratios.min() >= 1
    assert ratios.mean() == pytest.approx(3, abs=0.1)
    # One more draw leaves all others as they were.
    assert [job.runtimes_ms for job in told] == [job.runtimes_ms for job in plain]


@pytest.mark.parametrize(
    "options", [{"classes": "odd"}, {"capacity": 1}, {"overestimate": 0.5}, {"memory_gib": -1}]
)
def test_senseless_machines_are_refused(options):
    with pytest.raises(InputError):
        generate("hpc", jobs=1, seed=1, **options)
