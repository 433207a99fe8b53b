"""What one application is entitled to, step by step, each step with its reason."""

from __future__ import annotations

import re
from datetime import date
from enum import StrEnum
from typing import TYPE_CHECKING

from msgspec import Struct

from fenglin.errors import InputError
from fenglin.ledger.vouchers.scheme import ANY_ITEM, WHOLE_BP
from fenglin.quantities.money import MAX_MICRO, format_money
from fenglin.quantities.split import largest_remainder

if TYPE_CHECKING:
    from fenglin.ledger.vouchers.scheme import Rules


class Reason(StrEnum):
    """Why an amount became another. RATIO and ROUNDED are how a scheme reckons; others lower."""

    RATIO = "ratio"
    ROUNDED = "rounded"
    NOT_SIGNED = "not-signed"
    SIGNED_TOO_EARLY = "signed-too-early"
    RELATED_PARTIES = "related-parties"
    SUBSIDISED_ALREADY = "subsidised-already"
    NOT_PAID = "not-paid"
    ITEM_NOT_ELIGIBLE = "item-not-eligible"
    FIRM_CAP = "firm-cap"
    QUOTA = "quota"
    PRO_RATA = "pro-rata"
    BUDGET = "budget"


class Verdict(StrEnum):
    """What became of an application."""

    ACCEPTED = "accepted"
    REDUCED = "reduced"
    REFUSED = "refused"


class Line(Struct, frozen=True):
    """One item of a contract.

    Attributes:
        item: Its kind, such as `compute`, `storage`, `network`.
        amount_micro: Its price.
        domestic_bp: Domestic share of what runs it, in hundredths of a percent.
    """

    item: str
    amount_micro: int
    domestic_bp: int = 0


class Application(Struct, frozen=True, kw_only=True):
    """What a firm asks to be subsidised.

    Attributes:
        id: Unique for ever; the voucher that comes of it has the same.
        account: The tenant's account that will use the voucher.
        firm: Who buys, by credit code: the cap is the firm's, whatever accounts it has.
        seller: Who sells, by credit code.
        contract: The seller's number of the contract.
        signed: Day of signature, `YYYY-MM-DD`; empty when it is not signed.
        lines: What was bought.
        paid_micro: What was paid, as the proof says; 0 without one.
        proof: Where the proof of payment is, such as a SHA-256; empty without one.
        firm_group: Group that controls the buyer; empty for none.
        seller_group: Group that controls the seller; empty for none.
        other_subsidy: Which other subsidy the contract has had; empty for none.
    """

    id: str
    account: str
    firm: str
    seller: str
    contract: str
    signed: str
    lines: tuple[Line, ...]
    paid_micro: int = 0
    proof: str = ""
    firm_group: str = ""
    seller_group: str = ""
    other_subsidy: str = ""

    @property
    def deal(self) -> tuple[str, str]:
        """Return what tells one contract from all others: (seller, number)."""
        return (self.seller, self.contract)

    @property
    def related(self) -> bool:
        """Return whether buyer and seller are one, or of one group."""
        grouped = bool(self.firm_group) and self.firm_group == self.seller_group
        return self.firm == self.seller or grouped


class Step(Struct, frozen=True):
    """One step from the price of a contract to the worth of a voucher.

    Attributes:
        reason: Why.
        before_micro: Amount before it.
        after_micro: Amount after it.
        text: The same for people.
    """

    reason: Reason
    before_micro: int
    after_micro: int
    text: str


class Decision(Struct, frozen=True):
    """What was decided on an application, with everything an auditor needs to do it again.

    Attributes:
        application: As filed.
        granted_micro: Worth of the voucher; 0 when refused.
        steps: From the contract's price to that, in order.
    """

    application: Application
    granted_micro: int
    steps: tuple[Step, ...]

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Return why it is less than the scheme's ratio of the contract; empty if it is not."""
        return tuple(
            step.reason
            for step in self.steps
            if step.reason not in _RECKONING or not step.after_micro
        )

    @property
    def verdict(self) -> Verdict:
        """Return what became of it."""
        if not self.granted_micro:
            return Verdict.REFUSED
        return Verdict.REDUCED if self.reasons else Verdict.ACCEPTED


class Trail:
    """An amount on its way through the rules; what changes it is noted."""

    def __init__(self, amount_micro: int, commodity: str) -> None:
        """Start with the price of a contract."""
        self.amount_micro = amount_micro
        self.steps: list[Step] = []
        self._commodity = commodity

    def to(self, amount_micro: int, reason: Reason, text: str) -> None:
        """Go on with another amount; nothing is noted when it is the same."""
        if amount_micro != self.amount_micro:
            self.steps.append(Step(reason, self.amount_micro, amount_micro, text))
            self.amount_micro = amount_micro

    def at_most(self, limit_micro: int, reason: Reason, what: str) -> None:
        """Lower the amount to what a limit leaves."""
        left_micro = max(0, limit_micro)
        if self.amount_micro > left_micro:
            left = format_money(left_micro, self._commodity)
            self.to(left_micro, reason, f"{what} leaves {left}")


_RECKONING = (Reason.RATIO, Reason.ROUNDED)
MOST_TEXT_CHARS = 200
_TEXTS = (
    "account", "firm", "seller", "contract", "proof", "firm_group", "seller_group",
    "other_subsidy",
)  # fmt: skip
# It stands in addresses and in names of ledger entries.
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


def _is_day(text: str) -> bool:
    try:
        return _DAY.fullmatch(text) is not None and bool(date.fromisoformat(text))
    except ValueError:
        return False


def check_application(asked: Application) -> None:
    """Refuse an application that cannot be judged.

    Raises:
        InputError: a name is missing or cannot be one, an amount or share is out of range, the
            day of signature is none, or no line is there.
    """
    where = f"application {asked.id[:80]}"
    _check_words(asked, where)
    if not asked.lines:
        raise InputError("it names nothing that was bought", where=where, hint="add a line")
    for n, line in enumerate(asked.lines):
        good = 0 < line.amount_micro <= MAX_MICRO and 0 <= line.domestic_bp <= WHOLE_BP
        if not good or not line.item or not line.item.isprintable():
            raise InputError(
                "a line needs an item, a positive price and a domestic share of 0 % to 100 %",
                where=f"{where}: line {n + 1}",
            )
    total = sum(line.amount_micro for line in asked.lines)
    if total > MAX_MICRO or not 0 <= asked.paid_micro <= MAX_MICRO:
        raise InputError("the contract's price or what was paid is out of range", where=where)


def _check_words(asked: Application, where: str) -> None:
    """Refuse names that are missing or cannot be shown, and a day that is none."""
    for name in ("id", "account", "firm", "seller", "contract"):
        if not getattr(asked, name):
            raise InputError(f"the {name} is missing", where=where)
    if _ID.fullmatch(asked.id) is None:
        raise InputError(
            f"{asked.id[:80]!r} cannot name a voucher",
            where="application",
            hint="1 to 64 letters, digits, `.`, `_` and `-`; a letter or digit first",
        )
    for name in _TEXTS:
        text = getattr(asked, name)
        if len(text) > MOST_TEXT_CHARS or not text.isprintable():
            raise InputError(
                f"the {name} is not printable, or longer than {MOST_TEXT_CHARS} characters",
                where=where,
            )
    if asked.signed and not _is_day(asked.signed):
        raise InputError(f"{asked.signed[:40]!r} is no day", where=where, hint="such as 2026-11-01")


def entitle(rules: Rules, asked: Application, *, taken: bool) -> Trail:
    """Return what the contract itself entitles to, before caps and the budget.

    A contract that was paid in part counts by the same part of each line, by the largest
    remainder. Each line's subsidy is cut to the micro-unit: "at most 30 %" is never exceeded.

    Args:
        rules: Of the scheme.
        asked: A checked application.
        taken: Whether this hub knows of a voucher on the contract.
    """
    prices = [line.amount_micro for line in asked.lines]
    trail = Trail(sum(prices), rules.commodity)
    refused = _refusal(rules, asked, taken=taken)
    if refused is not None:
        trail.to(0, *refused)
        return trail
    if rules.paid_proof:
        paid_micro = min(trail.amount_micro, asked.paid_micro if asked.proof else 0)
        prices = list(largest_remainder(paid_micro, prices))
        paid = format_money(paid_micro, rules.commodity)
        trail.to(paid_micro, Reason.NOT_PAID, f"{paid} is proven to be paid")
    counted = [
        (price, line)
        for price, line in zip(prices, asked.lines, strict=True)
        if line.item in rules.items or ANY_ITEM in rules.items
    ]
    wanted = ", ".join(rules.items)
    trail.to(
        sum(price for price, _ in counted),
        Reason.ITEM_NOT_ELIGIBLE,
        f"the scheme pays for: {wanted}",
    )
    parts = [(price, rules.ratio_bp(line.domestic_bp)) for price, line in counted]
    shown = "; ".join(
        f"{bp / 100:g} % of {format_money(price, rules.commodity)}" for price, bp in parts
    )
    trail.to(sum(price * bp // WHOLE_BP for price, bp in parts), Reason.RATIO, shown)
    return trail


def _refusal(rules: Rules, asked: Application, *, taken: bool) -> tuple[Reason, str] | None:
    """Return what rules out the whole contract, the gravest first."""
    if rules.unrelated and asked.related:
        return Reason.RELATED_PARTIES, "buyer and seller are one, or of one group"
    if rules.once_per_contract and asked.other_subsidy:
        return Reason.SUBSIDISED_ALREADY, f"the contract has had {asked.other_subsidy}"
    if rules.once_per_contract and taken:
        return Reason.SUBSIDISED_ALREADY, "a voucher was given on this contract"
    if not asked.signed:
        return Reason.NOT_SIGNED, "the contract is not signed"
    if asked.signed < rules.signed_from:
        return Reason.SIGNED_TOO_EARLY, f"signed {asked.signed}, before {rules.signed_from}"
    return None
