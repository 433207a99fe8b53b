"""Short ways to say what a test is about; everything else gets a plain value."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fenglin.model.job import DEFAULT_ACCOUNT, JobSpec
from fenglin.model.site import Flavor, Node, Price, Site
from fenglin.model.states import ComputeClass
from fenglin.quantities.resources import Resources
from fenglin.snapshot.builder import JobRow, build
from fenglin.snapshot.snapshot import Shape, Snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

GIB = 2**30
PLENTY_MICRO = 10**15


@dataclass(frozen=True, slots=True)
class LocalSite:
    """One site of this machine for a hub's configuration, with one flavor `std`.

    Attributes:
        name: Of the site; its provider is `provider-NAME`.
        cpu: Cores of one node. They are a promise, not checked against the machine.
        nodes: How many.
        memory: Of one node.
        speed: Against the reference core.
        core_hour: Price in CNY.
        compute_class: `general`, `ai` or `super`.
    """

    name: str
    cpu: float = 4
    nodes: int = 1
    memory: str = "4GiB"
    speed: float = 1
    core_hour: str = "0.36"
    compute_class: str = "general"

    def block(self) -> str:
        """Return its part of a `fenglin.toml`."""
        return f"""
[site.{self.name}]
driver = "local"
provider = "provider-{self.name}"
[site.{self.name}.flavor.std]
class = "{self.compute_class}"
nodes = {self.nodes}
cpu = {self.cpu}
memory = "{self.memory}"
disk = "1TiB"
speed = {self.speed}
price = {{ core_hour = "{self.core_hour}", task_minimum_time = "1s" }}
"""


def hub_file(
    sites: Sequence[LocalSite] = (LocalSite("site"),),
    *,
    accounts: Mapping[str, str] | None = None,
    queues: Mapping[str, float] | None = None,
    hub: str = "",
) -> str:
    """Return a `fenglin.toml` that listens on a free port of this machine.

    Args:
        sites: The pool.
        accounts: Name → credit such as `1000 CNY`; None for a rich `default`.
        queues: Name → weight.
        hub: More lines of the `[hub]` block.
    """
    if accounts is None:
        accounts = {DEFAULT_ACCOUNT: "1000 CNY"}
    parts = [f'[hub]\nlisten = "127.0.0.1:0"\ndata = "data"\n{hub}\n']
    parts += [f"[account.{name}]\ncredit = {json.dumps(c)}\n" for name, c in accounts.items()]
    parts += [f"[queue.{name}]\nweight = {weight}\n" for name, weight in (queues or {}).items()]
    return "\n".join([*parts, *(site.block() for site in sites)])


def a_site(
    name: str = "site",
    *,
    cpu: float = 4,
    memory_bytes: int = 16 * GIB,
    nodes: int = 1,
    speed_milli: int = 1_000,
    core_hour_micro: int = 0,
    driver: str = "mock",
) -> Site:
    """Return a site of equal nodes `n0…` of one flavor `std`."""
    flavor = Flavor(
        "std",
        ComputeClass.GENERAL,
        Resources(int(cpu * 1_000), memory_bytes),
        speed_milli=speed_milli,
        price=Price(core_hour_micro=core_hour_micro),
    )
    places = tuple(Node(f"n{i}", "std") for i in range(nodes))
    return Site(name, f"provider-{name}", driver, flavors=(flavor,), nodes=places)


def a_job(name: str = "job", *, tasks: int = 1, cpu: float = 1) -> JobSpec:
    """Return the spec of a job that runs `true`; `msgspec.structs.replace` changes the rest."""
    return JobSpec(
        name, tasks=tasks, resources=Resources(int(cpu * 1_000), GIB // 4), command=("true",)
    )


def a_snapshot(
    sites: Sequence[Site], jobs: Sequence[JobSpec] = (), *, now_ms: int = 1_700_000_000_000
) -> Snapshot:
    """Return the planner's picture of an idle pool; the jobs are numbered from 1."""
    rows = [
        JobRow(
            number=number,
            shape=Shape.of(spec),
            pending=spec.tasks,
            queue=spec.queue,
            account=spec.account,
            priority=spec.priority,
            submitted_ms=now_ms,
            concurrency=spec.concurrency,
            tasks=spec.tasks,
            estimate_ms=spec.estimate_ms,
            timeout_ms=spec.timeout_ms,
        )
        for number, spec in enumerate(jobs, 1)
    ]
    accounts = {DEFAULT_ACCOUNT, *(spec.account for spec in jobs)}
    return build(
        index=1,
        now_ms=now_ms,
        sites=sites,
        accounts=dict.fromkeys(sorted(accounts), PLENTY_MICRO),
        jobs=rows,
    )
