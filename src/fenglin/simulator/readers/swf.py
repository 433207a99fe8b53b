"""The Standard Workload Format as a stream: one job a line, 18 numbers, `-1` for unknown.

Feitelson's Parallel Workloads Archive; Chapin et al., JSSPP 1999. Times are seconds from the
log's own zero, memory is KiB per processor. `fenglin.simulator.swf` reads the same format into
columns, for runs that know nothing but processors.

What is taken: submission (field 2), runtime (4), processors asked for, else given (8, 5), time
asked for (9), memory asked for (10), user (12), application (14), queue (15). Lines of a job's
parts (status 2 to 4) are left out, since the job as a whole has a line of its own.

Logs of PBS sites, as MetaCentrum's, have a node request behind the 18 fields (`2:ppn=12`). Where it
stands, memory is bytes on each of its nodes; with `procs_per_node`, the nodes are those it says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

from fenglin.model.job import DEFAULT_QUEUE
from fenglin.simulator.readers.cells import LARGEST, BadCell
from fenglin.simulator.readers.kind import Kind
from fenglin.simulator.readers.lines import numbered_lines
from fenglin.simulator.readers.options import ReadOptions, at_least
from fenglin.simulator.readers.shapes import shape, spread
from fenglin.simulator.trace import Findings
from fenglin.simulator.workload import WorkJob

FIELDS = 18
# By place: number, submission, runtime, processors given and asked for, time and memory asked for,
# status, user, application, queue. Some logs have fractions in the fields between them.
_USED = itemgetter(0, 1, 3, 4, 7, 8, 9, 10, 11, 13, 14)
_KIB = 1_024
# Parts of a node request, as in `2:ppn=12:x86_64+1:ppn=4`.
_NODES = re.compile(r"(\d{1,6})(?::|$)", re.ASCII)
_PPN = re.compile(r":ppn=(\d{1,6})(?::|$)", re.ASCII)
# Of a job that was stopped and went on: "to be continued", and the last part, good or bad.
_PARTS = frozenset({2, 3, 4})


@dataclass(frozen=True, slots=True, kw_only=True)
class SwfOptions(ReadOptions):
    """How the processors of a log become nodes.

    Attributes:
        procs_per_node: Processors of one node: a job takes the fewest nodes that share its
            processors evenly. 0: the machine is one node that holds all processors, as in
            published simulations of such logs.
    """

    procs_per_node: int = 0

    def __post_init__(self) -> None:
        """Refuse a negative size."""
        at_least(self, "procs_per_node", 0)


def drafts(path: Path, options: SwfOptions, findings: Findings) -> Iterator[WorkJob]:
    """Yield the jobs of a log in the order of its lines."""
    for line, words in numbered_lines(path, findings):
        if words.startswith(";"):
            continue
        fields = words.split(None, FIELDS)
        if not fields:
            continue
        if len(fields) < FIELDS:
            findings.add(f"fewer than {FIELDS} fields", [line])
            continue
        try:
            job = _job(fields, line, options)
        except BadCell as bad:
            findings.add(str(bad), [line])
            continue
        if job is None:
            findings.add("a part of a job (status 2 to 4)", [line], "left to the job's own line")
        else:
            yield job


def _job(fields: list[str], line: int, options: SwfOptions) -> WorkJob | None:
    """Return the job of one line; None for a part of one."""
    words = _USED(fields)
    try:
        row = [int(word) for word in words]
    except ValueError:
        row = [_whole(word) for word in words]
    if max(row) > LARGEST or min(row) < -LARGEST:
        raise BadCell("a field that is no whole number of reasonable size")
    _, submit_s, run_s, given, asked, request_s, memory, *others = row
    status, user, application, queue = others
    if status in _PARTS:
        return None
    procs = asked if asked > 0 else given
    if procs <= 0:
        raise BadCell("no processors")
    nodes, each = spread(procs, options.procs_per_node)
    memory_bytes = max(memory, 0) * _KIB * procs
    if len(fields) > FIELDS and (told := _node_request(fields[FIELDS])):
        count, ppn = told
        memory_bytes = max(memory, 0) * count
        if options.procs_per_node and count * ppn == procs:
            nodes, each = count, ppn
    needs = shape(cpu_milli=each * 1_000, memory_bytes=-(-memory_bytes // nodes), nodes=nodes)
    return WorkJob(
        number=line,
        submitted_ms=submit_s * 1_000,
        shape=needs,
        runtimes_ms=(run_s * 1_000,),
        estimate_ms=max(request_s, 0) * 1_000,
        user=str(user) if user >= 0 else "",
        name=str(application) if application >= 0 else "",
        queue=str(queue) if options.queues and queue >= 0 else DEFAULT_QUEUE,
    )


def _node_request(behind: str) -> tuple[int, int] | None:
    """Return nodes and processors on each (0: unequal) of a node request.

    It is the last word behind the fields, where a list of machines or `ppn` stands there too. A
    part begins with a number of nodes, or with the name of one.
    """
    if not behind.startswith("{") and ":ppn=" not in behind:
        return None
    nodes, sizes = 0, set()
    for part in behind.rsplit(maxsplit=1)[-1].split("+"):
        said, ppn = _NODES.match(part), _PPN.search(part)
        nodes += int(said[1]) if said else 1
        sizes.add(int(ppn[1]) if ppn else 1)
    return nodes, sizes.pop() if len(sizes) == 1 else 0


def _whole(word: str) -> int:
    """Return a number that may be written as `12.0`."""
    try:
        value = float(word)
    except ValueError:
        value = float("nan")
    if not value.is_integer():
        raise BadCell("a field that is no whole number of reasonable size")
    return int(value)


KIND = Kind(
    name="swf",
    what="Standard Workload Format, .swf or .swf.gz",
    text=drafts,
    options=SwfOptions,
)
