from __future__ import annotations

import sqlite3

import pytest

from fenglin.ledger.entry import Entry, genesis, seal
from fenglin.ledger.posting import Hold, Terms, adjust, charge, grant, hold, hold_of, post, void
from fenglin.storage.ledger_schema import LEDGER_DDL

LEDGER = "hub-1"


def chain(drafts, first: Entry | None = None) -> list[Entry]:
    """Seal drafts one after another, behind a genesis."""
    entries = [first or genesis(LEDGER, 1_000)]
    for draft in drafts:
        entries.append(seal(entries[-1].head, draft, entries[-1].time_ms + 10))
    return entries


def story_drafts():
    """One of each kind: a grant, a use below its hold, one above, a release, a correction."""
    small = Hold("hub-1-a1-1", "lab", "CNY", 5_000_000, 7)
    large = Hold("hub-1-a2-1", "lab", "CNY", 1_000, 7)
    unused = Hold("hub-1-a3-1", "lab", "CNY", 300, 8)
    charges = [
        charge("core-hour", 7_200_000, 3_600_000, 80_000),
        charge("card-hour", 1_800_000, 3_600_000, 2_400_000),
    ]
    terms = Terms("site-a", "general", "2024-05/1")
    drafts = [
        grant("lab", 10_000_000, "first", memo="deposit"),
        *(
            hold(of.account, of.amount_micro, of.attempt, job=of.job)
            for of in (small, large, unused)
        ),
        post(small, "gz", charges, terms),
        post(large, "gz", charges[:1], terms, memo="over the hold"),
        void(unused),
    ]
    wrong = chain(drafts)[5]
    back = [(leg.account, -1_000) for leg in wrong.legs if leg.account.startswith("provider")]
    legs = [type(wrong.legs[0])(account, "CNY", amount) for account, amount in back]
    legs.append(type(wrong.legs[0])("tenant:lab:available", "CNY", 1_000))
    return [*drafts, adjust(wrong, legs, "goodwill", memo="the site was slow")]


@pytest.fixture
def sealed():
    return chain


@pytest.fixture
def story() -> list[Entry]:
    entries = chain(story_drafts())
    assert hold_of(entries[2]).amount_micro == 5_000_000
    return entries


@pytest.fixture
def conn():
    with_ledger = sqlite3.connect(":memory:", isolation_level=None)
    with_ledger.execute("PRAGMA foreign_keys = ON")
    for statement in LEDGER_DDL:
        with_ledger.execute(statement)
    yield with_ledger
    with_ledger.close()
