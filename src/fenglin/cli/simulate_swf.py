"""`fenglin simulate swf`: a batch log under a backfilling policy."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from fenglin.cli.options import one_of
from fenglin.cli.output import Output, write_data, write_fields
from fenglin.cli.session import OutputOption

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fenglin.simulator.trace import Findings

POLICIES = ("fcfs", "easy", "easy-sjbf", "conservative", "balanced")
RUNTIMES = ("actual", "requested")


def swf(  # noqa: PLR0913, PLR0917 - one parameter for each option
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="SWF (.gz too), or columns in Parquet.")
    ],
    procs: Annotated[
        int,
        typer.Option(
            "--procs", metavar="N", min=0, help="Processors; 0: as the file's header says."
        ),
    ] = 0,
    policy: Annotated[
        str, typer.Option("--policy", metavar="NAME", help=f"One of {', '.join(POLICIES)}.")
    ] = "easy",
    runtime: Annotated[
        str,
        typer.Option(
            "--runtime", metavar="KIND", help="What the policy believes: actual or requested."
        ),
    ] = "requested",
    patience: Annotated[
        int,
        typer.Option(
            "--patience",
            metavar="PERCENT",
            min=0,
            max=1_000,
            help="With balanced: how far long jobs are put back, in percent of the usual.",
        ),
    ] = 100,
    waits: Annotated[
        Path | None, typer.Option("--waits", metavar="CSV", help="Write job_id,wait_s here.")
    ] = None,
    nodes: Annotated[
        Path | None,
        typer.Option("--nodes", metavar="CSV", help="Assign nodes; write job_id,first,count here."),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option("--strict/--lenient", help="Refuse a faulty file, or skip what is faulty."),
    ] = False,
    seed: Annotated[
        int, typer.Option("--seed", help="Takes no effect: nothing here is left to chance.")
    ] = 0,
    output: OutputOption = Output.TABLE,
) -> None:
    """Replay a batch log, and tell how long its jobs wait.

    What is faulty in FILE is told on standard error, with its lines, and counted in the answer.
    """
    del seed
    replay = Replay(file, procs, policy, runtime, patience, strict)
    answer = _replay(replay, waits, nodes)
    if output is Output.TABLE:
        write_fields(_shown(answer))
    else:
        write_data(answer, output)


class Replay(NamedTuple):
    """What is to be replayed, as the user said it."""

    file: Path
    procs: int
    policy: str
    runtime: str
    patience: int
    strict: bool


def _replay(asked: Replay, waits: Path | None, nodes: Path | None) -> dict[str, Any]:
    """Replay, write the files, and return the answer."""
    from fenglin.simulator import swf_run  # noqa: PLC0415 - NumPy is slow to load
    from fenglin.simulator.swf import read_trace  # noqa: PLC0415 - see above
    from fenglin.simulator.trace import usable  # noqa: PLC0415 - see above

    policy = swf_run.BatchPolicy(one_of(asked.policy, POLICIES, "--policy"))
    runtime = swf_run.Runtime(one_of(asked.runtime, RUNTIMES, "--runtime"))
    believes = runtime is swf_run.Runtime.REQUESTED
    read = read_trace(asked.file)
    procs = asked.procs or read.machine_procs or _no_procs(asked.file)
    trace = usable(read, procs, needs_request=believes)
    _tell(trace.findings, strict=asked.strict, left=len(trace))
    past = swf_run.past_request(trace) if believes else 0
    _tell_past(past)
    schedule = swf_run.simulate(trace, procs, policy, runtime, patience_percent=asked.patience)
    fares = swf_run.fares(trace, schedule.start_s)
    answer: dict[str, Any] = {
        "jobs": len(trace),
        "mean_wait_s": fares.mean_wait_s,
        "mean_bounded_slowdown": fares.mean_bounded_slowdown,
        "max_bounded_slowdown": fares.max_bounded_slowdown,
        "worst_wait_s": fares.worst_wait_s,
        "max_wait_s": int(fares.wait_s.max()),
        "jobs_per_s": len(trace) / schedule.seconds,
        "policy": asked.policy,
        "runtime": asked.runtime,
        "procs": procs,
        "seconds": schedule.seconds,
        "compiled": schedule.compiled,
        "skipped": trace.findings.skipped,
        "past_request": past,
        "problems": [vars(one) for one in trace.findings.found.values()],
    }
    if nodes is not None:
        given = swf_run.map_nodes(trace, procs, schedule.start_s)
        answer["node_map_seconds"] = given.seconds
        answer["jobs_per_s_with_nodes"] = len(trace) / (schedule.seconds + given.seconds)
        ranges = (trace.job_id[given.job].tolist(), given.first.tolist(), given.length.tolist())
        _write_csv(nodes, ("job_id", "first", "count"), zip(*ranges, strict=True))
    if waits is not None:
        pairs = zip(trace.job_id.tolist(), fares.wait_s.tolist(), strict=True)
        _write_csv(waits, ("job_id", "wait_s"), pairs)
    return answer


def _no_procs(file: Path) -> int:
    """Say that the size of the machine is unknown."""
    from fenglin.errors import InputError  # noqa: PLC0415 - only for a mistake

    raise InputError(
        "the file does not say how many processors the machine has",
        where=str(file),
        hint="give --procs N",
    )


def _tell(findings: Findings, *, strict: bool, left: int) -> None:
    """Tell what is faulty.

    Raises:
        InputError: something is, and the user wants none of it; or nothing is left.
    """
    from fenglin.cli.failure import show_warning  # noqa: PLC0415 - rarely needed
    from fenglin.errors import InputError  # noqa: PLC0415 - rarely needed

    for sentence in findings.sentences():
        show_warning(sentence)
    if strict and findings.count:
        raise InputError(
            f"{findings.count} faults found; nothing was simulated",
            where=findings.source,
            hint="--lenient does what the warnings say and goes on",
        )
    if not left:
        raise InputError("no job is left to simulate", where=findings.source)


def _tell_past(count: int) -> None:
    """Tell of jobs that outlive what was asked for."""
    if count:
        from fenglin.cli.failure import show_warning  # noqa: PLC0415 - rarely needed

        show_warning(
            f"{count} jobs run past their requested time; as in the published schedules"
            " they go on and hold nothing from then on"
        )


def _write_csv(path: Path, head: tuple[str, ...], rows: Iterable[tuple[int, ...]]) -> None:
    """Write a CSV file."""
    with path.open("w", encoding="ascii", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(head)
        lines.writerows(rows)


def _shown(answer: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the figures as a person reads them; what is wrong stands on standard error."""
    for name, value in answer.items():
        if name == "problems":
            continue
        if isinstance(value, float):
            yield name, f"{value:,.3f}" if value < 1_000 else f"{value:,.1f}"
        else:
            yield name, str(value)
