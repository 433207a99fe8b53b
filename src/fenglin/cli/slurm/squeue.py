"""`fenglin squeue`: what waits and runs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from fenglin.cli.humane import now_ms
from fenglin.cli.output import Output, write, write_data
from fenglin.cli.session import hub_client
from fenglin.cli.slurm.states import LIVE
from fenglin.cli.slurm.words import Habit, app_of, options
from fenglin.errors import InputError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fenglin.cli.slurm.format import Layout
    from fenglin.cli.slurm.rows import Row
    from fenglin.cli.slurm.words import Given

OPTIONS = """
jobs j = only these jobs: 12, 12_3, 12_[0-4] or j12
name n = only jobs of these names
partition p = only of these queues
account A = only of these accounts
user u = only of these users, or of accounts where nothing tells the user
me - - only your own
states t = only in these states, by name or code; all for all
clusters M = only on these sites, a table for each; all for all
array r - a line for each task
noheader h - leave the heads out
long l - with the time limit
start - - when what waits is expected to end, and why it waits
format o = columns, such as "%.18i %t %R"
Format O = columns, such as jobid:10,state,cluster
sort S = order by letters of --format, such as P,-p,i
json - - as JSON
yaml - - as YAML
all a -
hide - -
local - -
federation - -
noconvert - -
array-unique - -
verbose v -
"""
_DEFAULT = "%.18i %.9P %.8j %.8u %.2t %.10M %.6D %R"
_LONG = "%.18i %.9P %.8j %.8u %.8T %.10M %.9l %.6D %R"
_START = "%.18i %.9P %.8j %.8u %.2t %.19e %.6D %R"


def run(given: Given) -> int:
    """Show the jobs that are meant."""
    from fenglin.cli.slurm import ask, order  # noqa: PLC0415 - help needs no client
    from fenglin.cli.slurm.jobfields import FIELDS  # noqa: PLC0415 - the same

    ask.refuse_operands(given)
    wanted = ask.ask(given, frozenset({"PENDING"}) if "start" in given.values else LIVE)
    layout = _layout(given)
    output = next((one for one in (Output.JSON, Output.YAML) if one in given.values), None)
    with hub_client(given.values.get("hub", "")) as client:
        deep = layout.deep or output is not None
        try:
            rows = ask.rows(client, wanted, now_ms(), deep=deep)
        except NotFoundError as error:
            raise InputError("slurm_load_jobs error: " + error.what) from error
    if "array" in given.values:
        rows = [one for row in rows for one in row.single()]
    rows = order.ordered(rows, given.values.get("sort", "P,t,-p"), FIELDS)
    if output is not None:
        from fenglin.cli.slurm.data import jobs_data  # noqa: PLC0415 - only here

        write_data(jobs_data(rows), output)
        return 0
    header = "noheader" not in given.values
    if "clusters" not in given.values:
        write("".join(f"{line}\n" for line in layout.lines(rows, header=header)))
        return 0
    for site, some in _by_site(rows).items():
        write(f"CLUSTER: {site}\n" if header else "")
        write("".join(f"{line}\n" for line in layout.lines(some, header=header)))
    return 0


def _layout(given: Given) -> Layout:
    """Return the columns that are asked for; without a wish, Slurm's own and the cluster's."""
    from fenglin.cli.slurm.format import (  # noqa: PLC0415 - help needs none
        by_name,
        by_percent,
        with_last,
    )
    from fenglin.cli.slurm.jobfields import FIELDS  # noqa: PLC0415 - the same

    values = given.values
    if "Format" in values:
        return by_name(values["Format"], FIELDS)
    if "format" in values or "SQUEUE_FORMAT" in os.environ:
        return by_percent(values.get("format") or os.environ.get("SQUEUE_FORMAT", ""), FIELDS)
    text = _LONG if "long" in values else _START if "start" in values else _DEFAULT
    layout = by_percent(text, FIELDS)
    return layout if "clusters" in values else with_last(layout, "cluster", FIELDS)


def _by_site(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Return the rows of each site, in the order of the sites' names."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(",".join(row.sites) or "N/A", []).append(row)
    return dict(sorted(found.items()))


app = app_of(Habit("squeue", "Show jobs, as Slurm's squeue does.", options(OPTIONS), run))
