"""A batch log in columns, and what was wrong with the file that it came from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Ints: TypeAlias = NDArray[np.int64]

SHOWN_LINES = 5


@dataclass
class Finding:
    """One kind of thing that is wrong with a file.

    Attributes:
        what: What it is, such as `a negative runtime`.
        done: What a lenient reading does about it.
        count: How often it was met.
        lines: The first places, 1-based.
    """

    what: str
    done: str
    count: int = 0
    lines: list[int] = field(default_factory=list)


@dataclass
class Findings:
    """All that is wrong with a file.

    Attributes:
        source: Name of the file.
        unit: What the numbers of places count: `line` or `row`.
        found: By kind, in the order of meeting.
    """

    source: str
    unit: str = "line"
    found: dict[str, Finding] = field(default_factory=dict)

    def add(self, what: str, lines: list[int], done: str = "skipped") -> None:
        """Note a kind of fault and where it was met; no places are no fault."""
        if not lines:
            return
        one = self.found.setdefault(what, Finding(what, done))
        one.count += len(lines)
        one.lines.extend(lines[: SHOWN_LINES - len(one.lines)])

    @property
    def count(self) -> int:
        """Return how many faults there are."""
        return sum(one.count for one in self.found.values())

    @property
    def skipped(self) -> int:
        """Return how many jobs or lines were left out."""
        return sum(one.count for one in self.found.values() if one.done == "skipped")

    def sentences(self) -> list[str]:
        """Return a sentence for each kind: what, how often, where, and what was done."""
        return [
            f"{self.source}: {one.what}, {one.count} × ({self.unit}s {_places(one)}): {one.done}"
            for one in self.found.values()
        ]


@dataclass(frozen=True)
class Trace:
    """The jobs of a log in the order of arrival, one entry each.

    Attributes:
        job_id: As in the file.
        submit_s: Arrival, rising.
        run_s: How long it ran, at least 0.
        request_s: How long its user asked for; where unknown 0 or less.
        procs: Processors it needs, at least 1.
        user_id: Whose it is; -1 when unknown.
        line: Where it stands in the file.
        machine_procs: Processors of the machine by the file's header; 0 when it does not say.
        findings: What was wrong so far.
    """

    job_id: Ints
    submit_s: Ints
    run_s: Ints
    request_s: Ints
    procs: Ints
    user_id: Ints
    line: Ints
    machine_procs: int
    findings: Findings

    def __len__(self) -> int:
        return len(self.job_id)

    def only(self, keep: NDArray[np.bool_] | Ints) -> Trace:
        """Return the trace with these jobs, in this order."""
        return Trace(
            self.job_id[keep],
            self.submit_s[keep],
            self.run_s[keep],
            self.request_s[keep],
            self.procs[keep],
            self.user_id[keep],
            self.line[keep],
            self.machine_procs,
            self.findings,
        )


def usable(trace: Trace, procs: int, *, needs_request: bool) -> Trace:
    """Return the jobs that can be replayed, in order of arrival; note the others as findings.

    Args:
        trace: As it was read.
        procs: Processors of the machine.
        needs_request: Whether a job without a requested time is of no use.
    """
    keep = np.ones(len(trace), dtype=np.bool_)
    faults = [
        ("an arrival before time 0", trace.submit_s < 0),
        ("a negative runtime (never ran, or unknown)", trace.run_s < 0),
        ("no processors", trace.procs <= 0),
        (f"more processors than the machine's {procs}", trace.procs > procs),
        ("a job number seen before", _repeated(trace.job_id)),
    ]
    if needs_request:
        faults.append(("no requested time", trace.request_s <= 0))
    for what, wrong in faults:
        trace.findings.add(what, trace.line[wrong & keep].tolist())
        keep &= ~wrong
    kept = trace.only(keep)
    if len(kept):
        late = kept.submit_s < np.maximum.accumulate(kept.submit_s)
        trace.findings.add(
            "an arrival before that of an earlier line", _lines(kept, late), "sorted"
        )
        if late.any():
            kept = kept.only(np.argsort(kept.submit_s, kind="stable"))
    return kept


def _lines(trace: Trace, wrong: NDArray[np.bool_]) -> list[int]:
    lines: list[int] = trace.line[wrong].tolist()
    return lines


def _repeated(ids: Ints) -> NDArray[np.bool_]:
    """Return which numbers have stood before."""
    again = np.ones(len(ids), dtype=np.bool_)
    again[np.unique(ids, return_index=True)[1]] = False
    return again


def _places(one: Finding) -> str:
    """Return the first places, and whether there are more."""
    return ", ".join(map(str, one.lines)) + (", …" if one.count > len(one.lines) else "")
