"""Receipts for people: options, scores term by term, typed reasons with their evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fenglin.cli.humane import ahead, count, moment, money
from fenglin.cli.output import Column, safe, write, write_fields, write_table
from fenglin.quantities.durations import format_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fenglin.client import Option, Receipt
    from fenglin.wire.views import DryRun, EventView, Explanation

_OPTION_COLUMNS = (
    Column("SITE"),
    Column("FLAVOR"),
    Column("TASKS", right=True),
    Column("SLOTS", right=True),
    Column("SCORE", right=True),
    Column("START", right=True),
    Column("FINISH", right=True),
    Column("PRICE", right=True),
    Column("REASON"),
)
_TERM_COLUMNS = (
    Column("OPTION"),
    Column("TERM"),
    Column("VALUE", right=True),
    Column("WEIGHT", right=True),
    Column("SCORE", right=True),
    Column("FIGURE", right=True),
)


def write_explanation(explanation: Explanation, now: int) -> None:
    """Print why a job is where it is: its newest receipt, its decisions, its story."""
    receipt = explanation.receipt
    if receipt is None and explanation.decisions:
        receipt = explanation.decisions[-1]
    fields = [("job", explanation.job), ("state", explanation.state)]
    if receipt is None:
        write_fields([*fields, ("receipt", "none: no plan has considered it")])
    else:
        if explanation.receipt is None:
            fields.append(("receipt", "of its last start; nothing waits any more"))
        write_fields([*fields, *_receipt_fields(receipt, now), *_trust(explanation, now)])
        _write_options(receipt, now)
    starts = [one for one in explanation.decisions if one.started and one != receipt]
    if starts:
        write("\nEarlier decisions\n")
        for one in starts:
            write(f"  plan {one.index}: {_given(one)}\n")
    if explanation.story:
        write("\nStory\n")
        _write_story(explanation.story)


def write_receipt(receipt: Receipt, job: str, now: int) -> None:
    """Print one receipt."""
    write_fields([("job", job), *_receipt_fields(receipt, now)])
    _write_options(receipt, now)


def write_dry_run(plan: DryRun, name: str, now: int) -> None:
    """Print what a submit would do now, and what it would cost."""
    receipt = plan.receipt
    write_fields(
        [
            ("job", name),
            ("price", money(plan.price_micro, plan.currency) or f"0.00 {plan.currency}"),
            *_receipt_fields(receipt, now),
        ]
    )
    _write_options(receipt, now, plan.currency)


def _receipt_fields(receipt: Receipt, now: int) -> list[tuple[str, str]]:
    """Return the lines above the options."""
    waits = receipt.reason.value if receipt.reason is not None else ""
    return [
        ("starts now", count(receipt.started, "task") if receipt.started else ""),
        ("waiting", count(receipt.waiting, "task") if receipt.waiting else ""),
        ("waits for", waits),
        ("position", str(receipt.position) if receipt.position else ""),
        ("start", _when(receipt.start_ms, now)),
        ("finish", _when(receipt.finish_ms, now)),
        ("to start now", receipt.change),
        ("policy", f"{receipt.policy}, plan {receipt.index}"),
    ]


def _trust(explanation: Explanation, now: int) -> list[tuple[str, str]]:
    """Return how far past promises of a start were off, where one is made."""
    kept, receipt = explanation.promises, explanation.receipt
    if receipt is None or receipt.start_ms <= now or not kept.jobs:
        return []
    half, most = format_duration(kept.half_ms), format_duration(kept.most_ms)
    told = f"half were off by at most {half}, nine of ten by {most} ({count(kept.jobs, 'start')})"
    return [("promises so far", told)]


def _when(moment_ms: int, now: int) -> str:
    """Return a moment, absolute and relative."""
    return f"{moment(moment_ms)} ({ahead(moment_ms, now)})" if moment_ms else ""


def _write_options(receipt: Receipt, now: int, currency: str = "CNY") -> None:
    """Print every option and then the terms of those that have a score."""
    if not receipt.options:
        return
    write("\n")
    write_table(_OPTION_COLUMNS, [_option_cells(one, now, currency) for one in receipt.options])
    rows = [
        (
            f"{option.site}/{option.flavor}",
            term.name,
            f"{term.value:.3f}",
            f"{term.weight:g}",
            f"{term.value * term.weight:.3f}",
            term.raw,
        )
        for option in receipt.options
        for term in option.terms
    ]
    if rows:
        write("\nScores (value times weight; the smallest sum is best)\n")
        write_table(_TERM_COLUMNS, rows)


def _option_cells(option: Option, now: int, currency: str) -> Sequence[str]:
    """Return one row of the options."""
    reason = option.reason.value if option.reason is not None else ""
    return (
        option.site,
        option.flavor,
        str(option.tasks) if option.tasks else "",
        str(option.slots) if option.slots else "",
        f"{option.score:.3f}" if option.terms else "",
        ahead(option.start_ms, now),
        ahead(option.finish_ms, now),
        money(option.price_micro, currency),
        ": ".join(part for part in (reason, option.evidence) if part),
    )


def _given(receipt: Receipt) -> str:
    """Return how the tasks of one decision were spread."""
    shares = ", ".join(
        f"{one.tasks} on {safe(one.site)}/{safe(one.flavor)}"
        for one in receipt.options
        if one.tasks
    )
    return f"{count(receipt.started, 'task')} started" + (f" ({shares})" if shares else "")


def _write_story(story: Sequence[EventView]) -> None:
    """Print the events that led here."""
    columns = (Column("TIME"), Column("KIND"), Column("WHAT"))
    write_table(columns, [(moment(one.time_ms), one.kind, one.text) for one in story])
