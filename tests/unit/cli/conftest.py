"""Fixtures of the command line: one command run, and a job to show."""

from typing import NamedTuple

import pytest

from fenglin.cli import main


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def fenglin(hub, capfd, monkeypatch, tmp_path):
    """Run one command against the scripted hub, in this process."""
    monkeypatch.setenv("FENGLIN_HUB", hub.url)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("FENGLIN_TOKEN", "FENGLIN_TOKEN_FILE", "FENGLIN_CONFIG", "FENGLIN_DEBUG"):
        monkeypatch.delenv(name, raising=False)

    def run(*words):
        code = main([str(word) for word in words])
        return Done(code, *capfd.readouterr())

    return run


@pytest.fixture
def job():
    """Make a job as the hub shows it."""

    def make(job_id="j7", state="running", **more):
        return {
            "id": job_id, "name": "sky", "queue": "default", "account": "default",
            "priority": 0, "state": state, "reason": "", "detail": "", "task_count": 4,
            "tasks": {"running": 3, "succeeded": 1}, "submitted_ms": 1_000, "started_ms": 2_000,
            "ended_ms": 0, "expected_finish_ms": 0, "held_micro": 0, "cost_micro": 1_234_567,
            **more,
        }  # fmt: skip

    return make
