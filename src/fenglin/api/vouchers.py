"""Routes of voucher pools and vouchers."""

from __future__ import annotations

from litestar import get, post
from litestar.params import FromPath

from fenglin.api import query
from fenglin.api.caller import Asked, desk_of, inlet_of, needs, query_of
from fenglin.api.reading import read_body
from fenglin.wire.views import Page
from fenglin.wire.voucher_views import (
    ApplyAsk,
    AuditView,
    PoolAsk,
    PoolList,
    PoolView,
    TakeBackAsk,
    UseAsk,
    VoucherList,
    VouchersUsed,
    VoucherView,
)

_VOUCHERS = ["vouchers"]


@get(
    "/v1/voucher-pools",
    opt=needs("read"),
    tags=_VOUCHERS,
    operation_id="listVoucherPools",
    summary="List voucher pools",
)
async def list_pools(request: Asked) -> PoolList:
    """List the pools with their rules, and what is free, promised and paid of each budget."""
    return await desk_of(request).hub.books.vouchers.pools()


@post(
    "/v1/voucher-pools",
    opt=needs("admin"),
    status_code=201,
    tags=_VOUCHERS,
    operation_id="openVoucherPool",
    summary="Open a voucher pool",
)
async def open_pool(request: Asked) -> PoolView:
    """Open a scheme's pool of a year; the same rules again change nothing."""
    ask = read_body(await inlet_of(request).read(), PoolAsk)
    return await desk_of(request).hub.books.vouchers.open(ask, request.user)


@get(
    "/v1/voucher-pools/{pool:str}",
    opt=needs("read"),
    tags=_VOUCHERS,
    operation_id="showVoucherPool",
    summary="Show a voucher pool",
)
async def show_pool(request: Asked, pool: FromPath[str]) -> PoolView:
    """Show one pool."""
    return await desk_of(request).hub.books.vouchers.pool(pool)


@post(
    "/v1/voucher-pools/{pool:str}/applications",
    opt=needs("write"),
    status_code=201,
    tags=_VOUCHERS,
    operation_id="applyForVouchers",
    summary="Apply for vouchers",
)
async def apply(request: Asked, pool: FromPath[str]) -> VoucherList:
    """File applications, all or none; the same application again changes nothing."""
    ask = read_body(await inlet_of(request).read(), ApplyAsk)
    return await desk_of(request).hub.books.vouchers.file(pool, ask.applications, request.user)


@post(
    "/v1/voucher-pools/{pool:str}/round",
    opt=needs("admin"),
    status_code=200,
    tags=_VOUCHERS,
    operation_id="decideVoucherRound",
    summary="Decide on what waits",
)
async def decide_round(request: Asked, pool: FromPath[str]) -> VoucherList:
    """Decide together on all applications that wait in a pool that is divided pro rata."""
    return await desk_of(request).hub.books.vouchers.round(pool, request.user)


@get(
    "/v1/voucher-pools/{pool:str}/audit",
    opt=needs("read", query.AUDIT),
    tags=_VOUCHERS,
    operation_id="auditVoucherPool",
    summary="Audit a voucher pool",
)
async def audit(request: Asked, pool: FromPath[str]) -> AuditView:
    """Return every decision with its reason, who did what, and whether the ledger agrees."""
    voucher = query_of(request).text("voucher")
    return await desk_of(request).hub.books.vouchers.audit(pool, voucher, request.user)


@post(
    "/v1/voucher-pools/{pool:str}/vouchers/{voucher:str}/approve",
    opt=needs("admin"),
    status_code=200,
    tags=_VOUCHERS,
    operation_id="approveVoucher",
    summary="Approve a voucher",
)
async def approve(request: Asked, pool: FromPath[str], voucher: FromPath[str]) -> VoucherView:
    """Let a voucher be used; its time begins. Repeating is harmless."""
    return await desk_of(request).hub.books.vouchers.approve(pool, voucher, request.user)


@post(
    "/v1/voucher-pools/{pool:str}/vouchers/{voucher:str}/revoke",
    opt=needs("admin"),
    status_code=200,
    tags=_VOUCHERS,
    operation_id="revokeVoucher",
    summary="Revoke a voucher",
)
async def revoke(request: Asked, pool: FromPath[str], voucher: FromPath[str]) -> VoucherView:
    """Return what is not used of a voucher to its pool."""
    ask = read_body(await inlet_of(request).read(), TakeBackAsk)
    return await desk_of(request).hub.books.vouchers.take_back(
        pool, voucher, ask, request.user, used=False
    )


@post(
    "/v1/voucher-pools/{pool:str}/vouchers/{voucher:str}/clawback",
    opt=needs("admin"),
    status_code=200,
    tags=_VOUCHERS,
    operation_id="clawBackVoucher",
    summary="Claw back a voucher",
)
async def claw_back(request: Asked, pool: FromPath[str], voucher: FromPath[str]) -> VoucherView:
    """Return what was used of a voucher to its pool; the tenant owes it again."""
    ask = read_body(await inlet_of(request).read(), TakeBackAsk)
    return await desk_of(request).hub.books.vouchers.take_back(
        pool, voucher, ask, request.user, used=True
    )


@get(
    "/v1/vouchers",
    opt=needs("read", query.VOUCHERS),
    tags=_VOUCHERS,
    operation_id="listVouchers",
    summary="List vouchers",
)
async def list_vouchers(request: Asked) -> Page[VoucherView]:
    """List applications and vouchers in the order of filing; a tenant sees its own."""
    listing = query_of(request).listing()
    return await desk_of(request).hub.books.vouchers.vouchers(listing, request.user)


@post(
    "/v1/vouchers:use",
    opt=needs("admin"),
    status_code=200,
    tags=_VOUCHERS,
    operation_id="useVouchers",
    summary="Pay charges with vouchers",
)
async def use(request: Asked) -> VouchersUsed:
    """Pay charges of a month that no voucher has paid; the same key again uses nothing."""
    ask = read_body(await inlet_of(request).read(), UseAsk)
    return await desk_of(request).hub.books.vouchers.use(ask, request.user)


ROUTES = (
    list_pools,
    open_pool,
    show_pool,
    apply,
    decide_round,
    audit,
    approve,
    revoke,
    claw_back,
    list_vouchers,
    use,
)
