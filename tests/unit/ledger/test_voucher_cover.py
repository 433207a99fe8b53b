"""What vouchers pay of a charge: eligible items, once, and never more than was charged."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.unit.ledger.test_vouchers import charges

from fenglin.catalog.pricebook.items import Unit
from fenglin.catalog.prices import PriceItem
from fenglin.ledger.vouchers.cover import Paid, Source, cover, kind_of

YUAN = 1_000_000
A = Source("a", "1", ("compute",), 1, 1_000 * YUAN)
S = Source("s", "1", ("storage",), 2, 1_000 * YUAN)
ANY = Source("x", "1", ("any",), 3, 1_000 * YUAN)
BOTH = charges(core_hour=60, card_hour=40, storage_tb_month=30)


class TestCover:
    @pytest.mark.parametrize(
        ("could", "paid", "expected"),
        [
            ([A], {}, [("a", 100)]),
            ([S], {}, [("s", 30)]),
            ([A, S, ANY], {}, [("a", 100), ("s", 30)]),
            ([ANY, A], {}, [("x", 130)]),
            # Of 130 the pool for all paid 90: perhaps of compute, so only 10 of it are sure.
            ([A, S], {"x": Paid(("any",), 90 * YUAN)}, [("a", 10)]),
            ([A, S], {"a": Paid(("compute",), 95 * YUAN)}, [("a", 5), ("s", 30)]),
            ([A], {"a": Paid(("compute",), 100 * YUAN)}, []),
            ([replace(A, left_micro=YUAN), replace(A, voucher="2")], {}, [("a", 1), ("a", 99)]),
            ([replace(A, items=("model",))], {}, []),
        ],
    )
    def test_only_eligible_items_are_paid_and_nothing_twice(self, could, paid, expected):
        found = [(one.pool, part // YUAN) for one, part in cover(BOTH, could, paid)]
        assert found == expected

    @settings(max_examples=150, deadline=None)
    @given(
        data=st.lists(
            st.tuples(st.sampled_from(["a", "s", "n", "x", "as"]), st.integers(1, 60)),
            max_size=8,
        ),
        amounts=st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40)),
    )
    def test_what_is_paid_can_be_laid_upon_items_of_each_scheme(self, data, amounts):
        items = {
            "a": ("compute",), "s": ("storage",), "n": ("network",), "x": ("any",),
            "as": ("compute", "storage"),
        }  # fmt: skip
        compute, storage, network = amounts
        billed = charges(core_hour=compute, storage_tb_month=storage, egress_gb=network)
        paid = {}
        for n, (name, yuan) in enumerate(data):
            source = Source(name, str(n), items[name], n, yuan * YUAN)
            for one, part in cover(billed, [source], paid):
                before = paid.get(one.pool, Paid(one.items, 0)).amount_micro
                paid[one.pool] = Paid(one.items, before + part)
        by = {name: paid[name].amount_micro // YUAN if name in paid else 0 for name in items}
        # Hall's condition: every set of kinds is enough for those who may pay for it alone.
        assert by["a"] <= compute
        assert by["s"] <= storage
        assert by["n"] <= network
        assert by["a"] + by["s"] + by["as"] <= compute + storage
        assert sum(by.values()) <= sum(amounts)

    def test_every_item_that_is_charged_is_of_a_kind(self):
        kinds = {one.value: kind_of(one.value) for one in (*PriceItem, *Unit)}
        assert {name for name, kind in kinds.items() if kind != "compute"} == {
            "storage_tb_month",
            "egress_gb",
        }
        assert (kinds["storage_tb_month"], kinds["egress_gb"]) == ("storage", "network")
