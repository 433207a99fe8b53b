"""Budgets, and what accounts were charged in each month, brought along with the ledger."""

from __future__ import annotations

STATEMENTS: tuple[str, ...] = (
    # Written anew from the configuration at each start of the hub, and at each turn of a month.
    """\
CREATE TABLE account_budget (
    account TEXT NOT NULL,
    commodity TEXT NOT NULL,
    span TEXT NOT NULL,
    from_ms INTEGER NOT NULL,
    hard_micro INTEGER,
    soft_micro INTEGER,
    PRIMARY KEY (account, commodity, span)
) STRICT, WITHOUT ROWID""",
    # A cache like that of the balances: it is worked out again when the books' zone changes.
    """\
CREATE TABLE account_charge (
    account TEXT NOT NULL,
    commodity TEXT NOT NULL,
    month_ms INTEGER NOT NULL,
    charged_micro INTEGER NOT NULL,
    PRIMARY KEY (account, commodity, month_ms)
) STRICT, WITHOUT ROWID""",
)
