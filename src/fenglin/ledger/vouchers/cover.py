"""What vouchers pay of a charge: eligible items only, soonest to expire first, money the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from fenglin.ledger.vouchers.scheme import ANY_ITEM

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fenglin.ledger.posting import Charge

COMPUTE = "compute"
# What a charge is for, in the words of schemes; whatever is not here is compute.
_KINDS = {"storage_tb_month": "storage", "egress_gb": "network"}


class Source(Struct, frozen=True):
    """A voucher that may be used now.

    Attributes:
        pool: Its pool.
        voucher: Its id.
        items: Kinds of items that its scheme pays for.
        valid_to_ms: First moment at which it is void.
        left_micro: What may still be used.
    """

    pool: str
    voucher: str
    items: tuple[str, ...]
    valid_to_ms: int
    left_micro: int


class Paid(Struct, frozen=True):
    """What a pool has paid of a posting: kinds of items that it pays for, and how much."""

    items: tuple[str, ...]
    amount_micro: int


def kind_of(item: str) -> str:
    """Return which kind of item a charge is for."""
    return _KINDS.get(item, COMPUTE)


def in_order(sources: Sequence[Source]) -> list[Source]:
    """Return vouchers in the order of use: soonest to expire first, then by name."""
    return sorted(sources, key=lambda one: (one.valid_to_ms, one.pool, one.voucher))


def cover(
    charges: Sequence[Charge], sources: Sequence[Source], paid: Mapping[str, Paid]
) -> tuple[tuple[Source, int], ...]:
    """Return what each voucher pays of a posting; never more than is charged, nor twice.

    A pool pays at most what its items come to, less what pools that share items with it have
    paid: so every micro-unit can be laid upon an item that its scheme pays for.

    Args:
        charges: Of one posting.
        sources: What may pay, in the order of use.
        paid: What was paid of it before, by pool.
    """
    done = dict(paid)
    open_micro = sum(one.amount_micro for one in charges)
    open_micro -= sum(one.amount_micro for one in done.values())
    uses: list[tuple[Source, int]] = []
    for source in sources:
        mine = _counted(charges, source.items)
        room_micro = sum(one.amount_micro for one in charges if kind_of(one.item) in mine)
        room_micro -= sum(
            one.amount_micro for one in done.values() if mine & _counted(charges, one.items)
        )
        part_micro = min(source.left_micro, room_micro, open_micro)
        if part_micro > 0:
            uses.append((source, part_micro))
            open_micro -= part_micro
            before = done.get(source.pool, Paid(source.items, 0))
            done[source.pool] = Paid(source.items, before.amount_micro + part_micro)
    return tuple(uses)


def _counted(charges: Sequence[Charge], items: Sequence[str]) -> set[str]:
    """Return which kinds of these charges a scheme pays for."""
    kinds = {kind_of(one.item) for one in charges}
    return kinds if ANY_ITEM in items else kinds & set(items)
