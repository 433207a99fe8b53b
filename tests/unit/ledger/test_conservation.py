"""Any interleaving of what may be entered, with repeats and refusals, conserves everything."""

from __future__ import annotations

import sqlite3

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fenglin.errors import ConflictError
from fenglin.ledger.accounts import GRANTS, available, due, held
from fenglin.ledger.entry import Leg
from fenglin.ledger.posting import Hold, Terms, adjust, charge, grant, hold, post, void
from fenglin.ledger.verify import balances, verify
from fenglin.storage import ledger
from fenglin.storage.ledger_schema import LEDGER_DDL

accounts = st.sampled_from(["lab", "team-a"])
providers = st.sampled_from(["gz", "cloud"])
commodities = st.sampled_from(["CNY", "CARD-HOUR"])
amounts = st.integers(0, 10**9)
picks = st.integers(0, 10**6)


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
