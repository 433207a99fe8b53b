"""What the door says of voucher pools and vouchers."""

from __future__ import annotations

from msgspec import Struct

from fenglin.ledger.vouchers.claim import Application, Step
from fenglin.ledger.vouchers.scheme import Scheme


class PoolAsk(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The pool to open, called `<scheme>-<year>`.

    Attributes:
        year: Whose budget it is, four digits.
        scheme: Its rules, without blanks.
    """

    year: int
    scheme: Scheme


class PoolView(Struct, frozen=True, kw_only=True):
    """A pool; budget = free + reserved + paid.

    Attributes:
        name: `<scheme>-<year>`.
        scheme: Its rules, and where each comes from.
        commodity: Of all amounts.
        budget_micro: Of the year.
        free_micro: What may still be promised.
        reserved_micro: What is promised and not yet used.
        paid_micro: What was used, less what was clawed back.
        waiting: Applications that wait for their round.
        opened_by: Who opened it.
        opened_ms: When.
    """

    name: str
    scheme: Scheme
    commodity: str
    budget_micro: int
    free_micro: int
    reserved_micro: int
    paid_micro: int
    waiting: int
    opened_by: str
    opened_ms: int


class PoolList(Struct, frozen=True, kw_only=True):
    """Pools by name."""

    items: list[PoolView]


class ApplyAsk(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Applications, in the order of filing."""

    applications: tuple[Application, ...]


class VoucherView(Struct, frozen=True, kw_only=True):
    """An application, and the voucher that came of it.

    Attributes:
        pool: Where it was filed.
        id: Of the application and of the voucher.
        account: Who may use it.
        state: `filed`, `refused`, `reserved`, `approved`, `used`, `expired`, `revoked` or
            `clawed-back`.
        verdict: `accepted`, `reduced` or `refused`; empty before the decision.
        reasons: Why it is less than the scheme's ratio of the contract.
        steps: From the contract's price to the voucher's worth.
        commodity: Of all amounts.
        contract_micro: Price of the contract.
        granted_micro: Worth of the voucher at first.
        left_micro: What may still be used.
        used_micro: What has been used.
        clawed_micro: How much of that was taken back.
        valid_to_ms: First moment at which it is void; 0 for none, or before approval.
        filed_by: Who filed it.
        filed_ms: When.
    """

    pool: str
    id: str
    account: str
    state: str
    verdict: str
    reasons: tuple[str, ...]
    steps: tuple[Step, ...]
    commodity: str
    contract_micro: int
    granted_micro: int
    left_micro: int
    used_micro: int
    clawed_micro: int
    valid_to_ms: int
    filed_by: str
    filed_ms: int


class VoucherList(Struct, frozen=True, kw_only=True):
    """Vouchers in the order of filing."""

    items: list[VoucherView]


class TakeBackAsk(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to take back.

    Attributes:
        why: For the auditor.
        key: The same key again takes nothing.
        amount_micro: Only for a clawback: how much of what was used; 0 for everything.
    """

    why: str
    key: str
    amount_micro: int = 0


class UseAsk(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Charges to pay with vouchers.

    Attributes:
        account: Whose charges, and whose vouchers.
        period: Month of the charges, `YYYY-MM`.
        key: The same key again uses nothing.
        amount_micro: How much exactly; 0 for all that can be paid.
        pool: Of the voucher to use; empty for all vouchers.
        voucher: Its id; empty for all vouchers.
    """

    account: str
    period: str
    key: str
    amount_micro: int = 0
    pool: str = ""
    voucher: str = ""


class UsedView(Struct, frozen=True, kw_only=True):
    """What one voucher paid of one posting, named by the key of its entry."""

    pool: str
    voucher: str
    entry: str
    amount_micro: int


class VouchersUsed(Struct, frozen=True, kw_only=True):
    """What was paid; `used_micro` is the sum of the parts."""

    account: str
    period: str
    commodity: str
    used_micro: int
    parts: list[UsedView]


class AuditRow(Struct, frozen=True, kw_only=True):
    """One thing that was decided or done, in the order in which it was entered.

    Attributes:
        time_ms: When.
        act: `open`, `file`, `grant`, `refuse`, `approve`, `use`, `lapse`, `revoke`, `clawback`,
            `return`.
        voucher: Id of the application; empty for the pool.
        account: Whose.
        amount_micro: What it is about.
        who: Who did it; `hub` is the rules, or the clock.
        why: The reasons, or which entry was paid; of a return both.
    """

    time_ms: int
    act: str
    voucher: str
    account: str
    amount_micro: int
    who: str
    why: str


class AuditView(Struct, frozen=True, kw_only=True):
    """A pool's books.

    Attributes:
        pool: As it is now.
        vouchers: Every application with every step of its decision.
        rows: What was done, in order; each voucher's uses as one row unless it was asked for.
        ok: Whether rows, events and the ledger say the same.
        problems: Where they do not.
    """

    pool: PoolView
    vouchers: list[VoucherView]
    rows: list[AuditRow]
    ok: bool
    problems: tuple[str, ...]
