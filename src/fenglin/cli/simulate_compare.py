"""`fenglin simulate compare`: policies beside each other over many seeds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fenglin.cli.options import one_of, pairs
from fenglin.cli.output import Column, Output, write, write_data, write_table
from fenglin.cli.session import OutputOption
from fenglin.cli.simulate_pool import (
    CycleOption,
    JobsOption,
    KindOption,
    LoadOption,
    PoolOption,
    ReportOption,
    SettingsOption,
    SourceArgument,
    StrictOption,
    UntilOption,
    expect_page,
    write_page,
)
from fenglin.simulator.seeds import read_seeds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fenglin.simulator.pool.compare import Estimate, Standing
    from fenglin.simulator.runners import Runner

MICRO = 1_000_000


def compare(  # noqa: PLR0913, PLR0917 - one parameter for each option
    source: SourceArgument,
    pool: PoolOption,
    policies: Annotated[
        list[str],
        typer.Option(
            "--policy", metavar="NAME|FILE", help="May be repeated; the first is the base."
        ),
    ] = ["balanced", "fair", "easy", "fcfs"],  # noqa: B006 - Typer never changes it
    seeds: Annotated[
        str, typer.Option("--seeds", metavar="SEEDS", help="Such as 1-10 or 1,4,9.")
    ] = "1-5",
    metrics: Annotated[
        list[str], typer.Option("--metric", metavar="NAME", help="Only these; may be repeated.")
    ] = [],  # noqa: B006 - see above
    shake: Annotated[
        str,
        typer.Option("--shake", metavar="TIME", help="Moves a trace's arrivals by up to this."),
    ] = "1m",
    kind: KindOption = "auto",
    jobs: JobsOption = 0,
    load: LoadOption = 0.0,
    settings: SettingsOption = [],  # noqa: B006 - see above
    cycle: CycleOption = "0s",
    until: UntilOption = "0s",
    strict: StrictOption = False,
    processes: Annotated[
        int, typer.Option("--processes", metavar="N", min=0, help="At once; 0: all processors.")
    ] = 0,
    ray: Annotated[
        str, typer.Option("--ray", metavar="ADDRESS", help="Run on this Ray cluster instead.")
    ] = "",
    report: ReportOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Run policies on the same workloads, and tell where they differ beyond chance.

    ± is half the width of the 95 % confidence interval. Differences are paired by seed.
    """
    from fenglin.quantities.durations import parse_duration_ms  # noqa: PLC0415 - quick help
    from fenglin.simulator.pool import compare as room  # noqa: PLC0415 - slow to load
    from fenglin.simulator.pool.drive import Request  # noqa: PLC0415 - slow to load
    from fenglin.simulator.sources import Source  # noqa: PLC0415 - slow to load

    request = Request(
        pool=str(pool),
        source=Source(
            source,
            kind,
            jobs,
            shake_ms=parse_duration_ms(shake),
            load=load,
            options=pairs(settings, "--set"),
            strict=strict,
        ),
        cycle_ms=parse_duration_ms(cycle),
        until_ms=parse_duration_ms(until),
    )
    wanted = [one_of(name, room.METRICS, "--metric") for name in metrics] or list(room.METRICS)
    expect_page(report)
    standings = room.compare(request, policies, read_seeds(seeds), _runner(ray, processes))
    findings = _tell(standings)
    if report is not None:
        from fenglin.simulator.reports.report import comparison_page  # noqa: PLC0415 - see above

        write_page(report, comparison_page(request, standings, wanted, seeds, findings))
    if output is not Output.TABLE:
        write_data([_document(standing, wanted) for standing in standings], output)
    else:
        _show(standings, wanted)


def _runner(ray: str, processes: int) -> Runner:
    """Return where the runs take place."""
    from fenglin.simulator.runners import Processes, Ray  # noqa: PLC0415 - slow to load

    return Ray(ray) if ray else Processes(processes)


def _show(standings: Sequence[Standing], metrics: Sequence[str]) -> None:
    """Write the table of means, and of differences in brackets."""
    heads = (Column("METRIC"), *(Column(one.policy.upper(), right=True) for one in standings))
    write_table(heads, _lines(standings, metrics))
    write(f"means over {len(standings[0].runs)} seeds; in brackets the difference to the first\n")


def _tell(standings: Sequence[Standing]) -> list[str]:
    """Tell what is faulty in the trace, each fault once; return the sentences."""
    from fenglin.cli.failure import show_warning  # noqa: PLC0415 - rarely needed

    findings = {
        sentence: None for one in standings for run in one.runs for sentence in run["findings"]
    }
    for sentence in findings:
        show_warning(sentence)
    return list(findings)


def _lines(standings: Sequence[Standing], metrics: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield a row for each metric."""
    for name in metrics:
        scale = MICRO if name.endswith("_micro") else 1
        cells = [name.removesuffix("_micro")]
        for one in standings:
            text = _text(one.figures[name], scale)
            if one.against:
                difference = one.against[name]
                sure = abs(difference.mean) > difference.half
                mark = "" if math.isnan(difference.half) else "*" if sure else " "
                text += f" ({_text(difference, scale, sign=True)}){mark}"
            cells.append(text)
        yield cells


def _text(one: Estimate, scale: int, *, sign: bool = False) -> str:
    """Return `12.3 ± 0.4`."""
    value, half = one.mean / scale, one.half / scale
    plus = "+" if sign else ""
    mean = f"{value:{plus},.2f}" if abs(value) < 1_000 else f"{value:{plus},.0f}"
    if math.isnan(half):
        return mean
    return f"{mean} ± {half:,.2f}" if half < 1_000 else f"{mean} ± {half:,.0f}"


def _document(standing: Standing, metrics: Sequence[str]) -> dict[str, Any]:
    """Return a policy's standing as data; an interval that is not known is null."""
    return {
        "policy": standing.policy,
        "seeds": [run["seed"] for run in standing.runs],
        "figures": {name: _pair(standing.figures[name]) for name in metrics},
        "against_first": {
            name: _pair(one) for name, one in standing.against.items() if name in metrics
        },
        "runs": standing.runs,
    }


def _pair(one: Estimate) -> dict[str, float | None]:
    return {"mean": one.mean, "half_width": None if math.isnan(one.half) else one.half}
