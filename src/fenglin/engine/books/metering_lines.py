"""Lines of accounting as the door tells them: compared ones, and those that are charged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fenglin.engine.books.accounts import check_money_key
from fenglin.errors import InputError
from fenglin.ledger.metering.records import ProviderRecord
from fenglin.ports.metering import BackAsk
from fenglin.quantities.shown import shown
from fenglin.wire.metering_views import BackView, ChargedView, LineView

if TYPE_CHECKING:
    from fenglin.ports.metering import ChargedLine, GivenBack
    from fenglin.wire.metering_views import GiveBack

MOST_WHY_CHARS = 200
# Byte-milliseconds of 10^18 bytes for ten years have 30.
_MOST_DIGITS = 31
_MOST_BYTES = 10**18


def back_ask(asked: GiveBack) -> BackAsk:
    """Return what is asked to be given back.

    Raises:
        InputError: the key, the quantity or the reason is missing or wrong.
    """
    check_money_key(asked.key)
    if not 0 < len(asked.why.strip()) <= MOST_WHY_CHARS or not asked.why.isprintable():
        raise InputError(
            "the reason is missing, too long or not printable",
            where="why",
            hint=f"say it in up to {MOST_WHY_CHARS} characters; it stands on the statement",
        )
    text = asked.quantity
    if text and not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        raise InputError(f"{shown(text)} is no whole number", where="quantity")
    if asked.held_bytes is not None and (text or not 0 < asked.held_bytes <= _MOST_BYTES):
        raise InputError(
            "the bytes are out of range, or the quantity is told twice",
            where="held_bytes",
            hint=f"1 to {_MOST_BYTES}, and no quantity beside them",
        )
    quantity = int(text) if text else None
    return BackAsk(
        (asked.site, asked.source, asked.line), quantity, asked.held_bytes, asked.key, asked.why
    )


def back_view(given: GivenBack) -> BackView:
    """Return what was given back."""
    return BackView(
        entry=given.entry.seq,
        key=given.entry.key,
        time_ms=given.entry.time_ms,
        account=given.use.account,
        unit=given.use.unit,
        quantity=str(given.quantity),
        left=str(given.left),
        amount_micro=given.amount_micro,
        vouchers_micro=given.vouchers_micro,
    )


def charged_view(line: ChargedLine) -> ChargedView:
    """Return a line that was charged."""
    use = line.use
    return ChargedView(
        site=line.site,
        source=line.source,
        line=use.line,
        unit=use.unit,
        quantity=str(use.quantity),
        started_ms=use.started_ms,
        ended_ms=use.ended_ms,
        resource=use.resource,
        attempt=use.attempt,
        entry=line.entry,
        cost_micro=line.cost_micro,
        back=str(line.back),
        back_micro=line.back_micro,
    )


def line_view(source: str, record: ProviderRecord) -> LineView:
    """Return a line that is compared."""
    fields: dict[str, Any] = {
        name: getattr(record, name)
        for name in ProviderRecord.__struct_fields__
        if name != "attempt"
    }
    return LineView(source=source, **fields)
