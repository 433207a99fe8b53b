"""Calls for voucher pools and vouchers, for `Client.call`, `Client.pages` and their like."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import msgspec

from fenglin.client.requests import API, Call
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

if TYPE_CHECKING:
    from fenglin.client.requests import Filter

_JSON = (("Content-Type", "application/json"),)
_ENCODE = msgspec.json.encode


def list_pools() -> Call[PoolList]:
    """List voucher pools."""
    return Call("GET", f"{API}/voucher-pools", PoolList)


def open_pool(ask: PoolAsk) -> Call[PoolView]:
    """Open a pool for a year."""
    return Call("POST", f"{API}/voucher-pools", PoolView, _JSON, _ENCODE(ask))


def read_pool(pool: str) -> Call[PoolView]:
    """Show a pool."""
    return Call("GET", _pool(pool), PoolView)


def apply(pool: str, ask: ApplyAsk) -> Call[VoucherList]:
    """File applications, all or none."""
    return Call("POST", f"{_pool(pool)}/applications", VoucherList, _JSON, _ENCODE(ask))


def decide_round(pool: str) -> Call[VoucherList]:
    """Decide on what waits in a pool."""
    return Call("POST", f"{_pool(pool)}/round", VoucherList)


def vouchers(cut: Filter) -> Call[Page[VoucherView]]:
    """List applications and vouchers, cut by the filter."""
    return Call("GET", f"{API}/vouchers?{urlencode(cut.query())}", Page[VoucherView])


def approve(pool: str, voucher: str) -> Call[VoucherView]:
    """Let a voucher be used."""
    return Call("POST", f"{_voucher(pool, voucher)}/approve", VoucherView)


def revoke(pool: str, voucher: str, ask: TakeBackAsk) -> Call[VoucherView]:
    """Return what is not used of a voucher to its pool."""
    return Call("POST", f"{_voucher(pool, voucher)}/revoke", VoucherView, _JSON, _ENCODE(ask))


def claw_back(pool: str, voucher: str, ask: TakeBackAsk) -> Call[VoucherView]:
    """Return what was used of a voucher to its pool."""
    return Call("POST", f"{_voucher(pool, voucher)}/clawback", VoucherView, _JSON, _ENCODE(ask))


def use(ask: UseAsk) -> Call[VouchersUsed]:
    """Pay charges of a month with vouchers."""
    return Call("POST", f"{API}/vouchers:use", VouchersUsed, _JSON, _ENCODE(ask), extra_s=60.0)


def audit(pool: str, voucher: str = "") -> Call[AuditView]:
    """Get a pool's books, of one voucher with each of its uses."""
    query = f"?{urlencode({'voucher': voucher})}" if voucher else ""
    return Call("GET", f"{_pool(pool)}/audit{query}", AuditView, extra_s=60.0)


def _pool(pool: str) -> str:
    return f"{API}/voucher-pools/{quote(pool, safe='')}"


def _voucher(pool: str, voucher: str) -> str:
    return f"{_pool(pool)}/vouchers/{quote(voucher, safe='')}"
