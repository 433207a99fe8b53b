"""`fenglin sinfo`: nodes and queues."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fenglin.cli.output import write
from fenglin.cli.session import hub_client
from fenglin.cli.slurm.words import Habit, app_of, options

if TYPE_CHECKING:
    from fenglin.cli.slurm.format import Layout
    from fenglin.cli.slurm.nodes import Group
    from fenglin.cli.slurm.words import Given

OPTIONS = """
partition p = only of these queues
nodes n = only these nodes
states t = only in these states: idle, mix, alloc, down, drain, drng, or their long names
clusters M = only of these sites; all for all
Node N - a line for each node and queue
summarize s - a line for each queue and site
long l - with the long names of states
noheader h - leave the heads out
format o = columns, such as "%9P %.6D %.6t %N"
Format O = columns, such as nodelist:10,statelong
json - - the nodes as JSON
all a -
exact e -
hide - -
local - -
noconvert - -
verbose v -
"""


def run(given: Given) -> int:
    """Show the nodes that are meant."""
    from fenglin.cli.slurm import nodes  # noqa: PLC0415 - help needs no client
    from fenglin.cli.slurm.ask import refuse_operands  # noqa: PLC0415 - the same

    refuse_operands(given)
    layout = _layout(given)
    states = nodes.parse_node_states(given.items("states"))
    sites = [] if given.values.get("clusters") == "all" else given.items("clusters")
    with hub_client(given.values.get("hub", "")) as client:
        found = [
            row
            for row in nodes.groups(client)
            if (not states or row.state in states)
            and (not sites or row.site.name in sites)
            and _wanted(given, "partition", row.queue)
            and _wanted(given, "nodes", row.first.name)
        ]
    if "json" in given.values:
        _write_json(found)
        return 0
    rows = found if "Node" in given.values else nodes.merged(found, layout)
    header = "noheader" not in given.values
    write("".join(f"{line}\n" for line in layout.lines(rows, header=header)))
    return 0


def _wanted(given: Given, option: str, name: str) -> bool:
    """Return whether an option is absent or names this."""
    return not given.items(option) or name in given.items(option)


def _layout(given: Given) -> Layout:
    """Return the columns that are asked for; without a wish, Slurm's own and the cluster's."""
    from fenglin.cli.slurm.format import (  # noqa: PLC0415 - help needs none
        by_name,
        by_percent,
        with_last,
    )
    from fenglin.cli.slurm.nodes import FIELDS  # noqa: PLC0415 - the same

    if "Format" in given.values:
        return by_name(given.values["Format"], FIELDS)
    if "format" in given.values:
        return by_percent(given.values["format"], FIELDS)
    state = "%.11T" if "long" in given.values else "%.6t"
    if "summarize" in given.values:
        text = "%9P %.5a %.10l %.16F %N"
    elif "Node" in given.values:
        text = f"%10N %.6D %.9P {state.replace('.', '')}"
    else:
        text = f"%9P %.5a %.10l %.6D {state} %N"
    return with_last(by_percent(text, FIELDS), "cluster", FIELDS)


def _write_json(rows: list[Group]) -> None:
    """Write each node once, in the shape of Slurm 22.05, with the fields that mean something."""
    from fenglin.cli.output import Output, write_data  # noqa: PLC0415 - only here
    from fenglin.cli.slurm.data import head  # noqa: PLC0415 - the same
    from fenglin.cli.slurm.nodes import STATES  # noqa: PLC0415 - the same

    found: dict[tuple[str, str], dict[str, object]] = {}
    queues: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        node = row.first
        queues.setdefault((node.site, node.name), []).append(row.queue)
        used, idle, _, whole = row.cores
        found[node.site, node.name] = {
            "name": node.name,
            "cluster": node.site,
            "partitions": queues[node.site, node.name],
            "state": STATES[row.state],
            "reason": row.site.state_reason,
            "features": node.flavor,
            "cpus": whole,
            "alloc_cpus": used,
            "idle_cpus": idle,
            "real_memory": node.memory_bytes // 2**20,
            "alloc_memory": node.memory_used_bytes // 2**20,
            "temporary_disk": node.disk_bytes // 2**20,
        }
    write_data({**head(), "errors": [], "nodes": list(found.values())}, Output.JSON)


app = app_of(Habit("sinfo", "Show nodes and queues, as Slurm's sinfo does.", options(OPTIONS), run))
