"""`fenglin sacct`: what became of jobs."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from fenglin.cli.humane import now_ms
from fenglin.cli.output import safe, write
from fenglin.cli.session import hub_client
from fenglin.cli.slurm.format import Field, find
from fenglin.cli.slurm.words import Given, Habit, app_of, options
from fenglin.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fenglin.cli.slurm.rows import Row

OPTIONS = """
jobs j = only these jobs: 12, 12_3, 12_[0-4] or j12
name - = only jobs of these names
partition r = only of these queues
account A = only of these accounts
accounts - =
user u = only of these users, or of accounts where nothing tells the user
uid - =
state s = only in these states, by name or code
clusters M = only on these sites; all for all
starttime S = only what ran or waited after this; today without -j
endtime E = only what was submitted before this
format o = columns, such as JobID,State%20,Elapsed,Cluster
helpformat e - show the columns
noheader n - leave the heads out
parsable p - a bar behind each column
parsable2 P - a bar between columns
delimiter - = in place of the bar
json - - as JSON
allocations X -
allusers a -
allclusters L -
array - -
brief b -
long l -
duplicates D -
truncate T -
units - =
verbose v -
"""
_DEFAULT = "JobID%-12,JobName,Partition,Account,AllocCPUS,State,ExitCode%8,Cluster"
_COLUMN = re.compile(r"([A-Za-z]+)(?:%(-?)(\d{1,4}))?")
_AGO = re.compile(r"now-(\d{1,9})(second|minute|hour|day|week)?s?")
_UNITS_MS = {
    "second": 1_000, "minute": 60_000, "hour": 3_600_000, "day": 86_400_000, "week": 604_800_000,
}  # fmt: skip
_WIDTH = 10
_MOMENTS = {"submit", "start", "end"}


class _Column(NamedTuple):
    """A field, its width, and whether it stands at the left."""

    field: Field
    head: str
    width: int
    left: bool


def run(given: Given) -> int:
    """Show the jobs that are meant."""
    from fenglin.cli.slurm import ask  # noqa: PLC0415 - help needs no client
    from fenglin.cli.slurm.accounting import FIELDS, parts  # noqa: PLC0415 - the same
    from fenglin.cli.slurm.states import SHORT  # noqa: PLC0415 - the same

    ask.refuse_operands(given)
    if "helpformat" in given.values:
        write("".join(f"{field.head}\n" for field in FIELDS))
        return 0
    columns = _columns(given.values.get("format", _DEFAULT), FIELDS)
    names = {"state": "states", "uid": "user", "accounts": "account"}
    values = {names.get(name, name): value for name, value in given.values.items()}
    wanted = ask.ask(Given(values, []), frozenset(SHORT))
    now = now_ms()
    from_ms = 0 if wanted.ids else _midnight_ms(now)
    if "starttime" in values:
        from_ms = _time_ms(values["starttime"], now)
    to_ms = _time_ms(values["endtime"], now) if "endtime" in values else now
    with hub_client(values.get("hub", "")) as client:
        found = ask.rows(client, wanted, now, deep=True)
    rows = [
        one
        for row in found
        if row.job.submitted_ms <= to_ms and (not row.job.ended_ms or row.job.ended_ms >= from_ms)
        for one in parts(row)
    ]
    rows.sort(key=lambda row: (row.number, row.state == "PENDING", next(iter(row.tasks), 0)))
    if "json" in values:
        from fenglin.cli.output import Output, write_data  # noqa: PLC0415 - only here
        from fenglin.cli.slurm.data import jobs_data  # noqa: PLC0415 - the same

        write_data(jobs_data(rows), Output.JSON)
    else:
        write("".join(f"{line}\n" for line in _lines(rows, columns, given)))
    return 0


def _columns(text: str, fields: Sequence[Field]) -> list[_Column]:
    """Return the columns of a format such as `JobID%20,State`."""
    known = {field.name: field for field in fields}
    found = []
    for part in filter(None, text.split(",")):
        match = _COLUMN.fullmatch(part.strip())
        if match is None:
            raise InputError(f"Invalid field requested: {part[:64]!r}", hint="write State%20")
        field = find(match[1], known)
        width = int(match[3]) if match[3] else 19 if field.name in _MOMENTS else _WIDTH
        found.append(_Column(field, field.head, width, match[2] == "-"))
    if not found:
        raise InputError("the format names no field")
    return found


def _lines(rows: Sequence[Row], columns: Sequence[_Column], given: Given) -> list[str]:
    """Return the lines of the table; a text that is cut ends with a plus, as in Slurm."""
    texts = [[safe(column.field.get(row)) for column in columns] for row in rows]
    heads = [column.head for column in columns]
    if {"parsable", "parsable2"} & given.values.keys():
        bar = given.values.get("delimiter", "|")
        end = "" if "parsable2" in given.values else bar
        table = texts if "noheader" in given.values else [heads, *texts]
        return [bar.join(line) + end for line in table]
    if "noheader" not in given.values:
        texts = [heads, ["-" * column.width for column in columns], *texts]
    return [
        " ".join(_fit(text, column) for text, column in zip(line, columns, strict=True)) + " "
        for line in texts
    ]


def _fit(text: str, column: _Column) -> str:
    """Return a text cut and filled to the width of its column."""
    width = column.width
    if len(text) > width:
        return text[: max(0, width - 1)] + "+" * min(1, width)
    return text.ljust(width) if column.left else text.rjust(width)


def _midnight_ms(now: int) -> int:
    """Return when this day began here."""
    today = datetime.fromtimestamp(now / 1_000).astimezone()
    start = today.replace(hour=0, minute=0, second=0, microsecond=0)
    return int(start.timestamp() * 1_000)


def _time_ms(text: str, now: int) -> int:
    """Return the moment of `2027-01-20T12:30`, `now`, `now-2days` and the like."""
    from fenglin.intake.dialects.sbatch.values import later_ms  # noqa: PLC0415 - rarely needed

    match = _AGO.fullmatch(text)
    if match:
        return now - int(match[1]) * _UNITS_MS[match[2] or "second"]
    return later_ms(text, now)[0]


app = app_of(Habit("sacct", "Show past jobs, as Slurm's sacct does.", options(OPTIONS), run))
