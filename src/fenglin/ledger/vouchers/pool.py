"""A pool: one year's budget of a scheme, and the vouchers that came of it.

Every micro-unit of the budget is free, reserved for a voucher, or paid to a tenant:

    grant      free → reserved            what an application was decided to be worth
    use        reserved → paid            a bill was paid with it, in part or in whole
    lapse      reserved → free            its time is over
    revoke     reserved → free            it was given wrongly, and is not yet used
    clawback   paid → free                it was given wrongly, and was used

A pool is the fold of its events; an event that would break a rule is refused, wherever it
comes from.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from fenglin.errors import ConflictError, InputError, NotFoundError
from fenglin.ledger.vouchers.scheme import NO_EXPIRY_DAYS, Rules
from fenglin.quantities.money import format_money

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fenglin.ledger.vouchers.claim import Decision

_DAY_MS = 24 * 3_600_000
FOR_EVER_MS = 2**62


class Act(StrEnum):
    """What happens to a voucher."""

    GRANT = "grant"
    USE = "use"
    LAPSE = "lapse"
    REVOKE = "revoke"
    CLAWBACK = "clawback"


class Voucher(Struct, frozen=True, kw_only=True):
    """A promise to one account.

    Attributes:
        id: As the application's.
        account: Who may use it.
        firm: Whose cap it counts to.
        deal: (seller, contract).
        granted_micro: What it was worth at first.
        valid_to_ms: First moment at which it is void.
        left_micro: What may still be used.
        used_micro: What has been used.
        clawed_micro: How much of that was taken back.
    """

    id: str
    account: str
    firm: str
    deal: tuple[str, str]
    granted_micro: int
    valid_to_ms: int
    left_micro: int
    used_micro: int = 0
    clawed_micro: int = 0

    @property
    def counted_micro(self) -> int:
        """Return what counts to caps and quotas: what is promised or paid, and not taken back."""
        return self.left_micro + self.used_micro - self.clawed_micro


class Event(Struct, frozen=True, kw_only=True):
    """One change of one voucher.

    Attributes:
        act: What happens.
        voucher: Its id.
        amount_micro: More than zero.
        time_ms: Unix time.
        why: Which bill, or why it was taken back; for the auditor.
        granted: The new voucher, of a grant.
    """

    act: Act
    voucher: str
    amount_micro: int
    time_ms: int
    why: str = ""
    granted: Voucher | None = None


class Pool(Struct, frozen=True):
    """The state of a pool.

    Attributes:
        name: `<scheme>-<year>`.
        rules: Of its scheme.
        free_micro: What may still be promised.
        vouchers: By id, in the order in which they were given.
    """

    name: str
    rules: Rules
    free_micro: int
    vouchers: dict[str, Voucher] = {}

    @property
    def reserved_micro(self) -> int:
        """Return what is promised and not yet used."""
        return sum(one.left_micro for one in self.vouchers.values())

    @property
    def paid_micro(self) -> int:
        """Return what tenants have used, less what was taken back."""
        return sum(one.used_micro - one.clawed_micro for one in self.vouchers.values())

    def voucher(self, name: str) -> Voucher:
        """Return a voucher.

        Raises:
            NotFoundError: there is none of that id.
        """
        found = self.vouchers.get(name)
        if found is None:
            raise NotFoundError(f"pool {self.name} has no voucher {name!r}")
        return found


def open_pool(name: str, rules: Rules) -> Pool:
    """Return a pool of which nothing is promised yet."""
    return Pool(name, rules, rules.budget_micro)


def fold(pool: Pool, events: Iterable[Event]) -> Pool:
    """Return a pool after further events.

    Raises:
        ConflictError: an event promises, uses or takes back more than there is.
        InputError: an event has no positive amount, or a grant no voucher.
    """
    free_micro, vouchers = pool.free_micro, dict(pool.vouchers)
    for event in events:
        if event.amount_micro <= 0:
            raise InputError(f"a {event.act} of nothing", where=f"voucher {event.voucher}")
        if event.act is Act.GRANT:
            fresh = _fresh(event, vouchers)
            _enough(event, free_micro, "free in the pool", pool.rules.commodity)
            free_micro -= event.amount_micro
        else:
            old = vouchers.get(event.voucher)
            if old is None:
                raise NotFoundError(f"pool {pool.name} has no voucher {event.voucher!r}")
            fresh = _changed(old, event, pool.rules.commodity)
            free_micro += event.amount_micro if event.act is not Act.USE else 0
        vouchers[event.voucher] = fresh
    return Pool(pool.name, pool.rules, free_micro, vouchers)


def grants(pool: Pool, decisions: Iterable[Decision], now_ms: int) -> tuple[Event, ...]:
    """Return the grants that follow from a round's decisions; a refusal changes no voucher."""
    days = pool.rules.valid_days
    valid_to_ms = FOR_EVER_MS if days == NO_EXPIRY_DAYS else now_ms + days * _DAY_MS
    return tuple(
        Event(
            act=Act.GRANT,
            voucher=one.application.id,
            amount_micro=one.granted_micro,
            time_ms=now_ms,
            granted=Voucher(
                id=one.application.id,
                account=one.application.account,
                firm=one.application.firm,
                deal=one.application.deal,
                granted_micro=one.granted_micro,
                valid_to_ms=valid_to_ms,
                left_micro=one.granted_micro,
            ),
        )
        for one in decisions
        if one.granted_micro
    )


def cover(
    pool: Pool, account: str, bill_micro: int, now_ms: int, bill: str
) -> tuple[tuple[Event, ...], int]:
    """Pay a bill with an account's vouchers, soonest to expire first.

    Args:
        pool: As it is now.
        account: Who pays.
        bill_micro: What is owed; not negative.
        now_ms: A voucher is used only before it expires.
        bill: Which bill, for the auditor.

    Returns:
        The uses, and what is left to be paid with money.

    Raises:
        InputError: the bill is negative.
    """
    if bill_micro < 0:
        raise InputError(f"a bill of {bill_micro} micro-units cannot be paid", where=bill)
    usable = (
        one
        for one in pool.vouchers.values()
        if one.account == account and one.left_micro and now_ms < one.valid_to_ms
    )
    uses: list[Event] = []
    for one in sorted(usable, key=lambda one: (one.valid_to_ms, one.id)):
        part_micro = min(one.left_micro, bill_micro)
        if part_micro:
            uses.append(
                Event(
                    act=Act.USE, voucher=one.id, amount_micro=part_micro, time_ms=now_ms, why=bill
                )
            )
            bill_micro -= part_micro
    return tuple(uses), bill_micro


def lapses(pool: Pool, now_ms: int) -> tuple[Event, ...]:
    """Return the lapses of what has expired by now, unused."""
    return tuple(
        Event(act=Act.LAPSE, voucher=one.id, amount_micro=one.left_micro, time_ms=now_ms)
        for one in pool.vouchers.values()
        if one.left_micro and one.valid_to_ms <= now_ms
    )


def withdraw(pool: Pool, voucher: str, now_ms: int, why: str) -> tuple[Event, ...]:
    """Take a voucher back whole: what is unused is revoked, what was used is clawed back.

    Raises:
        InputError: no reason is given.
        NotFoundError: there is no such voucher.
        ConflictError: nothing is left to take back.
    """
    if not why.strip():
        raise InputError("why is it taken back?", where=f"voucher {voucher}")
    one = pool.voucher(voucher)
    amounts = ((Act.REVOKE, one.left_micro), (Act.CLAWBACK, one.used_micro - one.clawed_micro))
    events = tuple(
        Event(act=act, voucher=voucher, amount_micro=amount, time_ms=now_ms, why=why)
        for act, amount in amounts
        if amount
    )
    if not events:
        raise ConflictError("nothing of it is left to take back", where=f"voucher {voucher}")
    return events


def _fresh(event: Event, vouchers: dict[str, Voucher]) -> Voucher:
    """Return the voucher of a grant."""
    where = f"voucher {event.voucher}"
    fresh = event.granted
    if fresh is None or (fresh.id, fresh.granted_micro, fresh.left_micro, fresh.used_micro) != (
        event.voucher,
        event.amount_micro,
        event.amount_micro,
        0,
    ):
        raise InputError("the grant does not say what is granted", where=where)
    if event.voucher in vouchers:
        raise ConflictError("it was granted already", where=where)
    return fresh


def _changed(old: Voucher, event: Event, commodity: str) -> Voucher:
    """Return a voucher after an event, which must not take more than there is."""
    amount = event.amount_micro
    if event.act is Act.CLAWBACK:
        _enough(event, old.used_micro - old.clawed_micro, "used", commodity)
        return replace(old, clawed_micro=old.clawed_micro + amount)
    _enough(event, old.left_micro, "left of it", commodity)
    where = f"voucher {old.id}"
    if event.act is Act.USE:
        if event.time_ms >= old.valid_to_ms:
            raise ConflictError("it has expired", where=where)
        return replace(old, left_micro=old.left_micro - amount, used_micro=old.used_micro + amount)
    if event.act is Act.LAPSE and event.time_ms < old.valid_to_ms:
        raise ConflictError("it has not expired yet", where=where)
    return replace(old, left_micro=old.left_micro - amount)


def _enough(event: Event, there_micro: int, what: str, commodity: str) -> None:
    if event.amount_micro > there_micro:
        wanted = format_money(event.amount_micro, commodity)
        raise ConflictError(
            f"a {event.act} of {wanted} exceeds the {format_money(there_micro, commodity)} {what}",
            where=f"voucher {event.voucher}",
        )
