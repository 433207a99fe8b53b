"""`fenglin simulate gavel`: training jobs on unlike accelerators, leased round by round."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fenglin.cli.output import Column, Output, write_data, write_fields, write_table
from fenglin.cli.session import OutputOption

if TYPE_CHECKING:
    from fenglin.simulator.gavel.run import Outcome, Setting

POLICIES = ("fenglin", "fenglin-alone", "fifo", "fifo-perf", "las", "las-perf")
_COLUMNS = (
    Column("SEED"),
    Column("AVERAGE JCT H", right=True),
    Column("ROUNDS", right=True),
    Column("LEASES", right=True),
    Column("RENEWED", right=True),
    Column("SHARED", right=True),
    Column("SECONDS", right=True),
)


def gavel(  # noqa: PLR0913, PLR0917 - options are arguments
    data: Annotated[
        Path, typer.Option("--data", metavar="DIR", help="Folder of throughputs and jobs.")
    ],
    rate: Annotated[float, typer.Option("--rate", metavar="R", help="Jobs that arrive per hour.")],
    policy: Annotated[
        str, typer.Option("--policy", metavar="NAME", help=f"One of {', '.join(POLICIES)}.")
    ] = "fenglin",
    seeds: Annotated[
        str, typer.Option("--seeds", "--seed", metavar="SEEDS", help="Such as 0,1,2 or 0-2.")
    ] = "0,1,2",
    multi: Annotated[
        bool, typer.Option("--multi", help="Jobs of 1, 2, 4 and 8 workers; else of one.")
    ] = False,
    cluster: Annotated[
        str, typer.Option("--cluster", metavar="TYPE:N,…", help="Up to three types of workers.")
    ] = "v100:36,p100:36,k80:36",
    round_s: Annotated[
        float, typer.Option("--round", metavar="SECONDS", help="Length of a lease.")
    ] = 360.0,
    replan_s: Annotated[
        float | None,
        typer.Option(
            "--replan", metavar="SECONDS", help="Least time between plans; else the policy's own."
        ),
    ] = None,
    jobs: Annotated[
        str, typer.Option("--jobs", metavar="FIRST-LAST", help="Jobs that are measured.")
    ] = "4000-4999",
    output: OutputOption = Output.TABLE,
) -> None:
    """Lease workers to training jobs in rounds, and tell how long the jobs take.

    The figure is the mean time from arrival to end, in hours, over the measured jobs.
    """
    from fenglin.simulator.gavel import run  # noqa: PLC0415 - slow
    from fenglin.simulator.gavel.read import published, workload_of  # noqa: PLC0415 - slow
    from fenglin.simulator.seeds import read_seeds  # noqa: PLC0415 - slow

    types, workers = run.cluster_of(cluster)
    first, last = run.window_of(jobs)
    setting = run.Setting(
        policy=run.policy_of(policy),
        types=types,
        workers=workers,
        jobs_per_hour=rate,
        multi=multi,
        round_s=round_s,
        replan_s=replan_s,
        first=first,
        last=last,
    )
    outcomes = run.run_seeds(data, setting, read_seeds(seeds))
    known = published(data, workload_of(multi), rate)
    told = answer(policy, setting, outcomes) | {
        "published_avg_jct_h": known.get(run.GAVEL_NAMES.get(policy, "")),
        "best_published_avg_jct_h": min(known.values(), default=None),
    }
    if output is not Output.TABLE:
        write_data(told, output)
        return
    _show(told, outcomes)


def answer(policy: str, setting: Setting, outcomes: dict[int, Outcome]) -> dict[str, Any]:
    """Return the figures by seed, their mean, and the speed of the simulation."""
    every = list(outcomes.values())
    leases, seconds = sum(one.leases for one in every), sum(one.seconds for one in every)
    mean_h = sum(one.avg_jct_h for one in every) / len(every)
    return {
        "workload": "multi" if setting.multi else "single",
        "jobs_per_hour": setting.jobs_per_hour,
        "policy": policy,
        "cluster": dict(zip(setting.types, setting.workers, strict=True)),
        "round_s": setting.round_s,
        "replan_s": setting.plan_every_s,
        "avg_jct_h": {str(seed): round(one.avg_jct_h, 4) for seed, one in outcomes.items()},
        "avg_jct_h_mean": round(mean_h, 4),
        "jobs": every[0].jobs,
        "rounds": sum(one.rounds for one in every),
        "rounds_after_last_arrival": sum(one.rounds_after for one in every),
        "leases": leases,
        "leases_renewed": sum(one.renewed for one in every),
        "leases_shared": sum(one.shared for one in every),
        "leases_per_s": round(leases / seconds) if seconds else None,
        "seconds": round(seconds, 4),
    }


def _show(told: dict[str, Any], outcomes: dict[int, Outcome]) -> None:
    """Print the figures for people."""
    write_table(
        _COLUMNS,
        [
            (
                str(seed),
                f"{one.avg_jct_h:.2f}",
                str(one.rounds),
                str(one.leases),
                f"{one.renewed / one.leases:.0%}",
                f"{one.shared / one.leases:.0%}",
                f"{one.seconds:.2f}",
            )
            for seed, one in outcomes.items()
        ],
    )
    rows = [("mean", f"{told['avg_jct_h_mean']:.2f} h")]
    for name, key in (("published", "published_avg_jct_h"), ("best", "best_published_avg_jct_h")):
        if told[key] is not None:
            rows.append((f"{name} published" if name == "best" else name, f"{told[key]:.2f} h"))
    rows.append(("leases per second", f"{told['leases_per_s']:,}"))
    if told["rounds_after_last_arrival"]:
        rows.append(("rounds after the last arrival", str(told["rounds_after_last_arrival"])))
    write_fields(rows)
