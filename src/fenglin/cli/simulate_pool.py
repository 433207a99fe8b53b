"""`fenglin simulate pool`: a whole pool under the hub's own planner, in virtual time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fenglin.cli.options import one_of, pairs
from fenglin.cli.output import Output, write_data, write_fields
from fenglin.cli.session import OutputOption

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fenglin.simulator.pool.drive import Request
    from fenglin.simulator.reports.series import Series

SourceArgument = Annotated[
    str, typer.Argument(metavar="SOURCE", help="A trace, or synthetic:NAME for a generator.")
]
PoolOption = Annotated[
    Path,
    typer.Option(
        "--pool", metavar="FILE", help="fenglin.toml, the same as YAML, or a saved cycle."
    ),
]
KindOption = Annotated[
    str, typer.Option("--kind", metavar="NAME", help="Format of the trace; auto recognises it.")
]
JobsOption = Annotated[
    int,
    typer.Option(
        "--jobs", metavar="N", min=0, help="First N jobs; 0: all of a trace, 1,000 generated ones."
    ),
]
LoadOption = Annotated[
    float, typer.Option("--load", metavar="X", min=0, help="Of a generator; 0: its own.")
]
SettingsOption = Annotated[
    list[str],
    typer.Option("--set", metavar="NAME=VALUE", help="An option of the format or generator."),
]
CycleOption = Annotated[
    str,
    typer.Option("--cycle", metavar="TIME", help="Plan at multiples of this; 0: at every event."),
]
UntilOption = Annotated[
    str, typer.Option("--until", metavar="TIME", help="Stop then; 0: when all is done.")
]
StrictOption = Annotated[
    bool, typer.Option("--strict/--lenient", help="Refuse a faulty trace, or skip what is faulty.")
]
ReportOption = Annotated[
    Path | None,
    typer.Option("--report", metavar="HTML", help="Write a page with plots and figures here."),
]


def pool(  # noqa: PLR0913, PLR0917 - one parameter for each option
    source: SourceArgument,
    pool: PoolOption,
    policy: Annotated[
        str,
        typer.Option("--policy", metavar="NAME|FILE", help="Default: as the pool's file says."),
    ] = "",
    kind: KindOption = "auto",
    jobs: JobsOption = 0,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Of a generator.")] = 0,
    load: LoadOption = 0.0,
    settings: SettingsOption = [],  # noqa: B006 - Typer never changes it
    cycle: CycleOption = "0s",
    until: UntilOption = "0s",
    strict: StrictOption = False,
    check: Annotated[bool, typer.Option("--check", help="Check every plan's lawfulness.")] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Write jobs, runs, samples and figures here."),
    ] = None,
    form: Annotated[
        str, typer.Option("--form", metavar="NAME", help="Of what is written: parquet or jsonl.")
    ] = "parquet",
    report: ReportOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Run a trace or generated jobs through a pool, and tell how they fare."""
    from fenglin.cli.failure import show_warning  # noqa: PLC0415 - rarely needed
    from fenglin.quantities.durations import parse_duration_ms  # noqa: PLC0415 - quick help
    from fenglin.simulator.pool.drive import Request, simulate_pool  # noqa: PLC0415 - slow to load
    from fenglin.simulator.reports.rows import FORMS, RowFiles  # noqa: PLC0415 - slow to load
    from fenglin.simulator.sources import Source  # noqa: PLC0415 - slow to load

    request = Request(
        pool=str(pool),
        source=Source(
            source, kind, jobs, seed, load=load, options=pairs(settings, "--set"), strict=strict
        ),
        policy=policy,
        cycle_ms=parse_duration_ms(cycle),
        until_ms=parse_duration_ms(until),
        check=check,
    )
    expect_page(report)
    files = RowFiles(out, one_of(form, FORMS, "--form")) if out is not None else None
    series = _series(request) if report is not None else None
    answer = simulate_pool(request, *(sink for sink in (files, series) if sink is not None))
    if files is not None:
        files.figures(answer.figures)
    if report is not None and series is not None:
        from fenglin.simulator.reports.report import run_page  # noqa: PLC0415 - slow to load

        write_page(report, run_page(request, answer, series))
    for sentence in answer.findings:
        show_warning(sentence)
    if output is Output.TABLE:
        write_fields(shown(answer.figures))
    else:
        write_data(answer.figures, output)


def _series(request: Request) -> Series:
    """Return the sink of what the page's plots need."""
    from fenglin.simulator.pool.poolfile import read_pool  # noqa: PLC0415 - slow to load
    from fenglin.simulator.reports.series import Series  # noqa: PLC0415 - see above

    return Series(read_pool(Path(request.pool)).sites)


def expect_page(path: Path | None) -> None:
    """Say now, before a long run, what would keep a page from being written.

    Raises:
        UnavailableError: Matplotlib is not installed.
        InputError: there is no such folder.
    """
    if path is None:
        return
    from fenglin.errors import InputError  # noqa: PLC0415 - rarely needed
    from fenglin.simulator.reports.canvas import need_matplotlib  # noqa: PLC0415 - see above

    need_matplotlib()
    if path.is_dir() or not path.parent.is_dir():
        raise InputError(f"{path} cannot be a file", where="--report", hint="make its folder first")


def write_page(path: Path, data: bytes) -> None:
    """Write a page, whole or not at all."""
    from fenglin.cli.files import replacing  # noqa: PLC0415 - rarely needed

    with replacing(path) as file:
        file.write(data)


def shown(figures: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield figures as a person reads them, one line each."""
    for name, value in figures.items():
        if isinstance(value, dict):
            yield name, ", ".join(f"{key} {_number(one)}" for key, one in value.items())
        else:
            yield name, _number(value)


def _number(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.3f}" if abs(value) < 1_000 else f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
