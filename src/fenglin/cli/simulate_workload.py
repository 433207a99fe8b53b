"""`fenglin simulate workload`: what a trace or a generator holds, before anything is simulated."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fenglin.cli.options import pairs
from fenglin.cli.output import Output, write_data, write_fields
from fenglin.cli.session import OutputOption

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fenglin.simulator.trace import Findings
    from fenglin.simulator.workload import WorkJob

GENERATED_JOBS = 10_000
FORMS = (".jsonl", ".parquet")


def workload(  # noqa: PLR0913, PLR0917 - one parameter for each option
    source: Annotated[
        str,
        typer.Argument(metavar="SOURCE", help="A trace, or synthetic:NAME for a generator."),
    ],
    kind: Annotated[
        str, typer.Option("--kind", metavar="NAME", help="Format; auto recognises it.")
    ] = "auto",
    jobs: Annotated[
        int,
        typer.Option(
            "--jobs",
            metavar="N",
            min=0,
            help=f"First N jobs; 0: all of a trace, {GENERATED_JOBS:,} generated ones.",
        ),
    ] = 0,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Of a generator.")] = 0,
    load: Annotated[
        float,
        typer.Option("--load", metavar="X", min=0, help="Of a generator's capacity; 0: its own."),
    ] = 0.0,
    settings: Annotated[
        list[str],
        typer.Option("--set", metavar="NAME=VALUE", help="An option of the format or generator."),
    ] = [],  # noqa: B006 - Typer never changes it
    strict: Annotated[
        bool,
        typer.Option("--strict/--lenient", help="Refuse a faulty file, or skip what is faulty."),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write the jobs as .jsonl or .parquet."),
    ] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show the statistics of a trace or of a generated workload.

    What is faulty in a trace is told on standard error, with its lines, and counted in the answer.
    """
    from fenglin.simulator.readers.statistics import Tally  # noqa: PLC0415 - NumPy is slow to load
    from fenglin.simulator.sources import Source, open_source  # noqa: PLC0415 - see above

    form = _form(out)
    named = Source(
        source, kind, jobs, seed, load=load, options=pairs(settings, "--set"), strict=strict
    )
    found = open_source(named, GENERATED_JOBS)
    tally = Tally()
    # Asking for the jobs reads the whole source once: from here on all that is wrong is known.
    stream = _counted(found.jobs(), tally)
    _tell(found.findings)
    if out is None:
        for _ in stream:
            pass
    else:
        _write(out, form, stream)
    answer: dict[str, Any] = {
        "source": found.name,
        **tally.result(),
        "skipped": found.findings.skipped,
        "problems": [vars(one) for one in found.findings.found.values()],
    }
    if output is Output.TABLE:
        write_fields(_shown(answer))
    else:
        write_data(answer, output)


def _form(out: Path | None) -> str:
    """Return the form to write, by the end of the name.

    Raises:
        InputError: it is none that is known.
    """
    form = out.suffix if out is not None else ""
    if out is not None and form not in FORMS:
        from fenglin.errors import InputError  # noqa: PLC0415 - only for a mistake

        raise InputError(f"{out.name} ends in none of {', '.join(FORMS)}", where="--out")
    return form


def _counted(jobs: Iterator[WorkJob], tally: Any) -> Iterator[WorkJob]:  # noqa: ANN401 - its type is slow to load
    """Yield jobs, and let each be counted."""
    for job in jobs:
        tally.add(job)
        yield job


def _write(out: Path, form: str, jobs: Iterator[WorkJob]) -> None:
    """Write the jobs, whole or not at all."""
    from fenglin.cli.files import replacing  # noqa: PLC0415 - rarely needed
    from fenglin.simulator.readers.flat import write_flat  # noqa: PLC0415 - see above
    from fenglin.simulator.readers.history import workload_line  # noqa: PLC0415 - see above

    with replacing(out) as file:
        if form == ".parquet":
            write_flat(out, jobs, file)
        else:
            file.writelines(map(workload_line, jobs))


def _tell(findings: Findings) -> None:
    """Tell what is faulty."""
    from fenglin.cli.failure import show_warning  # noqa: PLC0415 - rarely needed

    for sentence in findings.sentences():
        show_warning(sentence)


def _shown(answer: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the figures as a person reads them; what is wrong stands on standard error."""
    for name, value in answer.items():
        if name == "problems":
            continue
        if isinstance(value, dict):
            yield name, ", ".join(f"{key} {_figure(one)}" for key, one in value.items())
        elif isinstance(value, list):
            yield name, " ".join(f"{share:.1%}" for share in value)
        else:
            yield name, _figure(value)


def _figure(value: Any) -> str:  # noqa: ANN401 - a figure of any kind
    """Return a number with as many places as help."""
    if isinstance(value, float):
        return f"{value:,.3f}" if abs(value) < 1_000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
