"""A truth that the hub has no part in: payloads write down themselves when they ran.

Each run of a task makes a file of its own by exclusive creation and holds a lock while it runs.
A run that finds the lock held by another run of the same task leaves a mark. The system gives
a lock back when its holder is killed, so a killed run never looks like one that still runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

# Numbers of a task's runs beyond this mean that the folder cannot be written.
MOST_RUNS = 1_000

# Times are seconds since boot, one clock for all processes, read without starting another one.
# `true` and not `:`, because a failed redirection of a special built-in ends the shell.
PAYLOAD = f"""\
set -u
task="$TRUTH_DIR/$FENGLIN_JOB_ID.$FENGLIN_TASK_INDEX"
exec 9>>"$task.lock"
flock -n 9 || true >"$task.double.$$"
n=1
set -C
until true >"$task.run.$n"; do
  n=$((n + 1))
  [ "$n" -le {MOST_RUNS} ] || exit 99
done 2>/dev/null
set +C
read -r now _ </proc/uptime
echo "$$ $now" >>"$task.run.$n"
[ "$n" -gt 1 ] || TRUTH_SLEEP_S="${{TRUTH_FIRST_S:-$TRUTH_SLEEP_S}}"
[ "$TRUTH_SLEEP_S" = 0 ] || sleep "$TRUTH_SLEEP_S"
read -r now _ </proc/uptime
echo "$now" >>"$task.run.$n"
"""


class Run(NamedTuple):
    """One run of one task, as the run itself tells it.

    Attributes:
        job: Public job id.
        task: Index.
        number: 1 for the task's first run.
        pid: Of its shell; 0 when it was killed before it could say.
        began_s: Seconds since boot; 0 as above.
        ended_s: Seconds since boot; 0 when it never came to its end.
    """

    job: str
    task: int
    number: int
    pid: int
    began_s: float
    ended_s: float


class TruthDir:
    """A folder that payloads write and a test reads."""

    def __init__(self, folder: Path) -> None:
        """Make the folder."""
        self.folder = folder.absolute()
        self.folder.mkdir(parents=True, exist_ok=True)

    def job(
        self,
        name: str,
        *,
        sleep_s: float = 0,
        first_s: float | None = None,
        tasks: int = 1,
        **more: object,
    ) -> dict[str, object]:
        """Return a native job document whose tasks testify here.

        Args:
            name: Of the job.
            sleep_s: How long each task takes, at least.
            first_s: How long its first run takes instead, for one that will be interrupted.
            tasks: Size of the array.
            more: Further keys of the job file; a `script` runs after the payload's end.
        """
        script = f"{PAYLOAD}{more.pop('script', '')}"
        env = {"TRUTH_DIR": str(self.folder), "TRUTH_SLEEP_S": f"{sleep_s:g}"}
        if first_s is not None:
            env["TRUTH_FIRST_S"] = f"{first_s:g}"
        return {
            "name": name,
            "tasks": tasks,
            "resources": {"cpu": 0.5, "memory": "16MiB"},
            "env": env,
            "script": script,
            **more,
        }

    def runs(self, job: str = "") -> list[Run]:
        """Return all runs so far, or those of one job, by job and task."""
        found = []
        for path in self.folder.glob(f"{job or '*'}.*.run.*"):
            owner, task, _, number = path.name.split(".")
            lines = [line.split() for line in path.read_text().splitlines()]
            pid, began = lines[0] if lines and len(lines[0]) == 2 else ("0", "0")
            ended = lines[1][0] if len(lines) > 1 and lines[1] else "0"
            found.append(Run(owner, int(task), int(number), int(pid), float(began), float(ended)))
        return sorted(found)

    def doubles(self) -> list[str]:
        """Return the marks of runs that found another run of their task still running."""
        return sorted(path.name for path in self.folder.glob("*.double.*"))
