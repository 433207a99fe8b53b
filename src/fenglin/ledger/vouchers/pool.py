"""A pool: one year's budget of a scheme, and the vouchers that came of it.

Every micro-unit of the budget is free, reserved for a voucher, or paid to a tenant:

    grant      free → reserved            what the rules say that an application is worth
    approve    nothing moves              a person released it: its time begins, it may be used
    use        reserved → paid            a charge was paid with it, in part or in whole
    lapse      reserved → free            its time is over
    revoke     reserved → free            it was not approved, or given wrongly and not yet used
    clawback   paid → free                it was given wrongly, and was used
    return     paid → reserved            what it paid for was not used after all

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

DAY_MS = 24 * 3_600_000
FOR_EVER_MS = 2**62


class Act(StrEnum):
    """What happens to a voucher."""

    GRANT = "grant"
    APPROVE = "approve"
    USE = "use"
    LAPSE = "lapse"
    REVOKE = "revoke"
    CLAWBACK = "clawback"
    RETURN = "return"


class State(StrEnum):
    """How a voucher stands. RESERVED: promised, not approved. USED: nothing of it is left."""

    RESERVED = "reserved"
    APPROVED = "approved"
    USED = "used"
    EXPIRED = "expired"
    REVOKED = "revoked"
    CLAWED_BACK = "clawed-back"


class Voucher(Struct, frozen=True, kw_only=True):
    """A promise to one account.

    Attributes:
        id: As the application's.
        account: Who may use it.
        firm: Whose cap it counts to.
        deal: (seller, contract).
        granted_micro: What it was worth at first.
        valid_to_ms: First moment at which it is void; counted from its approval.
        left_micro: What may still be used.
        used_micro: What has been used.
        clawed_micro: How much of that was taken back.
        revoked_micro: What was taken back unused.
        approved: Whether it may be used.
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
    revoked_micro: int = 0
    approved: bool = False

    def state(self, now_ms: int) -> State:
        """Return how it stands; the gravest where several hold."""
        faults = (
            (self.clawed_micro, State.CLAWED_BACK),
            (self.revoked_micro, State.REVOKED),
            (now_ms >= self.valid_to_ms and self.used_micro < self.granted_micro, State.EXPIRED),
            (not self.left_micro, State.USED),
        )
        fine = State.APPROVED if self.approved else State.RESERVED
        return next((state for wrong, state in faults if wrong), fine)

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
        why: Key of the ledger's entry that was paid, or why it was taken back; for the auditor.
        granted: The new voucher, of a grant.
        pays: Key of the ledger's entry that was paid and no longer is, of a return.
    """

    act: Act
    voucher: str
    amount_micro: int
    time_ms: int
    why: str = ""
    granted: Voucher | None = None
    pays: str = ""


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
        NotFoundError: an event is of a voucher that was never granted.
    """
    free_micro, vouchers = pool.free_micro, dict(pool.vouchers)
    for event in events:
        vouchers[event.voucher] = step(pool.rules, vouchers.get(event.voucher), event)
        freed_micro = freed(event)
        if -freed_micro > free_micro:
            _enough(event, free_micro, "free in the pool", pool.rules.commodity)
        free_micro += freed_micro
    return Pool(pool.name, pool.rules, free_micro, vouchers)


def freed(event: Event) -> int:
    """Return by how many micro-units an event raises what a pool may still promise."""
    if event.act is Act.GRANT:
        return -event.amount_micro
    return event.amount_micro if event.act in _FREEING else 0


def step(rules: Rules, old: Voucher | None, event: Event) -> Voucher:
    """Return a voucher after an event; None is one that was not granted yet.

    Raises:
        ConflictError: the event uses or takes back more than there is, or comes at a wrong time.
        InputError: it has no positive amount, or is a grant without its voucher.
        NotFoundError: it is of a voucher that was never granted.
    """
    if event.amount_micro <= 0:
        raise InputError(f"a {event.act} of nothing", where=f"voucher {event.voucher}")
    if event.act is Act.GRANT:
        return _fresh(event, old)
    if old is None:
        raise NotFoundError(f"there is no voucher {event.voucher!r}")
    return _changed(old, event, rules)


def grants(decisions: Iterable[Decision], now_ms: int) -> tuple[Event, ...]:
    """Return the grants that follow from a round's decisions; a refusal changes no voucher."""
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
                valid_to_ms=FOR_EVER_MS,
                left_micro=one.granted_micro,
            ),
        )
        for one in decisions
        if one.granted_micro
    )


def approve(one: Voucher, now_ms: int) -> tuple[Event, ...]:
    """Return the approval of a voucher; nothing where it is approved already.

    Raises:
        ConflictError: it was taken back.
    """
    if one.approved:
        return ()
    if not one.left_micro:
        raise ConflictError("it was revoked", where=f"voucher {one.id}", hint="apply anew")
    return (Event(act=Act.APPROVE, voucher=one.id, amount_micro=one.left_micro, time_ms=now_ms),)


def lapses(vouchers: Iterable[Voucher], now_ms: int) -> tuple[Event, ...]:
    """Return the lapses of what has expired by now, unused."""
    return tuple(
        Event(act=Act.LAPSE, voucher=one.id, amount_micro=one.left_micro, time_ms=now_ms)
        for one in vouchers
        if one.left_micro and one.valid_to_ms <= now_ms
    )


def revoke(one: Voucher, now_ms: int, why: str) -> tuple[Event, ...]:
    """Take back what is not used of a voucher.

    Raises:
        InputError: no reason is given.
        ConflictError: nothing of it is left.
    """
    _check_why(one, why)
    if not one.left_micro:
        raise ConflictError("nothing of it is left to revoke", where=f"voucher {one.id}")
    return (_taken(Act.REVOKE, one, one.left_micro, now_ms, why),)


def claw_back(
    one: Voucher, now_ms: int, why: str, amount_micro: int | None = None
) -> tuple[Event, ...]:
    """Take back what was used of a voucher.

    Args:
        one: The voucher.
        now_ms: Unix time.
        why: For the auditor.
        amount_micro: How much; None takes all of it, and revokes what is not used.

    Raises:
        InputError: no reason is given, or the amount is not positive.
        ConflictError: less than that was used, or nothing.
    """
    _check_why(one, why)
    used_micro = one.used_micro - one.clawed_micro
    if amount_micro is not None:
        return (_taken(Act.CLAWBACK, one, amount_micro, now_ms, why),)
    if not used_micro:
        raise ConflictError(
            "nothing of it is used", where=f"voucher {one.id}", hint="revoke what is not used"
        )
    unused = revoke(one, now_ms, why) if one.left_micro else ()
    return (*unused, _taken(Act.CLAWBACK, one, used_micro, now_ms, why))


def give_back(one: Voucher, pays: str, most_micro: int, now_ms: int, why: str) -> tuple[Event, ...]:
    """Return to a voucher what it paid for use that was none; what was clawed back is not there.

    A voucher that is void stays so: what returns to it is at once as free as the rest of it was.

    Args:
        one: The voucher.
        pays: Key of the ledger's entry that it paid.
        most_micro: How much of that at most.
        now_ms: Unix time.
        why: For the auditor.
    """
    amount_micro = min(most_micro, one.used_micro - one.clawed_micro)
    if amount_micro <= 0:
        return ()
    back = replace(_taken(Act.RETURN, one, amount_micro, now_ms, why), pays=pays)
    whole = replace(one, left_micro=one.left_micro + amount_micro)
    if one.revoked_micro:
        return (back, *revoke(whole, now_ms, why))
    return (back, *lapses([whole], now_ms))


_FREEING = (Act.LAPSE, Act.REVOKE, Act.CLAWBACK)


def _taken(act: Act, one: Voucher, amount_micro: int, now_ms: int, why: str) -> Event:
    return Event(act=act, voucher=one.id, amount_micro=amount_micro, time_ms=now_ms, why=why)


def _check_why(one: Voucher, why: str) -> None:
    if not why.strip():
        raise InputError("why is it taken back?", where=f"voucher {one.id}")


def _fresh(event: Event, old: Voucher | None) -> Voucher:
    """Return the voucher of a grant."""
    where = f"voucher {event.voucher}"
    if old is not None:
        raise ConflictError("it was granted already", where=where)
    fresh = event.granted
    if fresh is None or (fresh.id, fresh.granted_micro, fresh.left_micro, fresh.used_micro) != (
        event.voucher,
        event.amount_micro,
        event.amount_micro,
        0,
    ):
        raise InputError("the grant does not say what is granted", where=where)
    return fresh


def _changed(old: Voucher, event: Event, rules: Rules) -> Voucher:
    """Return a voucher after an event, which must not take more than there is."""
    amount, where = event.amount_micro, f"voucher {old.id}"
    if event.act is Act.CLAWBACK:
        _enough(event, old.used_micro - old.clawed_micro, "used", rules.commodity)
        return replace(old, clawed_micro=old.clawed_micro + amount)
    if event.act is Act.RETURN:
        _enough(event, old.used_micro - old.clawed_micro, "used", rules.commodity)
        return replace(old, left_micro=old.left_micro + amount, used_micro=old.used_micro - amount)
    _enough(event, old.left_micro, "left of it", rules.commodity)
    if event.act is Act.APPROVE:
        if old.approved:
            raise ConflictError("it is approved already", where=where)
        days = rules.valid_days
        end_ms = FOR_EVER_MS if days == NO_EXPIRY_DAYS else event.time_ms + days * DAY_MS
        return replace(old, approved=True, valid_to_ms=end_ms)
    if event.act is Act.USE:
        if not old.approved:
            raise ConflictError("it is not approved yet", where=where)
        if event.time_ms >= old.valid_to_ms:
            raise ConflictError("it has expired", where=where)
        return replace(old, left_micro=old.left_micro - amount, used_micro=old.used_micro + amount)
    if event.act is Act.REVOKE:
        return replace(
            old, left_micro=old.left_micro - amount, revoked_micro=old.revoked_micro + amount
        )
    if event.time_ms < old.valid_to_ms:
        raise ConflictError("it has not expired yet", where=where)
    return replace(old, left_micro=old.left_micro - amount)


def _enough(event: Event, there_micro: int, what: str, commodity: str) -> None:
    if event.amount_micro > there_micro:
        wanted = format_money(event.amount_micro, commodity)
        raise ConflictError(
            f"a {event.act} of {wanted} exceeds the {format_money(there_micro, commodity)} {what}",
            where=f"voucher {event.voucher}",
        )
