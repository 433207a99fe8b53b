# ruff: noqa: ANN401, PTH109, PTH118, S607
"""A task over several nodes of one Slurm job, for `element`: its runner starts ranks by `srun`.

The element runs on the first node and is the runner of all ranks: the one there is its own child,
each other one a step of the job. So a gang starts all or none (Slurm has given all nodes), ends
as one, and writes into one folder and one output. `srun` takes SIGTERM for SIGKILL; so it stands in
a session of its own, and what is sent to its keeper is passed on by `scancel` to the steps. The
final signal is told to `srun`, which ends its step and stays until that has said all it had to: a
rank that is over has been heard to the end, and its process is gone. The polite one takes its way
through slurmctld and slurmd, so the final one keeps a second's distance.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SHELL = "/bin/sh"
SIGUSR1 = 10
# Its words: a file that the first of them to be signalled makes, the job, the command. One that
# has no answer of its step long after the final signal, as when the node is lost, gives it up.
KEEPER = """job=$1; shift
trap '(set -C; : > "$0") 2>/dev/null && scancel --quiet --signal=TERM "$job"' TERM
trap 'sleep 1; kill -TERM "$p"; (sleep 20; kill -9 "$p") &' USR1
setsid "$@" &
p=$!
while kill -0 "$p" 2>/dev/null; do wait "$p"; s=$?; done
exit "$s"
"""
SCOPE = ("--nodes=1", "--ntasks=1", "--quiet", "--unbuffered", "--mpi=none", "--export=ALL")


def nodes() -> list[str]:
    """Return the nodes of this job, the element's own first.

    Raises:
        OSError, CalledProcessError: Slurm's commands are not on the nodes.
    """
    import subprocess  # noqa: PLC0415 - slow to load, and gangs are few

    listed = os.environ["SLURM_JOB_NODELIST"]
    told = subprocess.run(
        ["scontrol", "show", "hostnames", listed], stdout=subprocess.PIPE, check=True
    )
    return told.stdout.decode().split()


def spread(launcher: Any, here: str) -> None:
    """Have a launcher start the ranks of other nodes there."""
    plain, hard = launcher.spawn, launcher.kill
    proc = __import__("host.proc", fromlist=["*"])
    keepers: dict[int, int] = {}
    srun = _found("srun")
    job = os.environ["SLURM_JOB_ID"]
    cpus = os.environ.get("SLURM_CPUS_PER_TASK", "1")

    def spawn(task: Any, at: int) -> int:
        node = task.nodes[task.ranks[at]]
        if node == here:
            pid = int(plain(task, at))
            keepers.pop(pid, None)
            return pid
        program, arguments = launcher.program, launcher.arguments
        scope = (*SCOPE, f"--nodelist={node}", f"--cpus-per-task={cpus}", f"--chdir={os.getcwd()}")
        command = [srun, *scope, program or arguments[0], *arguments[1:]]
        launcher.program = SHELL
        # Not in the task's own folder, which is given back only when it is clean.
        mark = f"{task.folder}.{task.index}.term"
        launcher.arguments = [SHELL, "-c", KEEPER, mark, job, *command]
        try:
            pid = int(plain(task, at))
        finally:
            launcher.program, launcher.arguments = program, arguments
        keepers[pid] = task.index
        return pid

    def kill(task: Any) -> None:
        kept = [pid for pid in task.processes if keepers.get(pid) == task.index]
        if not kept:
            hard(task)
            return
        for pid in task.processes:
            if pid in kept:
                # It alone: what it has called to pass the polite signal on must end well.
                proc.signal_pid(pid, SIGUSR1)
            else:
                proc.signal_group(pid, proc.SIGKILL)

    launcher.spawn, launcher.kill = spawn, kill


def _found(name: str) -> str:
    """Return where a program is; the task's own PATH may lack it."""
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        path = os.path.join(folder, name)
        if os.access(path, os.X_OK):
            return path
    return name
