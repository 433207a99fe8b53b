"""Answers for voucher pools, for the fake hub."""

from fenglin.ledger.vouchers.scheme import Scheme
from fenglin.wire.views import Page
from fenglin.wire.voucher_views import (
    AuditView,
    PoolList,
    PoolView,
    VoucherList,
    VouchersUsed,
    VoucherView,
)

NOW_MS = 1_700_000_000_000
POOL_VIEW = PoolView(
    name="gz-2027", scheme=Scheme(name="gz", title="G"), commodity="CNY", budget_micro=9,
    free_micro=4, reserved_micro=3, paid_micro=2, waiting=0, opened_by="ada", opened_ms=NOW_MS,
)  # fmt: skip
VOUCHER = VoucherView(
    pool="gz-2027", id="a1", account="lab", state="reserved", verdict="accepted", reasons=(),
    steps=(), commodity="CNY", contract_micro=9, granted_micro=3, left_micro=3, used_micro=0,
    clawed_micro=0, valid_to_ms=0, filed_by="ann", filed_ms=NOW_MS,
)  # fmt: skip


class FakeVouchers:
    """Answers for voucher pools."""

    def __init__(self, asked):
        self._asked = asked

    async def pools(self):
        self._asked("voucher_pools")
        return PoolList(items=[POOL_VIEW])

    async def pool(self, name):
        self._asked("voucher_pool", name)
        return POOL_VIEW

    async def open(self, ask, principal):
        self._asked("open_pool", ask.year, ask.scheme.name, principal.name)
        return POOL_VIEW

    async def file(self, pool, asked, principal):
        self._asked("apply", pool, [one.id for one in asked], principal.name)
        return VoucherList(items=[VOUCHER])

    async def round(self, pool, principal):
        self._asked("round", pool, principal.name)
        return VoucherList(items=[VOUCHER])

    async def vouchers(self, listing, principal):
        self._asked("vouchers", listing, principal.name)
        return Page([VOUCHER])

    async def approve(self, pool, voucher, principal):
        self._asked("approve", pool, voucher, principal.name)
        return VOUCHER

    async def take_back(self, pool, voucher, ask, principal, *, used):
        self._asked("take_back", pool, voucher, ask.why, ask.amount_micro, used, principal.name)
        return VOUCHER

    async def use(self, ask, principal):
        self._asked("use", ask.account, ask.period, ask.amount_micro, ask.key, principal.name)
        return VouchersUsed(
            account=ask.account, period=ask.period, commodity="CNY", used_micro=0, parts=[]
        )

    async def audit(self, pool, voucher, principal):
        self._asked("audit", pool, voucher, principal.name)
        return AuditView(pool=POOL_VIEW, vouchers=[VOUCHER], rows=[], ok=True, problems=())
