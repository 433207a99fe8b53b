"""Figures of a workload, by hand."""

import pytest

from fenglin.simulator.readers.shapes import shape
from fenglin.simulator.readers.statistics import Tally
from fenglin.simulator.workload import WorkJob


def test_figures_by_hand():
    tally = Tally()
    for job in (
        WorkJob(1, 0, shape(cpu_milli=2_000, memory_bytes=2**30, nodes=3), (60_000,), user="a"),
        WorkJob(2, 3_600_000, shape(accelerator_milli=500, model="H20"), (30_000, 90_000), tasks=2,
                estimate_ms=120_000, deadline_ms=9, preemptible=True, user="a", name="n"),
        WorkJob(3, 7_200_000, shape(cpu_milli=1_000), (0,), tasks=4, queue="q"),
    ):  # fmt: skip
        tally.add(job)
    found = tally.result()
    assert (found["jobs"], found["tasks"], found["span_s"]) == (3, 7, 7_200)
    assert (found["gap_s"]["mean"], found["gap_cv"]) == (3_600, 0)
    assert found["hours"][:4] == pytest.approx([0.33333, 0.33333, 0.33333, 0])
    assert found["runtime_s"]["p50"] == 60
    assert found["runtime_s"]["max"] == 60
    assert (found["nodes"]["max"], found["tasks_per_job"]["max"]) == (3, 4)
    assert found["cores"]["max"] == 6
    assert found["cards"]["mean"] == 1
    assert found["memory_gib"]["mean"] == 1
    assert found["core_hours"] == pytest.approx(6 / 60)
    assert found["card_hours"] == pytest.approx(0.5 * 2 / 60)
    assert found["busy_cores"] == pytest.approx(6 / 60 / 2)
    assert found["busy_cards"] == pytest.approx(0.5 * 2 / 60 / 2)
    assert (found["card_jobs"], found["estimate_jobs"], found["deadline_jobs"]) == (1, 1, 1)
    assert (found["preemptible_jobs"], found["estimate_ratio"]["mean"]) == (1, 2)
    assert (found["users"], found["names"]) == (1, 1)
    assert (found["queues"], found["models"]) == ({"default": 2, "q": 1}, {"H20": 1})


def test_one_job_has_no_gaps():
    tally = Tally()
    tally.add(WorkJob(1, 5, shape(cpu_milli=1), (1,)))
    found = tally.result()
    assert (found["span_s"], found["gap_cv"], found["busy_cores"]) == (0, 0, 0)
