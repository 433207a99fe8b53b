"""Any interleaving of what may be entered, with repeats and refusals, conserves everything."""

from __future__ import annotations

import sqlite3

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fenglin.errors import ConflictError
from fenglin.ledger.accounts import (
    BANK,
    FEE,
    GRANTS,
    available,
    due,
    held,
    tax,
    voucher_budget,
    voucher_reserved,
)
from fenglin.ledger.entry import Leg
from fenglin.ledger.moves import close, deposit, move_voucher, pay, refund, settle
from fenglin.ledger.posting import Hold, Terms, adjust, charge, grant, hold, post, void
from fenglin.ledger.statement import statement as statement_of
from fenglin.ledger.verify import balances, verify
from fenglin.storage import ledger
from fenglin.storage.ledger_schema import LEDGER_DDL

accounts = st.sampled_from(["lab", "team-a"])
providers = st.sampled_from(["gz", "cloud"])
commodities = st.sampled_from(["CNY", "CARD-HOUR"])
amounts = st.integers(0, 10**9)
picks = st.integers(0, 10**6)
pools = st.sampled_from(
    [GRANTS, voucher_budget("spring"), voucher_reserved("spring"), available("lab")]
)


class Ledger(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.conn = sqlite3.connect(":memory:", isolation_level=None)
        self.conn.execute("PRAGMA foreign_keys = ON")
        for statement in LEDGER_DDL:
            self.conn.execute(statement)
        ledger.found(self.conn, "hub-1", 0)
        self.entered = []
        self.holds = {}
        self.resolved = {}
        self.expected = {}
        self.time_ms = 0

    def enter(self, draft):
        self.time_ms += 1
        before = ledger.head(self.conn).seq
        self.conn.execute("BEGIN IMMEDIATE")
        try:
            (entry,) = ledger.append(self.conn, "hub-1", self.time_ms, [draft])
        except ConflictError:
            self.conn.execute("ROLLBACK")
            return None
        self.conn.execute("COMMIT")
        if entry.seq == before:
            return entry
        self.entered.append(draft)
        return entry

    def move(self, account, commodity, amount):
        place = (account, commodity)
        self.expected[place] = self.expected.get(place, 0) + amount

    @rule(account=accounts, commodity=commodities, amount=st.integers(1, 10**9))
    def grant(self, account, commodity, amount):
        key = f"{len(self.entered)}"
        assert self.enter(grant(account, amount, key, commodity=commodity))
        self.move(GRANTS, commodity, -amount)
        self.move(available(account), commodity, amount)

    @rule(account=accounts, commodity=commodities, amount=amounts)
    def hold(self, account, commodity, amount):
        of = Hold(f"a{len(self.holds)}", account, commodity, amount, 1)
        assert self.enter(hold(account, amount, of.attempt, job=1, commodity=commodity))
        self.holds[of.attempt] = of
        self.move(available(account), commodity, -amount)
        self.move(held(account), commodity, amount)

    @rule(account=accounts, commodity=commodities, amount=st.integers(1, 10**9))
    def deposit(self, account, commodity, amount):
        draft = deposit(account, amount, f"{len(self.entered)}", commodity=commodity)
        assert self.enter(draft)
        self.move(BANK, commodity, -amount)
        self.move(available(account), commodity, amount)

    @rule(account=accounts, amount=st.integers(1, 10**9))
    def refund(self, account, amount):
        assert self.enter(refund(account, amount, f"{len(self.entered)}"))
        self.move(available(account), "CNY", -amount)
        self.move(BANK, "CNY", amount)

    @rule(provider=providers, amount=st.integers(1, 10**9))
    def pay(self, provider, amount):
        assert self.enter(pay(provider, amount, f"{len(self.entered)}"))
        self.move(due(provider), "CNY", -amount)
        self.move(BANK, "CNY", amount)

    @rule(provider=providers, fee=amounts, duty=amounts)
    def settle(self, provider, fee, duty):
        shares = [(FEE, fee), (tax("vat"), duty)]
        assert self.enter(settle(provider, f"{len(self.entered)}", shares))
        self.move(due(provider), "CNY", -fee - duty)
        self.move(FEE, "CNY", fee)
        self.move(tax("vat"), "CNY", duty)

    @rule(source=pools, into=pools, amount=st.integers(1, 10**9))
    def voucher(self, source, into, amount):
        if source == into:
            return
        assert self.enter(move_voucher(source, into, amount, f"{len(self.entered)}"))
        self.move(source, "CNY", -amount)
        self.move(into, "CNY", amount)

    @rule()
    def close(self):
        """A closed month moves nothing; whatever comes late is entered after it."""
        assert self.enter(close(f"m{len(self.entered)}"))
        self.move(FEE, "CNY", 0)
        self.move(BANK, "CNY", 0)

    @invariant()
    def statements_add_up(self):
        entries = list(ledger.entries(self.conn))
        for account in ("lab", "team-a"):
            one = statement_of(entries, account, 0, 10**15)
            moved = one.granted_micro + one.deposited_micro - one.refunded_micro
            moved += one.vouchers_micro - one.charged_micro + one.adjusted_micro
            assert moved == one.closing.total_micro

    @precondition(lambda self: self.holds)
    @rule(pick=picks, provider=providers, used=amounts)
    def post(self, pick, provider, used):
        of = list(self.holds.values())[pick % len(self.holds)]
        draft = post(of, provider, [charge("task", used, 1, 1)], Terms("s"))
        entry = self.enter(draft)
        if of.attempt in self.resolved:
            assert (entry is not None) == (self.resolved[of.attempt] == draft)
            return
        self.resolved[of.attempt] = draft
        self.move(held(of.account), of.commodity, -of.amount_micro)
        self.move(available(of.account), of.commodity, of.amount_micro - used)
        self.move(due(provider), of.commodity, used)

    @precondition(lambda self: self.holds)
    @rule(pick=picks)
    def void(self, pick):
        of = list(self.holds.values())[pick % len(self.holds)]
        draft = void(of)
        entry = self.enter(draft)
        if of.attempt in self.resolved:
            assert (entry is not None) == (self.resolved[of.attempt] == draft)
            return
        self.resolved[of.attempt] = draft
        self.move(held(of.account), of.commodity, -of.amount_micro)
        self.move(available(of.account), of.commodity, of.amount_micro)

    @rule(account=accounts, provider=providers, amount=st.integers(-(10**9), 10**9))
    def adjust(self, account, provider, amount):
        legs = [Leg(available(account), "CNY", amount), Leg(due(provider), "CNY", -amount)]
        first = next(ledger.entries(self.conn, limit=1))
        assert self.enter(adjust(first, legs, f"{len(self.entered)}"))
        self.move(available(account), "CNY", amount)
        self.move(due(provider), "CNY", -amount)

    @precondition(lambda self: self.entered)
    @rule(pick=picks)
    def repeat(self, pick):
        before = ledger.head(self.conn)
        assert self.enter(self.entered[pick % len(self.entered)])
        assert ledger.head(self.conn) == before

    @invariant()
    def everything_is_conserved(self):
        entries = list(ledger.entries(self.conn))
        folded = balances(entries)
        assert folded == self.expected
        for commodity in {commodity for _, commodity in folded}:
            assert sum(n for (_, other), n in folded.items() if other == commodity) == 0
        for place, amount in folded.items():
            assert ledger.balance(self.conn, *place) == amount
        still = [of for of in self.holds.values() if of.attempt not in self.resolved]
        assert sum(n for (name, _), n in folded.items() if name.endswith(":held")) == sum(
            of.amount_micro for of in still
        )
        report = ledger.verify_stored(self.conn)
        assert report == verify(entries)
        assert (report.ok, report.open_holds) == (True, len(still))
        for of in self.holds.values():
            expected = of if of in still else None
            assert ledger.open_hold(self.conn, of.attempt) == expected

    def teardown(self):
        self.conn.close()


TestLedger = Ledger.TestCase
TestLedger.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
