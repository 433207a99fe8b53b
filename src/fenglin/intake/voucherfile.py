"""A voucher scheme's rule file: each rule with the document that says it."""

from __future__ import annotations

import re
import tomllib
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from fenglin.errors import InputError
from fenglin.ledger.accounts import available, check_commodity
from fenglin.ledger.vouchers.scheme import (
    ANY_ITEM,
    NO_CAP_MICRO,
    NO_EXPIRY_DAYS,
    WHOLE_BP,
    Fact,
    Ratio,
    Reservation,
    Scheme,
)
from fenglin.quantities.money import parse_money_micro
from fenglin.quantities.shown import shown

T = TypeVar("T")
NONE = "none"
MOST_DAYS = 36_500
_DATE = re.compile(r"[0-9]{4}-(?:0[1-9]|1[0-2])(?:-(?:0[1-9]|[12][0-9]|3[01]))?", re.ASCII)
_PERCENT = re.compile(r"([0-9]{1,3})(?:\.([0-9]{1,2}))?\s*%", re.ASCII)
_NAME = re.compile(r"[a-z][a-z0-9-]{0,47}", re.ASCII)
_Text = Annotated[str, Meta(min_length=1, max_length=300)]


class HeadBlock(Struct, frozen=True, forbid_unknown_fields=True):
    """`[voucher]`.

    Attributes:
        name: Short, such as `hangzhou`; pools are called `<name>-<year>`.
        title: For people.
        commodity: Currency of all amounts.
    """

    name: str
    title: _Text
    commodity: str = "CNY"


class RatioBlock(Struct, frozen=True, forbid_unknown_fields=True):
    """One of `[ratio] value`: the part paid for, from a domestic share on."""

    domestic_from: str
    ratio: str


class RuleBlock(Struct, frozen=True, forbid_unknown_fields=True):
    """Any other table: what a rule says, and who says it.

    Attributes:
        value: Of the rule.
        source: The document, in words.
        date: Of the document, `YYYY-MM` or `YYYY-MM-DD`.
        note: For people.
    """

    value: Any
    source: _Text
    date: str
    note: str = ""


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    voucher: HeadBlock
    budget: RuleBlock | None = None
    reservation: RuleBlock | None = None
    ratio: RuleBlock | None = None
    firm_cap: RuleBlock | None = None
    items: RuleBlock | None = None
    unrelated: RuleBlock | None = None
    once_per_contract: RuleBlock | None = None
    paid_proof: RuleBlock | None = None
    signed_from: RuleBlock | None = None
    valid_days: RuleBlock | None = None
    quota: RuleBlock | None = None


def read_voucher_file(text: str, source: str) -> Scheme:
    """Return the scheme of a rule file; what the file leaves out stays blank.

    Args:
        text: TOML.
        source: Its name, for errors.

    Raises:
        InputError: not TOML, an unknown key, a rule without a source, a value that is none.
    """
    file = read_toml(text, _File, source)
    head = file.voucher
    if not _NAME.fullmatch(head.name):
        raise InputError(
            f"{head.name[:80]!r} cannot name a scheme",
            where=f"{source}: voucher.name",
            hint="small letters, digits and hyphens, 48 at most",
        )
    try:
        check_commodity(head.commodity)
    except InputError as error:
        raise InputError(
            error.what, where=f"{source}: voucher.commodity", hint=error.hint
        ) from None
    return _scheme(_Rules(file, source))


def read_share_bp(value: str, where: str) -> int:
    """Return hundredths of a percent for `30 %`.

    Raises:
        InputError: it is no share of 0 % to 100 %.
    """
    match = _PERCENT.fullmatch(value)
    share_bp = int(match[1]) * 100 + int((match[2] or "").ljust(2, "0")) if match else -1
    if not 0 <= share_bp <= WHOLE_BP:
        raise InputError(
            f"{shown(value)} is no share", where=where, hint='write for example "30 %"'
        )
    return share_bp


def read_amount(value: str, commodity: str, where: str) -> int:
    """Return micro-units.

    Raises:
        InputError: it is no amount of that currency.
    """
    try:
        return parse_money_micro(value, commodity)
    except InputError as error:
        raise InputError(error.what, where=where, hint=error.hint) from error


def read_toml(text: str, kind: type[T], source: str) -> T:
    """Return a TOML text as a struct.

    Raises:
        InputError: not TOML, or not of that form; says where.
    """
    try:
        raw = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # TOML's own errors are ValueErrors
        raise InputError(f"not TOML: {error}", where=source) from error
    return _convert(raw, kind, source)


class _Rules:
    """The rules of a file, read one by one, so that an error says which is wrong."""

    def __init__(self, file: _File, source: str) -> None:
        self.head = file.voucher
        self._file = file
        self._source = source
        self.facts: list[Fact] = []

    def read(self, name: str, kind: type[T], field: str = "") -> T | None:
        """Return a rule's value, None when it is blank; keep where it comes from."""
        block: RuleBlock | None = getattr(self._file, name)
        if block is None:
            return None
        if not _DATE.fullmatch(block.date):
            raise InputError(
                f"{block.date[:40]!r} is no date",
                where=f"{self._source}: {name}.date",
                hint="such as 2026-11",
            )
        self.facts.append(Fact(field or name, block.source, block.date))
        return _convert(block.value, kind, f"{self._source}: {name}.value")

    def money(self, name: str, field: str, *, none: int | None = None) -> int | None:
        """Return a rule's amount in micro-units; `none` is what "none" stands for."""
        value = self.read(name, str, field)
        if value is None:
            return None
        return none if none is not None and value == NONE else self.amount(value, name)

    def amount(self, value: str, name: str) -> int:
        """Return micro-units, of the scheme's currency."""
        return read_amount(value, self.head.commodity, f"{self._source}: {name}.value")

    def quota(self, account: str, value: str) -> tuple[str, int]:
        """Return an account and its part of the budget."""
        try:
            available(account)
        except InputError as error:
            where = f"{self._source}: quota.value"
            raise InputError(error.what, where=where, hint=error.hint) from error
        return account, self.amount(value, "quota")

    def share(self, value: str, where: str) -> int:
        """Return hundredths of a percent."""
        return read_share_bp(value, f"{self._source}: {where}")

    def items(self) -> tuple[str, ...] | None:
        """Return the kinds of items that are paid for."""
        names = self.read("items", tuple[str, ...])
        for name in names or ():
            if not _NAME.fullmatch(name):
                raise InputError(
                    f"{shown(name)} is no kind of item",
                    where=f"{self._source}: items.value",
                    hint=f'such as "compute", or "{ANY_ITEM}"',
                )
        return names

    def day(self, name: str) -> str | None:
        """Return a rule's day, empty for none."""
        value = self.read(name, str)
        if value is None or value == NONE:
            return value if value is None else ""
        if len(value) != len("2026-11-01") or not _DATE.fullmatch(value):
            raise InputError(
                f"{shown(value)} is no day",
                where=f"{self._source}: {name}.value",
                hint='write for example "2026-11-01", or "none"',
            )
        return value

    def days(self, name: str) -> int | None:
        """Return a rule's number of days."""
        value = self.read(name, object)
        if value is None:
            return None
        if value == NONE:
            return NO_EXPIRY_DAYS
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= MOST_DAYS:
            raise InputError(
                f"{str(value)[:80]!r} is no number of days",
                where=f"{self._source}: {name}.value",
                hint=f'1 to {MOST_DAYS}, or "none"',
            )
        return value


def _scheme(rules: _Rules) -> Scheme:
    """Read every rule; the order is that of the facts."""
    ratios = rules.read("ratio", tuple[RatioBlock, ...], "ratios")
    quotas = rules.read("quota", dict[str, str], "quotas")
    return Scheme(
        name=rules.head.name,
        title=rules.head.title,
        commodity=rules.head.commodity,
        budget_micro=rules.money("budget", "budget_micro"),
        reservation=rules.read("reservation", Reservation),
        ratios=None
        if ratios is None
        else tuple(
            Ratio(
                rules.share(one.domestic_from, f"ratio.value[{n}].domestic_from"),
                rules.share(one.ratio, f"ratio.value[{n}].ratio"),
            )
            for n, one in enumerate(ratios)
        ),
        firm_cap_micro=rules.money("firm_cap", "firm_cap_micro", none=NO_CAP_MICRO),
        items=rules.items(),
        unrelated=rules.read("unrelated", bool),
        once_per_contract=rules.read("once_per_contract", bool),
        paid_proof=rules.read("paid_proof", bool),
        signed_from=rules.day("signed_from"),
        valid_days=rules.days("valid_days"),
        quotas=None
        if quotas is None
        else tuple(rules.quota(who, text) for who, text in quotas.items()),
        facts=tuple(rules.facts),
    )


def _convert(raw: object, kind: type[T], where: str) -> T:
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `$")
        raise InputError(
            what,
            where=f"{where}{path.rstrip('`')}",
            hint="see docs/how-to/run-a-voucher-scheme.md",
        ) from error
