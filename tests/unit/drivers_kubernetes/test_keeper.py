"""What is done at a cluster about tasks that are not wanted, by how they became Jobs."""

import asyncio
from types import SimpleNamespace

import msgspec
import pytest
from kubernetes_samples import pod, running, settings
from msgspec.structs import replace

from fenglin.drivers.kubernetes import manifests, names
from fenglin.drivers.kubernetes.keeper import Keeper
from fenglin.drivers.kubernetes.manifests import TEMPLATE, TERMS, UNWANTED, Mode, Terms, unwanted_of
from fenglin.drivers.kubernetes.views import Claim, Job, JobSpec, Metadata

KEY = "h1-a1-1"


class Calls:
    """A cluster that notes what it is asked for."""

    def __init__(self, mode, pods, jobs, *, slots=4, unwanted="0 0 2 3"):
        terms = Terms("0-3", slots, mode, 100)
        data = {TERMS: msgspec.json.encode(terms).decode(), UNWANTED: unwanted, TEMPLATE: "{}"}
        self.kept = Claim(Metadata(names.claim_name(KEY)), data)
        held = (("claims", [self.kept]), ("pods", pods), ("jobs", jobs))
        for kind, objects in held:
            kept = {one.metadata.name: one for one in objects}
            setattr(self, kind, SimpleNamespace(of=lambda _, kept=kept: kept))
        self.asked = []

    async def patch_job(self, name, patch):
        self.asked.append((name, patch["spec"]))

    async def end_pod(self, name):
        self.asked.append(("end", name))

    async def delete_pod(self, name):
        self.asked.append(("delete", name))

    async def claim(self, _key):
        return self.kept

    async def make_job(self, manifest):
        self.asked.append(("make", manifest))


def tend(mode, pods, jobs, *, ended=frozenset({0, 1, 2, 3}), **how):
    """Return what is asked of a cluster in one round."""
    calls = Calls(mode, pods, jobs, **how)
    known = SimpleNamespace(
        task_of=lambda _, one: int(one.metadata.uid),
        is_stray=lambda *_: False,
        ended=lambda _: ended,
    )
    keeper = Keeper(calls, known, settings(), lambda: 0)
    asyncio.run(keeper._tend(KEY))
    return calls.asked


def waits(uid):
    return pod(phase="Pending", uid=uid, node="")


def runs(uid):
    return pod(running(), uid=uid)


def ended(uid):
    return pod(phase="Failed", uid=uid)


@pytest.mark.parametrize(
    ("mode", "job", "asked"),
    [
        (Mode.PER_INDEX, JobSpec(), [("end", "p-0"), ("delete", "p-2")]),
        # Else the Job would end with the first pod that is ended.
        (
            Mode.INDEXED,
            JobSpec(backoff_limit=0),
            [(names.claim_name(KEY), {"backoffLimit": 2**31 - 1}), ("end", "p-0")],
        ),
        (Mode.INDEXED, JobSpec(backoff_limit=2**31 - 1), [("end", "p-0")]),
    ],
)
def test_places_of_an_indexed_job(mode, job, asked):
    held = Job(Metadata(names.claim_name(KEY)), job)
    assert tend(mode, [runs("0"), runs("1"), waits("2")], [held]) == asked


def test_jobs_of_single_tasks():
    """What has not begun is taken by its Job, what runs is ended first."""
    own = [Job(Metadata(names.task_name(KEY, task)), JobSpec()) for task in range(3)]
    started = replace(runs("0"))
    started.metadata.labels["job-name"] = names.task_name(KEY, 0)
    assert tend(Mode.TASKS, [started, waits("2")], own) == [
        ("end", "p-0"),
        (names.task_name(KEY, 2), {"parallelism": 0}),
    ]


@pytest.mark.parametrize(
    ("parallelism", "held", "made"),
    [
        (0, ended, [1]),
        # It makes another, or may do so.
        (1, ended, []),
        (0, runs, []),
        (0, waits, []),
    ],
)
def test_a_job_that_may_have_no_pods_and_is_never_over(monkeypatch, parallelism, held, made):
    """Its controller need not have seen its pod fail before it was allowed none."""
    monkeypatch.setattr(manifests, "of_task", lambda _template, _key, task: task)
    job = Job(Metadata(names.task_name(KEY, 0)), JobSpec(parallelism))
    one = held("0")
    one.metadata.labels["job-name"] = job.metadata.name
    asked = tend(Mode.TASKS, [one], [job], ended={0}, slots=1, unwanted="")
    assert [what for word, what in asked if word == "make"] == made


@pytest.mark.parametrize("text", ["1", "x y", "3 1", "-1 2"])
def test_a_claim_that_somebody_has_changed(text):
    with pytest.raises(ValueError, match=r".+"):
        unwanted_of(Claim(Metadata("c"), {UNWANTED: text}))
