"""`fenglin simulate openb`: GPU-sharing pods arrive until the cluster is more than full."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fenglin.cli.output import Column, Output, write_data, write_fields, write_table
from fenglin.cli.session import OutputOption

if TYPE_CHECKING:
    from fenglin.simulator.openb.run import Outcome

POLICIES = ("random", "dotprod", "gpuclustering", "gpupacking", "bestfit", "fgd", "packed")
# At the end of the arrivals that the published tables are about.
MARKS = (100, 130)
_COLUMNS = (
    Column("SEED"),
    Column("AT 100 %", right=True),
    Column("AT 130 %", right=True),
    Column("REJECTED", right=True),
    Column("PODS", right=True),
    Column("SECONDS", right=True),
)


def openb(
    data: Annotated[
        Path, typer.Option("--data", metavar="DIR", help="Folder of pods, arrivals and order.")
    ],
    workload: Annotated[
        str, typer.Option("--workload", metavar="NAME", help="As in pods_NAME.csv.gz.")
    ],
    seeds: Annotated[
        str, typer.Option("--seeds", "--seed", metavar="SEEDS", help="Such as 42,43 or 42-51.")
    ] = "42",
    policy: Annotated[
        str, typer.Option("--policy", metavar="NAME", help=f"One of {', '.join(POLICIES)}.")
    ] = "packed",
    nodes: Annotated[
        Path | None,
        typer.Option("--nodes", metavar="FILE", help="Nodes; else nodes_gpu.csv.gz of DIR."),
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", metavar="N", min=1, help="Processes at once.")] = 1,
    output: OutputOption = Output.TABLE,
) -> None:
    """Place pods one by one, and tell how much of the GPUs is given away.

    The figures are percent of all GPUs, when 100 % and 130 % of them have been asked for.
    """
    from fenglin.simulator.openb.run import policy_of, run_seeds  # noqa: PLC0415 - slow
    from fenglin.simulator.seeds import read_seeds  # noqa: PLC0415 - slow

    chosen = policy_of(policy)
    wanted = read_seeds(seeds)
    outcomes = run_seeds(data, workload, wanted, chosen, nodes=nodes, jobs=jobs)
    if output is not Output.TABLE:
        write_data(answer(workload, policy, outcomes), output)
        return
    write_table(
        _COLUMNS,
        [
            (
                str(seed),
                *(_percent(one, mark) for mark in MARKS),
                str(one.rejected),
                str(one.pods),
                f"{one.run_s:.2f}",
            )
            for seed, one in outcomes.items()
        ],
    )
    means = answer(workload, policy, outcomes)
    shown = [means[f"alloc_pct_{mark}_mean"] for mark in MARKS]
    write_fields(
        (f"mean at {mark} %", "-" if mean is None else f"{mean:.2f}")
        for mark, mean in zip(MARKS, shown, strict=True)
    )


def answer(workload: str, policy: str, outcomes: dict[int, Outcome]) -> dict[str, Any]:
    """Return the figures by seed and their means; null where the arrivals end too early."""
    told: dict[str, Any] = {"workload": workload, "policy": policy}
    for mark in MARKS:
        values = {seed: float(one.alloc_pct[mark]) for seed, one in outcomes.items()}
        # Not a number: no arrival falls on that percent.
        known = {seed: value for seed, value in values.items() if not math.isnan(value)}
        told[f"alloc_pct_{mark}"] = {str(s): round(v, 4) for s, v in known.items()}
        mean = sum(known.values()) / len(known) if len(known) == len(values) else None
        told[f"alloc_pct_{mark}_mean"] = None if mean is None else round(mean, 4)
    told["rejected"] = {str(seed): one.rejected for seed, one in outcomes.items()}
    told["pods"] = {str(seed): one.pods for seed, one in outcomes.items()}
    told["run_s"] = {str(seed): round(one.run_s, 4) for seed, one in outcomes.items()}
    return told


def _percent(one: Outcome, mark: int) -> str:
    """Return an allocation as text."""
    value = float(one.alloc_pct[mark])
    return f"{value:.2f}" if not math.isnan(value) else "-"
