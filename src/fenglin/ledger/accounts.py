"""Names of ledger accounts and commodities.

An account is `root:part[:part…]`. A balance is what its owner may still claim, so it is
positive for tenants, providers and pools, and negative for `hub:grants` and `hub:bank`, where
what they may claim comes from.

    tenant:<account>:available   free to be held
    tenant:<account>:held        set aside for attempts that have not been settled
    provider:<provider>:due      earned by the provider, not yet paid out
    hub:grants                   counterpart of credit on trust and of voucher budgets
    hub:bank                     counterpart of money that came in or went out
    hub:fee                      the hub's own share
    tax:<name>                   owed to an authority
    voucher:<pool>:budget        what a pool may still promise
    voucher:<pool>:reserved      promised to tenants, not yet used
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from fenglin.errors import InputError

GRANTS = "hub:grants"
BANK = "hub:bank"
FEE = "hub:fee"
ROOTS = ("tenant", "provider", "hub", "tax", "voucher")
MAX_PART_CHARS = 128
_HELD = ":held"
_COMMODITY = re.compile(r"[A-Z][A-Z0-9._-]{0,21}[A-Z0-9]", re.ASCII)


def available(account: str) -> str:
    """Return the ledger account of what a tenant's account may still spend."""
    return f"tenant:{_part(account)}:available"


def held(account: str) -> str:
    """Return the ledger account of what is set aside for a tenant's running attempts."""
    return f"tenant:{_part(account)}{_HELD}"


def due(provider: str) -> str:
    """Return the ledger account of what a provider has earned."""
    return f"provider:{_part(provider)}:due"


def tax(name: str) -> str:
    """Return the ledger account of what is owed to an authority."""
    return f"tax:{_part(name)}"


def voucher_budget(pool: str) -> str:
    """Return the ledger account of what a voucher pool may still promise."""
    return f"voucher:{_part(pool)}:budget"


def voucher_reserved(pool: str) -> str:
    """Return the ledger account of what a voucher pool has promised."""
    return f"voucher:{_part(pool)}:reserved"


def is_held(account: str) -> bool:
    """Return whether only holds and their resolution may touch this ledger account."""
    return account.endswith(_HELD) and account.startswith("tenant:")


# The same few names come with every entry; the memory of those found good is bounded.
@lru_cache(maxsize=4096)
def check_account(account: str) -> None:
    """Refuse a name that could be read in two ways.

    Raises:
        InputError: unknown root, no part, or a part `_part` refuses.
    """
    root, *parts = account.split(":")
    if root not in ROOTS or not parts:
        raise InputError(
            f"{account[:80]!r} is not a ledger account",
            hint=f"it starts with {', '.join(root + ':' for root in ROOTS)}",
        )
    for part in parts:
        _part(part)


@lru_cache(maxsize=256)
def check_commodity(commodity: str) -> None:
    """Refuse a commodity that the exports could not write unchanged.

    Raises:
        InputError: it is not 2 to 23 capitals, digits and inner `. _ -`.
    """
    if _COMMODITY.fullmatch(commodity) is None:
        raise InputError(
            f"{commodity[:80]!r} is not a commodity", hint="write capitals, such as CNY"
        )


def _part(part: str) -> str:
    """Return one part of an account name unchanged, or refuse it.

    NFC only: two spellings that look alike must not be two accounts.
    """
    good = (
        0 < len(part) <= MAX_PART_CHARS
        and ":" not in part
        and part.isprintable()
        and part == part.strip()
        and (part.isascii() or unicodedata.is_normalized("NFC", part))
    )
    if not good:
        raise InputError(
            f"{part[:80]!r} cannot be part of a ledger account",
            hint="use 1 to 128 printable characters in NFC, no colon, no space at the ends",
        )
    return part
