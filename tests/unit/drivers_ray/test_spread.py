"""What deals tasks out to several places, run over a Ray that loses calls and answers."""

import os
import subprocess

import pytest
from tests.unit.drivers_ray.nodes import PYTHON, Node

from fenglin.model.allocation import Share
from fenglin.model.reason import Reason

# Calls run on threads, as those of an actor do; some never arrive, of others the answer is lost.
RAY = """
import concurrent.futures as futures
import os
import random


class exceptions:
    class RayError(Exception):
        pass

    class ActorUnavailableError(RayError):
        pass

    class ActorDiedError(RayError):
        pass


DICE, LOST, DIES = random.Random(os.environ["SEED"]), float(os.environ["LOST"]), os.environ["DIES"]


class Actor:
    made = 0

    def __init__(self, kind, values):
        Actor.made += 1
        self._calls = int(DIES) if DIES and Actor.made == 1 else 10**9
        self._threads = futures.ThreadPoolExecutor(4)
        self._itself = self._threads.submit(kind, *values)

    def __getattr__(self, name):
        return Method(lambda *values: self._threads.submit(self._run, name, values, DICE.random()))

    def _run(self, name, values, fate):
        self._calls -= 1
        if self._calls < 0:
            raise exceptions.ActorDiedError("it is gone")
        if fate < LOST:
            raise exceptions.ActorUnavailableError("it did not arrive")
        answer = getattr(self._itself.result(), name)(*values)
        if fate < 2 * LOST:
            raise exceptions.ActorUnavailableError("the answer was lost")
        return answer


class Method:
    def __init__(self, remote):
        self.remote = remote


def init(**_):
    pass


def remote(kind):
    made = Method(lambda *values: Actor(kind, values))
    made.options = lambda **_: made
    return made


def wait(refs, timeout):
    done, _ = futures.wait(refs, timeout, futures.FIRST_COMPLETED)
    return [ref for ref in refs if ref in done][:1], []


def get(ref):
    return ref.result()
"""


class Nodes(Node):
    """Two nodes of a cluster, and the one where the job's entrypoint runs."""

    def start(self, *, seed=0, lost=0.0, dies="", **fields):
        shares = (Share("cpu-0", 2), Share("cpu-1", 1))
        self.unpack(shares=shares, **fields)
        (self.folder / "ray.py").write_text(RAY)
        told = {"SEED": str(seed), "LOST": str(lost), "DIES": str(dies)}
        return subprocess.Popen(
            [PYTHON, "spread.py"],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **told},
        )


@pytest.fixture
def nodes(tmp_path):
    return Nodes(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_each_task_runs_once_although_calls_and_answers_are_lost(nodes, tmp_path, seed):
    script = f"echo ran >> {tmp_path}/ran-$FENGLIN_TASK_INDEX; echo task $FENGLIN_TASK_INDEX"
    told = nodes.finish(nodes.start(seed=seed, lost=0.15, tasks="0-19", script=script))
    assert sorted(end.index for end in told.ends) == list(range(20))
    assert {end.reason for end in told.ends} == {None}
    assert (told.done, told.reason) == (True, None)
    for task in range(20):
        assert (tmp_path / f"ran-{task}").read_text() == "ran\n"
        assert nodes.said(task) == f"task {task}\n"


@pytest.mark.slow
def test_what_a_lost_place_had_is_told_as_lost(nodes):
    told = nodes.finish(nodes.start(dies=4, tasks="0-19", script="sleep 0.2"))
    assert sorted(end.index for end in told.ends) == list(range(20))
    reasons = {end.reason for end in told.ends}
    assert reasons == {None, Reason.RUNNER_LOST}
