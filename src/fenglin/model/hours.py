"""Hours that an account was granted, or is lent: it pays with them before it pays with money.

A commodity of the ledger for each kind: `CORE-HOUR`, and `CARD.<MODEL>`, card-hours of one model.
An attempt is paid for in one commodity, whole: in hours there is no price, one hour of a core or
card is one. So hours and money are never added, and each has totals of its own.

What pays for a job: core-hours, where it asks for no cards; card-hours of the model that it names,
its cores and memory included. A job that takes any card, and one that is urgent or spot, whose
price is another than that of the hours, is paid for in money.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fenglin.errors import InputError
from fenglin.model.site import Price
from fenglin.quantities.money import MICRO
from fenglin.quantities.shown import shown

if TYPE_CHECKING:
    from fenglin.model.job import AcceleratorNeed

CORE_HOUR = "CORE-HOUR"
_CARD = "CARD."
# What a commodity of the ledger may hold, less the prefix.
_MODEL = re.compile(r"[A-Z0-9](?:[A-Z0-9_-]{0,16}[A-Z0-9])?", re.ASCII)
_MODES = ("", "shared", "exclusive")


def is_hours(commodity: str) -> bool:
    """Return whether a commodity is hours of cores or cards; else it is money."""
    return commodity == CORE_HOUR or commodity.startswith(_CARD)


def card_hours(model: str) -> str:
    """Return the commodity of card-hours of a model.

    Raises:
        InputError: the ledger could not write its name.
    """
    name = model.upper()
    if _MODEL.fullmatch(name) is None:
        raise InputError(
            f"{shown(model)} cannot name card-hours",
            where="model",
            hint="1 to 18 letters, digits, hyphens and underscores, as `fenglin device` lists",
        )
    return _CARD + name


def hours_named(name: str) -> str:
    """Return the commodity of hours as operators name them: `core`, or a model of cards.

    Raises:
        InputError: it is neither.
    """
    return CORE_HOUR if name.lower() == "core" else card_hours(name)


def hours_for(cards_milli: int, accelerator: AcceleratorNeed | None, tariff: str) -> str:
    """Return in which hours a job could be paid for; empty for none.

    Args:
        cards_milli: Cards of a task, thousandths.
        accelerator: Which cards it takes.
        tariff: As `model.site.tariff_of` names it.
    """
    if tariff.rpartition("/")[2] not in _MODES:
        return ""
    if not cards_milli:
        return CORE_HOUR
    model = accelerator.model.upper() if accelerator is not None else ""
    return _CARD + model if _MODEL.fullmatch(model) else ""


def hours_price(usual: Price, commodity: str) -> Price:
    """Return a price in hours, one for one, billed for the quantities of the usual price."""
    cores = MICRO if commodity == CORE_HOUR else 0
    return Price(
        version=usual.version,
        currency=commodity,
        core_hour_micro=cores,
        card_hour_micro=MICRO - cores,
        task_minimum_ms=usual.task_minimum_ms,
        memory_per_core_bytes=usual.memory_per_core_bytes if cores else 0,
        book=usual.book,
    )


def purse(account: str, commodity: str) -> str:
    """Return the name under which an account's hours stand beside its money."""
    return f"{account}:{commodity}"


def of_purse(name: str) -> tuple[str, str]:
    """Return the account and commodity of such a name; the commodity is empty for money."""
    account, _, commodity = name.partition(":")
    return account, commodity
