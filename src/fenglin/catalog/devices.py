"""The device registry: which model a name means, and whether it meets a need."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fenglin.catalog.device_facts import DEVICES
from fenglin.model.reason import Reason

if TYPE_CHECKING:
    from fenglin.catalog.device_facts import Device
    from fenglin.model.job import AcceleratorNeed

_GIB = 2**30
_SPACING = re.compile(r"[\s_-]+")


def _spelling(name: str) -> str:
    """Return a name without case, blanks, hyphens and underscores."""
    return _SPACING.sub("", name).casefold()


_BY_SPELLING = {
    _spelling(name): device for device in DEVICES for name in (device.key, *device.aliases)
}


def lookup(name: str) -> Device | None:
    """Return the device that a name means, in any usual spelling; None when it is unknown."""
    return _BY_SPELLING.get(_spelling(name))


def qualifies(device_name: str, need: AcceleratorNeed) -> Reason | None:
    """Return why cards of a flavor do not meet a need; None when they do.

    A figure that is known to be too small outweighs one that is unknown; an unknown figure is
    never taken for enough.

    Args:
        device_name: Name of the flavor's accelerator; empty when it has none.
        need: What each card must be.
    """
    if not device_name:
        return Reason.NO_ACCELERATOR
    device = lookup(device_name)
    if need.model and not _same(device_name, device, need.model):
        return Reason.ACCELERATOR_MODEL_DIFFERS
    bounds = _bounds(device, need)
    if any(have is not None and have < least for have, least in bounds):
        return Reason.ACCELERATOR_TOO_SMALL
    if any(have is None for have, _ in bounds):
        return Reason.ACCELERATOR_UNKNOWN
    return None


def _same(device_name: str, device: Device | None, model: str) -> bool:
    """Return whether a wanted model is the flavor's; names outside the registry count too."""
    wanted = lookup(model)
    if wanted is not None or device is not None:
        return wanted is device
    return _spelling(device_name) == _spelling(model)


def _bounds(device: Device | None, need: AcceleratorNeed) -> list[tuple[int | None, int]]:
    """Return (known figure or None, least wanted) for every bound that the need sets."""
    memory_gib = device.memory_gib if device else None
    wanted = (
        (None if memory_gib is None else memory_gib * _GIB, need.memory_bytes),
        (device.fp16_gflops if device else None, need.fp16_gflops),
        (device.fp64_gflops if device else None, need.fp64_gflops),
    )
    return [(have, least) for have, least in wanted if least]
