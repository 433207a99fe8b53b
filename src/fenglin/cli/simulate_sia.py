"""`fenglin simulate sia`: training jobs that change type and number of cards, round by round."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fenglin.cli.output import Column, Output, write_data, write_fields, write_table
from fenglin.cli.session import OutputOption

if TYPE_CHECKING:
    from fenglin.simulator.sia.run import Outcome

POLICIES = ("fenglin", "fenglin-alone", "sia", "fifo")
_COLUMNS = (
    Column("SEED"),
    Column("AVERAGE JCT H", right=True),
    Column("P99 JCT H", right=True),
    Column("MAKESPAN H", right=True),
    Column("RESTARTS", right=True),
    Column("ROUNDS", right=True),
    Column("SECONDS", right=True),
)


def sia(
    data: Annotated[
        Path, typer.Option("--data", metavar="DIR", help="Folder of measured times and jobs.")
    ],
    workload: Annotated[
        str, typer.Option("--workload", metavar="NAME", help="Such as philly or helios.")
    ] = "philly",
    policy: Annotated[
        str, typer.Option("--policy", metavar="NAME", help=f"One of {', '.join(POLICIES)}.")
    ] = "fenglin",
    seeds: Annotated[
        str,
        typer.Option("--seeds", "--seed", metavar="SEEDS", help="Streams, such as 1,2 or 1-8."),
    ] = "1-8",
    round_s: Annotated[
        float, typer.Option("--round", metavar="SECONDS", min=1.0, help="Length of a round.")
    ] = 60.0,
    output: OutputOption = Output.TABLE,
) -> None:
    """Give training jobs cards of unlike types in rounds, and tell how long the jobs take.

    The cluster is Sia's: 6 nodes of 4 T4, 2 of 8 A100 and 3 of 8 RTX 2080 Ti.
    """
    from fenglin.simulator.seeds import read_seeds  # noqa: PLC0415 - slow
    from fenglin.simulator.sia.run import run_seeds  # noqa: PLC0415 - slow

    outcomes = run_seeds(data, workload, read_seeds(seeds), policy, round_s)
    told = answer(workload, policy, round_s, outcomes)
    if output is not Output.TABLE:
        write_data(told, output)
        return
    _show(told, outcomes)


def answer(
    workload: str, policy: str, round_s: float, outcomes: dict[int, Outcome]
) -> dict[str, Any]:
    """Return the figures by seed, and their means."""
    every = list(outcomes.values())

    def by_seed(name: str) -> dict[str, float]:
        return {str(seed): round(getattr(one, name), 4) for seed, one in outcomes.items()}

    def mean(name: str) -> float:
        return round(sum(float(getattr(one, name)) for one in every) / len(every), 4)

    return {
        "workload": workload,
        "policy": policy,
        "round_s": round_s,
        "avg_jct_h": by_seed("avg_jct_h"),
        "avg_jct_h_mean": mean("avg_jct_h"),
        "p99_jct_h_mean": mean("p99_jct_h"),
        "makespan_h": by_seed("makespan_h"),
        "makespan_h_mean": mean("makespan_h"),
        "jobs": sum(one.jobs for one in every),
        "rounds": sum(one.rounds for one in every),
        "restarts_per_job": mean("restarts"),
        "seconds": round(sum(one.seconds for one in every), 4),
    }


def _show(told: dict[str, Any], outcomes: dict[int, Outcome]) -> None:
    """Print the figures for people."""
    write_table(
        _COLUMNS,
        [
            (
                str(seed),
                f"{one.avg_jct_h:.3f}",
                f"{one.p99_jct_h:.2f}",
                f"{one.makespan_h:.2f}",
                f"{one.restarts:.1f}",
                str(one.rounds),
                f"{one.seconds:.2f}",
            )
            for seed, one in outcomes.items()
        ],
    )
    write_fields(
        [
            ("mean", f"{told['avg_jct_h_mean']:.3f} h"),
            ("mean makespan", f"{told['makespan_h_mean']:.2f} h"),
        ]
    )
