"""What may be entered: grants, holds and their one resolution, adjustments.

    grant   hub:grants → available
    hold    available → held                                   the most an attempt may cost
    post    held → provider due, for what was used; the rest held → available
    void    held → available                                   nothing was used

Use beyond the hold is owed all the same: the excess leaves `available`, which may fall below
zero. It is for admission to refuse the next hold of such an account.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from fenglin.errors import DamageError, InputError
from fenglin.ledger.accounts import GRANTS, available, due, held, is_held
from fenglin.ledger.entry import MAX_TEXT_CHARS, Draft, Entry, Kind, Leg
from fenglin.quantities.money import MAX_MICRO, rate_micro

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

CURRENCY = "CNY"
_CHARGE = "charge-"
_EXACT = Decimal("0.000001")


class Charge(Struct, frozen=True, gc=False):
    """One item of a bill, with the price that was in force: enough to compute it again.

    Attributes:
        item: Such as `core-hour`, `card-hour`, `task`.
        quantity: Whole units consumed, such as core-milliseconds.
        per: How many of them make one priced unit (3,600,000 for a core-hour).
        price_micro: Price of one priced unit.
        amount_micro: `rate_micro(quantity, per, price_micro)`, kept as billed.
    """

    item: str
    quantity: int
    per: int
    price_micro: int
    amount_micro: int


class Hold(Struct, frozen=True, gc=False):
    """Money set aside for one attempt.

    Attributes:
        attempt: Attempt key.
        account: The tenant's account, without `tenant:`.
        commodity: Of the amount.
        amount_micro: What is set aside.
        job: The job's number, 0 for none.
    """

    attempt: str
    account: str
    commodity: str
    amount_micro: int
    job: int


class Terms(Struct, frozen=True, gc=False):
    """Where an attempt ran and by which prices; empty where it does not apply.

    Attributes:
        site: Name of the site.
        flavor: Name of the flavor.
        price_version: Version of the price book, frozen at use.
    """

    site: str = ""
    flavor: str = ""
    price_version: str = ""


_CHARGES = msgspec.json.Decoder(Charge)


def charge(item: str, quantity: int, per: int, price_micro: int) -> Charge:
    """Return the charge for a quantity at a price, rounded half to even at the micro-unit.

    Raises:
        InputError: a negative quantity or price, or `per` below 1.
    """
    if quantity < 0 or per < 1 or price_micro < 0:
        raise InputError(
            f"{quantity} / {per} at {price_micro} is no charge",
            where=item,
            hint="quantity and price are not negative, per is at least 1",
        )
    return Charge(item, quantity, per, price_micro, rate_micro(quantity, per, price_micro))


def grant(
    account: str,
    amount_micro: int,
    key: str,
    *,
    commodity: str = CURRENCY,
    memo: str = "",
    details: Sequence[tuple[str, str]] = (),
) -> Draft:
    """Give a tenant's account credit: a deposit, or credit on trust.

    Args:
        account: The tenant's account.
        amount_micro: More than zero.
        key: Client's own key; a second grant with it is the first.
        commodity: Of the amount.
        memo: For people.
        details: Further (name, value) pairs.

    Raises:
        InputError: the amount is not positive or too large.
    """
    _check_amount(amount_micro, least=1)
    legs = _move(GRANTS, available(account), commodity, amount_micro)
    return Draft(Kind.GRANT, f"grant:{key}", legs, memo=_clean(memo), details=tuple(details))


def take_back(
    granted: Entry,
    account: str,
    amount_micro: int,
    key: str,
    *,
    commodity: str,
    memo: str = "",
) -> Draft:
    """Take back some of what a tenant's account was granted.

    Args:
        granted: The grant that is corrected; it stays as it is.
        account: The tenant's account.
        amount_micro: More than zero.
        key: Client's own key.
        commodity: Of the amount.
        memo: Why, for people.

    Raises:
        InputError: the amount is not positive or too large.
    """
    _check_amount(amount_micro, least=1)
    legs = _move(available(account), GRANTS, commodity, amount_micro)
    return adjust(granted, legs, f"grant:{key}", memo=memo)


def hold(
    account: str,
    amount_micro: int,
    attempt: str,
    *,
    job: int = 0,
    commodity: str = CURRENCY,
    memo: str = "",
    details: Sequence[tuple[str, str]] = (),
) -> Draft:
    """Set aside the most that an attempt may cost. Zero is allowed, for a free site.

    Raises:
        InputError: the amount is negative or too large.
    """
    _check_amount(amount_micro, least=0)
    return Draft(
        Kind.HOLD,
        f"hold:{attempt}",
        _move(available(account), held(account), commodity, amount_micro),
        job,
        attempt,
        _clean(memo),
        tuple(details),
    )


def post(
    of: Hold,
    provider: str,
    charges: Sequence[Charge],
    terms: Terms,
    *,
    memo: str = "",
    details: Sequence[tuple[str, str]] = (),
) -> Draft:
    """Settle a hold by what was used: the sum of the charges goes to the provider.

    What the hold exceeds the use by returns to `available`; what the use exceeds the hold by
    is taken from `available`, which may become negative.

    Raises:
        InputError: an item is charged twice, or the sum is out of range.
    """
    used_micro = sum(line.amount_micro for line in charges)
    _check_amount(used_micro, least=0)
    if len({line.item for line in charges}) != len(charges):
        raise InputError("an item is charged twice", where=f"post:{of.attempt}")
    named = (
        ("site", terms.site),
        ("flavor", terms.flavor),
        ("price_version", terms.price_version),
    )
    return Draft(
        Kind.POST,
        f"post:{of.attempt}",
        (
            Leg(held(of.account), of.commodity, -of.amount_micro),
            Leg(available(of.account), of.commodity, of.amount_micro - used_micro),
            Leg(due(provider), of.commodity, used_micro),
        ),
        of.job,
        of.attempt,
        _clean(memo),
        (
            *((name, value) for name, value in named if value),
            *((_CHARGE + line.item, msgspec.json.encode(line).decode()) for line in charges),
            *details,
        ),
    )


def recharged(draft: Draft, charges: Sequence[Charge]) -> Draft:
    """Return a posting with other charges for the same use."""
    used_micro = sum(line.amount_micro for line in charges)
    _check_amount(used_micro, least=0)
    kept, free, owed = draft.legs
    less_micro = owed.amount_micro - used_micro
    lines = [(_CHARGE + line.item, msgspec.json.encode(line).decode()) for line in charges]
    others = [pair for pair in draft.details if not pair[0].startswith(_CHARGE)]
    return replace(
        draft,
        legs=(
            kept,
            replace(free, amount_micro=free.amount_micro + less_micro),
            replace(owed, amount_micro=used_micro),
        ),
        details=(*others, *lines),
    )


def units(quantity: int, per: int) -> str:
    """Return priced units with six decimals, rounded half to even."""
    return str((Decimal(quantity) / per).quantize(_EXACT, ROUND_HALF_EVEN))


def unit_of(item: str) -> str:
    """Return the unit of a charge: of `core_hour-above-1000`, a tier, `core_hour`."""
    return item.partition("-above-")[0]


def void(of: Hold, *, memo: str = "", details: Sequence[tuple[str, str]] = ()) -> Draft:
    """Release a hold of which nothing was used."""
    return Draft(
        Kind.VOID,
        f"void:{of.attempt}",
        _move(held(of.account), available(of.account), of.commodity, of.amount_micro),
        of.job,
        of.attempt,
        _clean(memo),
        tuple(details),
    )


def adjust(corrects: Entry, legs: Sequence[Leg], key: str, *, memo: str = "") -> Draft:
    """Correct an earlier entry by a new one that names it.

    Args:
        corrects: The entry that was wrong; it stays as it is.
        legs: The difference. They must not touch a `held` account: holds are resolved once.
        key: Client's own key.
        memo: Why, for people.

    Raises:
        InputError: a leg touches held money.
    """
    if any(is_held(leg.account) for leg in legs):
        raise InputError("an adjustment cannot touch held money", where=f"adjust:{key}")
    named = (("corrects", corrects.key), ("corrects_seq", str(corrects.seq)))
    return Draft(
        Kind.ADJUST,
        f"adjust:{key}",
        tuple(legs),
        corrects.job,
        corrects.attempt,
        _clean(memo),
        named,
    )


def hold_of(entry: Entry) -> Hold:
    """Return the hold that a HOLD entry made.

    Raises:
        InputError: the entry is no hold of one account and commodity.
    """
    legs = [leg for leg in entry.legs if is_held(leg.account)]
    if entry.kind is not Kind.HOLD or len(legs) != 1:
        raise InputError(f"entry {entry.seq} ({entry.key}) is not a hold")
    leg = legs[0]
    account = leg.account.split(":")[1]
    return Hold(entry.attempt, account, leg.commodity, leg.amount_micro, entry.job)


def charges_of(entry: Entry) -> tuple[Charge, ...]:
    """Return the charges that a posting carries, in their order.

    Raises:
        DamageError: a charge was not written by `post`.
    """
    try:
        return tuple(
            _CHARGES.decode(value) for name, value in entry.details if name.startswith(_CHARGE)
        )
    except msgspec.DecodeError as error:
        raise DamageError(f"a charge is unreadable: {error}", where=f"entry {entry.seq}") from None


def sums(legs: Iterable[Leg]) -> dict[tuple[str, str], int]:
    """Return the change per (account, commodity)."""
    total: dict[tuple[str, str], int] = {}
    for leg in legs:
        place = (leg.account, leg.commodity)
        total[place] = total.get(place, 0) + leg.amount_micro
    return total


def hold_fault(kind: Kind, legs: Sequence[Leg], opened: Sequence[Leg] | None) -> str:
    """Return how an entry breaks "posted + voided = reserved, resolved once"; empty if not.

    Args:
        kind: Of the entry.
        legs: Of the entry.
        opened: Legs of the attempt's unresolved hold; None when there is none.
    """
    if kind is Kind.POST or kind is Kind.VOID:
        return _resolution_fault(kind, legs, opened)
    if kind is Kind.HOLD and opened is None and _keeps(legs):
        return ""
    touched = [leg for leg in legs if is_held(leg.account)]
    if kind is not Kind.HOLD:
        return f"a {kind} touches held money" if touched else ""
    if opened is not None:
        return "its attempt has an open hold already"
    moved = sums(legs)
    for leg in touched:
        source = (leg.account.removesuffix("held") + "available", leg.commodity)
        if leg.amount_micro < 0 or moved.get(source) != -leg.amount_micro:
            return "it does not hold what is available in the same account"
    return "" if touched and len(moved) == 2 * len(touched) else "it holds nothing, or moves more"


def _resolution_fault(kind: Kind, legs: Sequence[Leg], opened: Sequence[Leg] | None) -> str:
    """Return how a post or void fails to resolve its hold; empty when it does."""
    if opened is None:
        return "its attempt has no open hold"
    if _gives_back(legs, opened) and (kind is Kind.POST or len(legs) == 2):
        return ""
    if kind is Kind.POST:
        legs = [leg for leg in legs if is_held(leg.account)]
        opened = [leg for leg in opened if is_held(leg.account)]
    moved, reserved = sums(legs), sums(opened)
    if len(moved) == len(reserved):
        for place, amount in reserved.items():
            if moved.get(place) != -amount:
                break
        else:
            return ""
    return f"it moves {_list(moved)}, its hold moved {_list(reserved)}"


def _keeps(legs: Sequence[Leg]) -> bool:
    """Return whether legs are the usual ones of a hold: what is available, set aside."""
    if len(legs) != 2:
        return False
    free, kept = legs
    return (
        is_held(kept.account)
        and free.account == kept.account.removesuffix("held") + "available"
        and 0 <= kept.amount_micro == -free.amount_micro
        and free.commodity == kept.commodity
    )


def _gives_back(legs: Sequence[Leg], opened: Sequence[Leg]) -> bool:
    """Return whether balanced legs are the usual ones: what a plain hold kept, to its tenant."""
    if len(opened) != 2 or len(legs) < 2:
        return False
    free, kept = opened
    back, rest = legs[0], legs[1]
    place, commodity = kept.account, kept.commodity
    usual = (
        is_held(place)
        and back.account == place
        and rest.account == free.account
        and back.amount_micro == -kept.amount_micro
        and back.commodity == commodity == rest.commodity == free.commodity
    )
    if usual:
        for leg in legs[1:]:
            if is_held(leg.account):
                return False
    return usual


def _list(amounts: dict[tuple[str, str], int]) -> str:
    """Return amounts for a message, such as `5 micro-CNY in tenant:a:held`."""
    texts = (f"{n} micro-{commodity} in {account}" for (account, commodity), n in amounts.items())
    return ", ".join(texts) or "nothing"


def _move(source: str, target: str, commodity: str, amount_micro: int) -> tuple[Leg, ...]:
    """Return the two legs that carry an amount from one account to another."""
    return (Leg(source, commodity, -amount_micro), Leg(target, commodity, amount_micro))


def _check_amount(amount_micro: int, *, least: int) -> None:
    """Refuse an amount outside what every database and export can carry."""
    if not least <= amount_micro <= MAX_MICRO:
        raise InputError(
            f"an amount of {amount_micro} micro-units is out of range",
            hint=f"{least} to {MAX_MICRO} is allowed",
        )


def _clean(memo: str) -> str:
    """Return a memo that is safe to print: users' job names may hold terminal escapes."""
    memo = memo[:MAX_TEXT_CHARS]
    if memo.isprintable():
        return memo
    return "".join(char if char.isprintable() else "\ufffd" for char in memo)
