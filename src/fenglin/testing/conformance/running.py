"""What a task sees, and how its end is told."""

from __future__ import annotations

import os
import sys

import pytest

from fenglin.model.reason import Reason
from fenglin.ports.driver import Capability
from fenglin.quantities.resources import Resources
from fenglin.testing.conformance.harness import Payload
from fenglin.testing.conformance.site import SiteHand

ENDINGS = {
    ("sh", "-c", "exit 127"): (127, Reason.EXIT_CODE),
    ("sh", "-c", "exit 137"): (137, Reason.EXIT_CODE),
    ("sh", "-c", "kill -KILL $$"): (137, Reason.SIGNAL),
    ("sh", "-c", "kill -USR1 $$"): (138, Reason.SIGNAL),
    ("fenglin-has-no-such-command",): (127, Reason.COMMAND_NOT_FOUND),
    ("/fenglin/has/no/such/command",): (127, Reason.COMMAND_NOT_FOUND),
}


class RunningCases:
    """Exit codes, environment, working directory, time limits."""

    def test_exit_codes(self, site: SiteHand) -> None:
        """A status other than 0 is told as it is, and is the payload's own doing."""
        orders = {code: site.order(Payload(exit_code=code)) for code in (0, 1, 42, 255)}
        for order in orders.values():
            site.start(order)
        for code, order in orders.items():
            ends, last = site.finish(order.key)
            reason = Reason.EXIT_CODE if code else None
            assert [(end.exit_code, end.reason) for end in ends] == [(code, reason)]
            assert last.reason is None

    def test_how_tasks_end(self, site: SiteHand) -> None:
        """Status, signal and a missing program are told apart."""
        site.need_processes()
        orders = {command: site.order(command=command) for command in ENDINGS}
        for order in orders.values():
            site.start(order)
        seen = {command: site.finish(order.key) for command, order in orders.items()}
        told = {
            command: [(end.exit_code, end.reason) for end in ends]
            for command, (ends, _) in seen.items()
        }
        assert told == {command: [ending] for command, ending in ENDINGS.items()}
        assert {last.reason for _, last in seen.values()} == {None}

    def test_the_environment_of_a_task(self, site: SiteHand) -> None:
        """What the job asks for, and what every site tells a task."""
        site.need_processes()
        tries = ((0, 3),)
        env = (("MINE", "one two"), ("EMPTY", ""))
        key = site.start(site.order(command=("env",), tries=tries, env=env))
        site.finish(key)
        lines = site.text(key).splitlines()
        order = site.order(command=("env",))
        for line in (
            "FENGLIN_JOB_ID=j1",
            "FENGLIN_TASK_INDEX=0",
            "FENGLIN_TASK_COUNT=1",
            "FENGLIN_ATTEMPT=3",
            f"FENGLIN_SITE={order.site}",
            f"FENGLIN_FLAVOR={order.flavor}",
            "FENGLIN_NODE_COUNT=1",
            "FENGLIN_NODE_RANK=0",
            "FENGLIN_CPUS=0.1",
            "MINE=one two",
            "EMPTY=",
        ):
            assert line in lines
        assert any(line.startswith("FENGLIN_ARTIFACTS_DIR=/") for line in lines)

    def test_the_hubs_environment_stays_with_it(
        self, site: SiteHand, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """S3: a secret of the hub reaches no task."""
        site.need_processes()
        monkeypatch.setenv("FENGLIN_TOKEN", "canary-1")
        monkeypatch.setenv("DATABASE_PASSWORD", "canary-2")
        site.restart()
        key = site.start(site.order(command=("env",)))
        site.finish(key)
        assert "canary" not in site.text(key)

    @pytest.mark.parametrize(
        ("script", "output"),
        [
            ("echo plain $FENGLIN_TASK_INDEX", "plain 0\n"),
            ("#!/bin/sh -e\necho before\nfalse\necho after\n", "before\n"),
            (f"#!{sys.executable}\nprint('python', 1 + 1)\n", "python 2\n"),
            ("cat\necho end of input", "end of input\n"),
            ("echo out\necho err >&2", "out\nerr\n"),
            ("printf '%s\\n' '$HOME' \"`echo x`\" '\\\\'\n", "$HOME\nx\n\\\\\n"),
        ],
        ids=["no interpreter", "options", "python", "stdin", "stderr", "quotes"],
    )
    def test_a_script_runs_as_it_is_written(self, site: SiteHand, script: str, output: str) -> None:
        """Its `#!` line is honoured, its input is empty, its text is not changed."""
        site.need_processes()
        key = site.start(site.order(script=script))
        site.finish(key)
        assert site.text(key) == output

    def test_each_task_has_a_fresh_folder(self, site: SiteHand) -> None:
        """Nothing of another task is there, and it can be written."""
        site.need_processes()
        script = "ls -A | grep -v artifacts; echo x > mess && mkdir sub && pwd"
        first, second = site.order(script=script), site.order(script=script)
        for order in (first, second):
            ends, _ = site.run(order)
            assert [end.exit_code for end in ends] == [0]
        one, other = site.text(first.key).splitlines(), site.text(second.key).splitlines()
        assert len(one) == len(other) == 1
        assert one != other

    def test_a_task_starts_in_the_folder_that_the_job_names(self, site: SiteHand) -> None:
        """`workdir` is used as it is, also with spaces in its name."""
        site.need_processes()
        folder = site.harness.folder / "a place; of 'its' own"
        folder.mkdir()
        key = site.start(site.order(command=("pwd",), workdir=str(folder)))
        site.finish(key)
        assert site.text(key) == f"{os.path.realpath(folder)}\n"

    def test_time_limit(self, site: SiteHand) -> None:
        """A task that takes too long is ended, and that is told as its reason."""
        site.need_processes()
        limit_ms = int(1_000 * site.harness.tick_s)
        key = site.start(site.order(Payload(sleep_s=300), timeout_ms=limit_ms))
        ends, last = site.finish(key)
        assert [end.reason for end in ends] == [Reason.TIMEOUT]
        assert ends[0].exit_code != 0
        assert ends[0].wall_ms >= limit_ms - 1_000 * site.harness.coarse_s
        assert last.reason is None

    def test_time_limit_of_a_deaf_task(self, site: SiteHand) -> None:
        """SIGTERM first; after the grace what does not listen is killed."""
        site.need_processes()
        script = "exec 2>/dev/null; trap 'echo heard' TERM; while :; do sleep 0.05; done"
        limit_ms = int(1_000 * site.harness.tick_s)
        key = site.start(site.order(script=script, timeout_ms=limit_ms, grace_ms=200))
        ends, _ = site.finish(key)
        assert [(end.exit_code, end.reason) for end in ends] == [(137, Reason.TIMEOUT)]
        assert site.text(key) == "heard\n"

    def test_memory_limit(self, site: SiteHand) -> None:
        """A task that takes much more than it asked for is ended for that reason."""
        site.need_processes()
        site.need(Capability.MEMORY_LIMIT)
        script = f"#!{sys.executable}\nimport time\nkept = b'x' * 200_000_000\ntime.sleep(300)\n"
        key = site.start(site.order(script=script, resources=Resources(100, 60_000_000)))
        ends, _ = site.finish(key)
        assert [end.reason for end in ends] == [Reason.MEMORY_EXCEEDED]
        assert ends[0].exit_code != 0
