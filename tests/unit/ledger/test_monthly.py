"""Totals of all tenants in one pass are those of each tenant's own statement."""

import importlib.util
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from fenglin.storage import ledger, monthly

_SPEC = importlib.util.spec_from_file_location("quick", Path(__file__).parent / "test_quick.py")
quick = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(quick)

FIGURES = (
    "granted_micro", "deposited_micro", "refunded_micro", "vouchers_micro", "charged_micro",
    "adjusted_micro", "opening", "closing",
)  # fmt: skip


@pytest.mark.parametrize("case", range(12))
def test_totals_are_those_of_the_statements(case):
    entries = quick.tampers.story(random.Random(case))
    times = sorted(one.time_ms for one in entries)
    from_ms, to_ms = times[len(times) // 3], times[2 * len(times) // 3] + 1
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as conn:
        quick.stored(conn, entries)
        found = monthly.totals(conn, from_ms, to_ms)
        assert len(found) > 1
        assert sum(one.charged_micro for one in found.values()) > 0
        for account, totals in found.items():
            wanted = ledger.statement(conn, account, from_ms, to_ms)
            for name in FIGURES:
                assert getattr(totals, name) == getattr(wanted, name), (account, name)
