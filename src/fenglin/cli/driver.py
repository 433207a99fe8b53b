"""`fenglin driver`: which kinds of sites this installation reaches, and one's own; asks no hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fenglin.cli.output import Column, Output, write_data, write_fields, write_line, write_table
from fenglin.cli.session import NoHeaderOption, OutputOption, command, group

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fenglin.cli.driver_check import Finding

app = group("List, check and begin drivers.")


@command(app, "list")
def list_drivers(output: OutputOption = Output.TABLE, no_header: NoHeaderOption = False) -> None:
    """List the installed drivers and what each can do."""
    from fenglin.errors import InputError  # noqa: PLC0415 - slow; help needs none
    from fenglin.ports.discovery import (  # noqa: PLC0415
        installed_drivers,
        load_factory,
        package_of,
    )

    rows = []
    for kind, points in installed_drivers().items():
        row = {"kind": kind, "package": package_of(points), "placement": "", "purpose": ""}
        capabilities: list[str] = []
        try:
            factory = load_factory(kind)
        except InputError as error:  # one broken package must not hide the others
            row["purpose"] = str(error)
        else:
            row["placement"] = getattr(factory, "placement", "")
            row["purpose"] = getattr(factory, "purpose", "")
            capabilities = sorted(getattr(factory, "capabilities", ()))
        rows.append((row, capabilities))
    if output is not Output.TABLE:
        write_data([{**row, "capabilities": found} for row, found in rows], output)
        return
    columns = [Column(head) for head in ("KIND", "PACKAGE", "PLACEMENT", "PURPOSE", "CAN")]
    cells = [(*row.values(), ", ".join(found)) for row, found in rows]
    write_table(columns, cells, header=not no_header)


@command(app, "check")
def check_driver(
    name: Annotated[str, typer.Argument(metavar="SITE", help="A site of the configuration.")],
    config: Annotated[
        Path, typer.Option("--config", metavar="FILE", help="The hub's configuration.")
    ] = Path("fenglin.toml"),
    output: OutputOption = Output.TABLE,
) -> None:
    """Ask a configured site whether it answers.

    Nothing is started, and no hub is needed. The driver is built as the hub builds it, but with a
    folder and a hub id of its own, so that a hub that runs is not disturbed. Exit code 6 when
    something fails.
    """
    from fenglin.cli.driver_check import check_site  # noqa: PLC0415 - slow; help needs none

    findings = check_site(name, config)
    _show(findings, output)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(6)


@command(app, "new")
def new_driver(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Kind of site, such as `mysite`.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write; empty.")],
) -> None:
    """Write the package of a new driver.

    It has code that runs as it is, an entry point, the conformance test and a docs page.
    """
    from fenglin.testing.scaffold import scaffold  # noqa: PLC0415 - slow; help needs none

    for path in scaffold(name, out):
        write_line(str(path))
    write_fields([("next", f"pip install -e '{out}[dev]' && pytest {out}")])


def _show(findings: Sequence[Finding], output: Output) -> None:
    """Print what was found, step by step."""
    if output is not Output.TABLE:
        write_data(findings, output)
        return
    columns = (Column("CHECK"), Column("RESULT"), Column("TOOK", right=True), Column("FOUND"))
    rows = [
        (one.check, "ok" if one.ok else "FAILED", f"{one.took_ms}ms", one.found) for one in findings
    ]
    write_table(columns, rows)
