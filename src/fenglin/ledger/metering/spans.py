"""Records of one resource side by side: times that are covered twice, and times left out (M3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from fenglin.ledger.metering.items import Finding, What

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Series in which one resource is told of without a break: hours of a machine. A Slurm element
# that was requeued, or a pod, has a break by right.
CONTINUOUS = frozenset({"focus", "charges", "csv"})


class Span(Struct, frozen=True, order=True):
    """The time that one line covers.

    Attributes:
        resource: What was measured, with what is charged of it: unlike charges run side by side.
        started_ms: Unix time.
        ended_ms: First millisecond after it.
        line: The provider's name of it.
        attempt: Attempt key; empty for none.
    """

    resource: str
    started_ms: int
    ended_ms: int
    line: str
    attempt: str = ""


def span_findings(
    spans: Iterable[Span], slack_ms: int, *, site: str, source: str, form: str
) -> Iterator[Finding]:
    """Yield what is covered twice and what is left out, each longer than the slack.

    Args:
        spans: Sorted.
        slack_ms: Clocks of whole seconds touch and miss each other by right.
        site: For the findings.
        source: Series, for the findings.
        form: In which it came.
    """
    last: Span | None = None
    for span in spans:
        if last is None or last.resource != span.resource:
            last = span
            continue
        apart_ms = span.started_ms - last.ended_ms
        twice_ms = min(last.ended_ms, span.ended_ms) - span.started_ms
        what, shown_ms = (What.GAP, apart_ms) if apart_ms > 0 else (What.OVERLAP, twice_ms)
        if shown_ms > slack_ms and (what is What.OVERLAP or form in CONTINUOUS):
            yield Finding(
                what=what,
                site=site,
                source=source,
                attempt=span.attempt or last.attempt,
                subject=f"{last.line} {span.line}",
                theirs=f"{shown_ms / 1_000:.3f} s",
                text=f"{span.resource}: lines {last.line} and {span.line}",
            )
        if span.ended_ms > last.ended_ms:
            last = span
