"""What `sbatch` is told of an order. No value of a user gets in but sizes and a plain comment."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING

from fenglin.errors import DriverError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fenglin.drivers.slurm.layout import Layout
    from fenglin.drivers.slurm.settings import SlurmSettings
    from fenglin.ports.driver import StartOrder

MIB = 2**20
# The runner itself, beside its task: Slurm counts both where it confines memory.
RUNNER_MEMORY_MIB = 32
SPARE_MS = 60_000
LONGEST_COMMENT = 120
EMPTY: Mapping[str, str] = MappingProxyType({})
_UNPLAIN = re.compile(r"[^A-Za-z0-9._-]+")


def batch_options(
    order: StartOrder,
    layout: Layout,
    settings: SlurmSettings,
    output: str,
    card: str,
    licences: str = "",
    own: Mapping[str, str] = EMPTY,
) -> list[str]:
    """Return the options of `sbatch` for an order.

    Args:
        order: The order.
        layout: Its elements.
        settings: Of the site.
        output: File for what the batch scripts themselves say.
        card: Type of the cards as the cluster spells it; empty where it does not.
        licences: What each element holds of the cluster's licences, `name:count,…`.
        own: Account, QoS and reservation of this order, before those of partition and site.

    Raises:
        DriverError: the site has no flavor of that name.
    """
    partition = settings.partitions.get(order.flavor)
    if partition is None:
        raise DriverError(f"there is no flavor {order.flavor}", where=f"site {order.site}")
    need = order.resources
    said = {
        "job-name": order.key,
        "comment": comment(order.hub, order.job, order.job_name),
        "partition": partition.name,
        "qos": own.get("qos") or partition.qos or settings.qos,
        "constraint": partition.constraint,
        "account": own.get("account") or partition.account or settings.account,
        "reservation": own.get("reservation") or partition.reservation or settings.reservation,
        "array": layout.array(order.slots),
        "cpus-per-task": str(max(1, -(-need.cpu_milli // 1_000))),
        "mem": f"{-(-need.memory_bytes // MIB) + RUNNER_MEMORY_MIB}M" if need.memory_bytes else "",
        "gres": _cards(need.accelerator_milli, card),
        "licenses": licences,
        "time": _time(order, layout, settings),
        "output": output,
        "chdir": output.rpartition("/")[0],
    }
    size = [f"--nodes={order.nodes}", f"--ntasks={order.nodes}", "--ntasks-per-node=1"]
    fixed = [*size[: 2 if order.nodes == 1 else 3], "--no-requeue", "--open-mode=append"]
    fixed.append("--export=ALL")
    given = [f"--{name}={value}" for name, value in said.items() if value]
    return [*settings.options, *partition.options, *fixed, *given]


def comment(hub: str, job: str, name: str) -> str:
    """Return what people see of a job: no character that means anything to a shell or to Slurm."""
    return f"fenglin:{hub}:{job}:{_UNPLAIN.sub('_', name)}"[:LONGEST_COMMENT]


def _cards(accelerator_milli: int, card: str) -> str:
    """Return the GRES of a task; a part of a card takes a whole one."""
    count = -(-accelerator_milli // 1_000)
    return f"gpu:{card}:{count}" if count and card else f"gpu:{count}" if count else ""


def _time(order: StartOrder, layout: Layout, settings: SlurmSettings) -> str:
    """Return the limit of an element in whole minutes: the runner's own limit comes first."""
    tasks = max(1, layout.chunk)
    if order.timeout_ms:
        # tasks x (timeout + grace) + spare, rounded up
        limit_ms = tasks * (order.timeout_ms + order.grace_ms) + SPARE_MS
    elif settings.time_limit_ms:
        limit_ms = tasks * settings.time_limit_ms
    else:
        return ""
    return str(max(1, -(-limit_ms // 60_000)))
