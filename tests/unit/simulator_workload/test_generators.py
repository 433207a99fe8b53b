"""The other generators: their tails, cycles, bursts and shares; and what all have in common."""

from collections import Counter
from itertools import islice, pairwise

import numpy as np
import pytest

from fenglin.errors import InputError
from fenglin.simulator.synthetic.registry import GENERATORS, generate, work
from fenglin.simulator.synthetic.render import coherent
from fenglin.simulator.synthetic.stream import DayClock, bounded_pareto, waves

NAMES = sorted(GENERATORS)


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_decides_all(name):
    jobs = list(generate(name, jobs=1_500, seed=9).jobs())
    again = generate(name, jobs=1_500, seed=9)
    assert list(again.jobs()) == jobs
    assert list(again.jobs()) == jobs
    # Fewer jobs are the beginning of more, also across a chunk's end.
    assert list(generate(name, jobs=1_100, seed=9).jobs()) == jobs[:1_100]
    other = list(generate(name, jobs=1_500, seed=10).jobs())
    assert [job.submitted_ms for job in other] != [job.submitted_ms for job in jobs]
    assert [job.runtimes_ms for job in other] != [job.runtimes_ms for job in jobs]


@pytest.mark.parametrize("name", NAMES)
def test_jobs_are_sound_and_in_order(name):
    jobs = list(generate(name, jobs=3_000, seed=2).jobs())
    assert [job.number for job in jobs] == list(range(1, 3_001))
    moments = [job.submitted_ms for job in jobs]
    assert moments == sorted(moments)
    assert moments[0] >= 0
    for job in jobs:
        assert len(job.runtimes_ms) in {1, job.tasks}
        assert min(job.runtimes_ms) >= 1
        assert any(job.shape.resources.values())
        assert job.deadline_ms == 0 or job.deadline_ms > job.submitted_ms
        assert job.user


@pytest.mark.parametrize("name", [name for name in NAMES if GENERATORS[name].unit])
@pytest.mark.parametrize("load", [0.3, 1.2])
def test_the_load_is_what_was_asked_for(name, load):
    kind = GENERATORS[name]
    jobs = list(generate(name, jobs=1_000, seed=4, load=load).jobs())
    span_ms = jobs[-1].submitted_ms - jobs[0].submitted_ms
    asked = sum(work(job, kind.unit) for job in jobs)
    assert asked / (span_ms * kind.options().capacity * 1_000) == pytest.approx(load, rel=0.01)
    # Work is the same as without a load: only the gaps differ.
    plain = generate(name, jobs=1_000, seed=4).jobs()
    assert [job.runtimes_ms for job in plain] == [job.runtimes_ms for job in jobs]


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("none", {}),
        ("hpc", {"jobs": 0}),
        ("hpc", {"seed": -1}),
        ("hpc", {"load": 0}),
        ("hpc", {"load": float("nan")}),
        ("hpc", {"sessions_per_hour": 3}),
        ("mixed", {"load": 0.5}),
        ("mixed", dict.fromkeys(("hpc", "render", "pulsar", "vr", "ai"), 0.0)),
        ("render", {"coherence": 1.0}),
        ("render", {"most_frames": 3}),
        ("pulsar", {"beams": 0}),
        ("vr", {"amplitude": 1.0}),
        ("vr", {"session_s": 0.0}),
        ("ai", {"model": "none such"}),
        ("ai", {"users": 0}),
    ],
)
def test_senseless_arguments_are_refused(name, given):
    with pytest.raises(InputError):
        generate(name, **({"jobs": 10, "seed": 1} | given))


def survival(values, points):
    return np.array([(np.asarray(values) > point).mean() for point in points])


def pareto_survival(points, least, most, tail):
    points = np.asarray(points, dtype=float)
    return (points**-tail - most**-tail) / (least**-tail - most**-tail)


def test_bounded_pareto_has_its_tail():
    values = bounded_pareto(np.random.default_rng(1).random(50_000), 10, 10_000, 0.7)
    assert values.min() >= 10
    assert values.max() <= 10_000
    points = [20, 100, 1_000, 5_000]
    assert survival(values, points) == pytest.approx(
        pareto_survival(points, 10, 10_000, 0.7), abs=0.01
    )


def test_the_day_clock_keeps_days_and_weights():
    clock = DayClock(waves(0.8, 20))
    even = np.linspace(0, 3 * 86_400, 60_001)
    moments = clock.moments_s(even)
    assert (np.diff(moments) >= 0).all()
    assert moments[[0, 20_000, 40_000, 60_000]] == pytest.approx([0, 86_400, 172_800, 259_200])
    hours = np.bincount((moments[:-1] // 3_600 % 24).astype(int), minlength=24) / 60_000
    for hour in (20, 8):
        weight = 1 + 0.8 * np.cos(2 * np.pi * (hour + 0.5 - 20) / 24)
        assert hours[hour] == pytest.approx(weight / 24, rel=0.03)


@pytest.mark.parametrize("coherence", [0.0, 0.5, 0.95])
def test_coherent_noise_is_an_autoregression(coherence):
    noise = np.random.default_rng(3).normal(size=40_000)
    found = coherent(noise.copy(), coherence)
    expected = np.empty(1_000)
    expected[0] = noise[0]
    for i in range(1, 1_000):
        expected[i] = coherence * expected[i - 1] + np.sqrt(1 - coherence**2) * noise[i]
    assert found[:1_000] == pytest.approx(expected, abs=1e-9)
    assert found.std() == pytest.approx(1, abs=0.05)
    assert np.corrcoef(found[:-1], found[1:])[0, 1] == pytest.approx(coherence, abs=0.02)


def test_render():
    jobs = list(generate("render", jobs=3_000, seed=1, again=0.0).jobs())
    points = [50, 100, 500, 2_000]
    assert survival([job.tasks for job in jobs], points) == pytest.approx(
        pareto_survival(points, 24, 10_000, 1.2), abs=0.025
    )
    logs = [np.log(job.runtimes_ms) for job in jobs if job.tasks >= 400]
    assert len(logs) > 50
    lag = [np.corrcoef(one[:-1], one[1:])[0, 1] for one in logs]
    assert np.mean(lag) == pytest.approx(0.94, abs=0.03)
    typical = np.array([np.median(job.runtimes_ms) / 1_000 for job in jobs])
    assert np.median(typical) == pytest.approx(480, rel=0.1)
    # Scenes, versions and what of the frames' spread a median keeps.
    assert np.log(typical).std() == pytest.approx(np.sqrt(1 + 0.1**2 + 0.25**2), abs=0.05)
    hours = Counter(job.submitted_ms // 3_600_000 % 24 for job in jobs)
    assert hours[17] > 3 * hours[5]
    wanted = [job.deadline_ms for job in jobs if job.deadline_ms]
    assert len(wanted) / 3_000 == pytest.approx(0.3, abs=0.03)
    assert {moment % 86_400_000 for moment in wanted} == {9 * 3_600_000}


def test_versions_of_a_shot_run_alike():
    jobs = list(generate("render", jobs=2_000, seed=1).jobs())
    shots = {}
    for job in jobs:
        shots.setdefault((job.user, job.name), []).append(job)
    again = [versions for versions in shots.values() if len(versions) > 1]
    assert sum(map(len, again)) - len(again) == pytest.approx(1_000, abs=80)
    ratios = [
        np.mean(np.log(b.runtimes_ms)) - np.mean(np.log(a.runtimes_ms))
        for versions in again
        for a, b in pairwise(versions)
        if a.tasks > 100
    ]
    # Two versions of 0.1 and two means of coherent frames; unrelated scenes would differ by 1.4.
    assert np.std(ratios) < 0.4
    assert all(len({job.shape for job in versions}) == 1 for versions in again)


def test_pulsar_bursts_are_due_when_the_next_begins():
    jobs = list(generate("pulsar", jobs=19 * 400, seed=1).jobs())
    bursts = [jobs[i : i + 19] for i in range(0, len(jobs), 19)]
    assert {job.tasks for job in jobs} == {16}
    for burst, following in pairwise(bursts):
        assert {job.deadline_ms for job in burst} == {following[0].submitted_ms}
        assert burst[-1].submitted_ms - burst[0].submitted_ms == 18 * 250
    ends_s = np.array([burst[0].submitted_ms for burst in bursts]) / 1_000
    assert np.diff(ends_s).mean() == pytest.approx(600 + 90, rel=0.05)
    memory = Counter(job.shape.resources.memory_bytes // 2**30 for job in jobs)
    assert sorted(memory) == [6, 12, 24]
    assert memory[24] / len(jobs) == pytest.approx(0.1, abs=0.02)
    logs = np.log([run for job in jobs for run in job.runtimes_ms])
    by_job = np.array([np.log(job.runtimes_ms).std() for job in jobs])
    assert by_job.mean() == pytest.approx(0.25, rel=0.1)
    assert logs.std() > 1.5 * by_job.mean()


def test_vr_sessions():
    jobs = list(generate("vr", jobs=20_000, seed=1).jobs())
    hours = np.bincount([job.submitted_ms // 3_600_000 % 24 for job in jobs], minlength=24)
    days = jobs[-1].submitted_ms / 86_400_000
    # 120 an hour in the mean; 1.8 and 0.2 times as many at the best and the worst hour.
    assert len(jobs) / days / 24 == pytest.approx(120, rel=0.03)
    assert hours[20] / days == pytest.approx(1.8 * 120, rel=0.2)
    assert hours[8] / days < 0.4 * 120
    # Poisson: counts in equal spans of a steady stream vary as much as they are large.
    steady = list(generate("vr", jobs=20_000, seed=1, amplitude=0.0).jobs())
    counts = np.bincount([job.submitted_ms // 600_000 for job in steady])[:-1]
    assert counts.var() / counts.mean() == pytest.approx(1, abs=0.15)
    lengths = np.array([job.runtimes_ms[0] for job in jobs]) / 1_000
    assert np.median(lengths) == pytest.approx(900, rel=0.03)
    assert np.log(lengths).std() == pytest.approx(0.8, abs=0.03)
    assert lengths.max() <= 4 * 3_600
    parts = Counter(job.shape.resources.accelerator_milli for job in jobs)
    assert [round(parts[milli] / 20_000, 1) for milli in (250, 500, 1_000)] == [0.4, 0.4, 0.2]
    assert {job.deadline_ms - job.submitted_ms - job.runtimes_ms[0] for job in jobs} == {2_000}
    assert {job.priority for job in jobs} == {500}


def test_ai_gangs():
    jobs = list(generate("ai", jobs=20_000, seed=1, size_power=0.0, model="NVIDIA H800").jobs())
    points = [100, 1_000, 10_000, 100_000]
    assert survival([job.runtimes_ms[0] / 1_000 for job in jobs], points) == pytest.approx(
        pareto_survival(points, 60, 1_209_600, 0.55), abs=0.01
    )
    cards = np.array([job.shape.resources.accelerator_milli * job.shape.nodes for job in jobs])
    assert (cards <= 1_000).mean() == pytest.approx(0.62, abs=0.02)
    assert {int(card) & (int(card) - 1) for card in cards // 500} == {0}
    hours = np.array([job.runtimes_ms[0] for job in jobs]) * cards
    assert hours[cards >= 8_000].sum() > 0.5 * hours.sum()
    assert {job.shape.accelerator.model for job in jobs} == {"H800"}
    large = next(job for job in jobs if job.shape.nodes == 8)
    assert (large.shape.resources.accelerator_milli, large.checkpoint_ms) == (8_000, 1_800_000)
    assert np.mean([job.preemptible for job in jobs]) == pytest.approx(0.3, abs=0.02)


def test_larger_gangs_run_longer():
    jobs = list(generate("ai", jobs=20_000, seed=1).jobs())
    medians = {
        nodes: np.median([job.runtimes_ms[0] for job in jobs if job.shape.nodes == nodes])
        for nodes in (1, 8)
    }
    assert medians[8] > 1.5 * medians[1]


def test_mixed_keeps_its_weights_and_tenants():
    jobs = list(generate("mixed", jobs=20_000, seed=1).jobs())
    shares = Counter(job.queue for job in jobs)
    found = {name: shares[name] / 20_000 for name in ("hpc", "render", "pulsar", "vr", "ai")}
    wanted = {"hpc": 0.3, "render": 0.05, "pulsar": 0.15, "vr": 0.3, "ai": 0.2}
    assert found == pytest.approx(wanted, abs=0.03)
    assert all(job.account == job.queue for job in jobs)
    span_h = jobs[-1].submitted_ms / 3_600_000
    assert 20_000 / span_h == pytest.approx(100, rel=0.15)
    together = generate("mixed", jobs=50, seed=1, apart=False, vr=0.0, queue="all").jobs()
    assert {job.queue for job in together} == {"all"}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_rate_is_what_a_kind_says(name):
    kind = GENERATORS[name]
    jobs = list(generate(name, jobs=12_000, seed=3).jobs())
    assert 12_000 * 1_000 / jobs[-1].submitted_ms == pytest.approx(
        kind.rate(kind.options()), rel=0.06
    )


def test_zipf_users():
    counts = Counter(job.user for job in generate("vr", jobs=10_000, seed=1, users=10).jobs())
    (first, many), (second, fewer) = counts.most_common(2)
    assert (first, second) == ("u0", "u1")
    assert many / fewer == pytest.approx(2, rel=0.1)


def test_a_stream_never_ends():
    kind = GENERATORS["vr"]
    assert sum(1 for _ in islice(kind.stream(kind.options(), 1, 1.0), 3_000)) == 3_000
