"""What the door says of accounts, and of the months that were closed."""

from __future__ import annotations

from msgspec import Struct


class BudgetView(Struct, frozen=True, kw_only=True):
    """What an account may use in a span of the books' calendar, of money or of one kind of hours.

    Attributes:
        span: `month`, `quarter` or `year`.
        from_ms: First millisecond of the span.
        to_ms: First millisecond after it.
        hard_micro: No start passes it; null for none.
        soft_micro: People are told when a start passes it; null for none.
        charged_micro: What was charged since the span began.
        held_micro: What is held now; it counts too.
        state: `ok`, `soft` (the soft limit is passed) or `hard` (nothing that costs starts).
    """

    span: str
    from_ms: int
    to_ms: int
    hard_micro: int | None
    soft_micro: int | None
    charged_micro: int
    held_micro: int
    state: str


class HoursView(Struct, frozen=True, kw_only=True):
    """What an account has of one kind of hours.

    Attributes:
        kind: `CORE-HOUR`, or `CARD.<MODEL>` for card-hours of that model.
        available_micro: Millionths of an hour, free to be held; below zero when they are owed.
        held_micro: Set aside for attempts that are not settled.
        credit_limit_micro: How far new holds may take it below zero; 0 where none are lent.
        low_micro: From here down it counts as low.
        standing: `ok`, `low`, `overdue` or `frozen`: then money pays.
        budgets: What may be used of it per span; when a hard limit is used up, money pays.
        room_micro: What new holds may come to by balance, credit limit and budgets; 0: money pays.
            Null from a hub that does not tell.
    """

    kind: str
    available_micro: int
    held_micro: int
    credit_limit_micro: int = 0
    low_micro: int = 0
    standing: str = ""
    budgets: list[BudgetView] = []
    room_micro: int | None = None


class AccountView(Struct, frozen=True, kw_only=True):
    """An account.

    Attributes:
        name: As jobs name it.
        currency: Of all amounts.
        available_micro: Free to be held; below zero when more was used than was held.
        held_micro: Set aside for attempts that are not settled.
        credit_limit_micro: How far new holds may take it below zero; 0 for prepaid.
        low_micro: From here down it counts as low.
        standing: `ok`, `low`, `overdue` or `frozen`.
        budgets: What it may use per span, in money.
        hours: What was granted or is lent in hours, which pay first; never added to money.
        room_micro: What new holds may come to by balance, credit limit and budgets; 0: nothing
            that costs money starts. Null from a hub that does not tell.
    """

    name: str
    currency: str
    available_micro: int
    held_micro: int
    credit_limit_micro: int
    low_micro: int
    standing: str
    budgets: list[BudgetView] = []
    hours: list[HoursView] = []
    room_micro: int | None = None


class AccountList(Struct, frozen=True, kw_only=True):
    """Accounts by name."""

    items: list[AccountView]


class MoneyMove(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Money that came in or went back, or hours that are granted or taken back.

    Attributes:
        amount_micro: More than zero.
        key: Such as the bank's reference; the same key again moves nothing.
        memo: For people.
        hours: Of what hours: `core`, or a model of cards. Empty for money.
    """

    amount_micro: int
    key: str
    memo: str = ""
    hours: str = ""


class MoneyMoved(Struct, frozen=True, kw_only=True):
    """What became of it.

    Attributes:
        entry: Number of the ledger's entry.
        key: Of the entry.
        time_ms: Of the entry; of the first one for a key that came before.
        account: As it stands now.
    """

    entry: int
    key: str
    time_ms: int
    account: AccountView


class CloseAsk(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The month to close, `YYYY-MM`."""

    period: str


class PeriodClosed(Struct, frozen=True, kw_only=True):
    """A closed month.

    Attributes:
        period: `YYYY-MM`.
        zone: Offset from UTC in which the books are kept.
        from_ms: Its first millisecond.
        to_ms: The first millisecond after it.
        entry: Number of the CLOSE entry.
        open_holds: Holds of the month that were open; what they come to is the next month's.
    """

    period: str
    zone: str
    from_ms: int
    to_ms: int
    entry: int
    open_holds: int
