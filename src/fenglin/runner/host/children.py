# ruff: noqa: PLC0415, SIM105, TID252
"""What a runner leaves to forked children, so that nothing slow holds up the other tasks."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .order import Order
    from .task import Task


def fork(work: Callable[[], int], output: int) -> int:
    """Do work in a child of its own process group; return its pid.

    Args:
        work: Returns the child's exit status; what it raises is told, and is status 1.
        output: Descriptor that takes what the child says.

    Raises:
        OSError: the machine is short of processes or memory.
    """
    pid = os.fork()
    if pid:
        try:
            os.setpgid(pid, pid)
        except OSError:
            pass  # it has set its group itself, or has ended already
        return pid
    code = 1
    try:
        os.setpgid(0, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        code = work()
    except BaseException as error:  # noqa: BLE001 - a child must never return to the loop
        os.write(2, f"fenglin: {error!s:.1000}\n".encode(errors="replace"))
    finally:
        os._exit(code)


def stage(order: Order, cwd: str) -> int:
    """Bring a task's inputs."""
    from . import workspace  # needs `re`; most attempts bring nothing

    workspace.bring(cwd, order.inputs)
    return 0


def publish(order: Order, task: Task, cwd: str) -> int:
    """Keep a task's artifacts, then drop the rest of its folder."""
    from . import workspace  # needs `re`; most attempts keep nothing

    notes = workspace.keep(
        cwd,
        task.folder,
        order.artifacts,
        [target for target, _, _ in order.inputs],
        f"{order.artifacts_dir}/{task.index}",
        move=not order.workdir,
    )
    for note in notes:
        os.write(2, f"fenglin: {note}\n".encode(errors="replace"))
    os.chdir("/")
    workspace.remove_tree(task.folder)
    return 0
