"""The device registry: which part a name means, and whether it meets a need."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fenglin.catalog.device import Measure, with_figures
from fenglin.catalog.device_facts import CPUS, DEVICES, VENDOR_WORDS
from fenglin.errors import InputError
from fenglin.model.reason import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fenglin.catalog.device import Device
    from fenglin.model.job import AcceleratorNeed

_GIB = 2**30
_SPACING = re.compile(r"[\s_-]+")


def _spelling(name: str) -> str:
    """Return a name without case, blanks, hyphens and underscores."""
    return _SPACING.sub("", name).casefold()


class Registry:
    """All parts that are known, by any usual spelling."""

    def __init__(self, devices: Iterable[Device]) -> None:
        """Take the parts.

        Raises:
            InputError: one spelling would mean two parts.
        """
        self.devices = tuple(devices)
        self._by_spelling: dict[str, Device] = {}
        for device in self.devices:
            for name in (device.key, *device.aliases):
                known = self._by_spelling.setdefault(_spelling(name), device)
                if known is not device:
                    raise InputError(
                        f"{name!r} would mean both {known.key} and {device.key}",
                        where=device.key,
                        hint="a spelling means one part",
                    )
        self.vendors = {_spelling(device.vendor): device.vendor for device in self.devices}

    def part(self, name: str) -> Device | None:
        """Return the part that a name means, accelerator or CPU; None when it is unknown."""
        return self._by_spelling.get(_spelling(name))

    def vendor(self, name: str) -> str | None:
        """Return the maker that a name or a family such as `ascend` means."""
        word = _spelling(name)
        return self.vendors.get(word) or VENDOR_WORDS.get(word)

    def extended(self, devices: Iterable[Device]) -> Registry:
        """Return the registry with more parts, and with more figures of those it has.

        Raises:
            InputError: a name would mean two parts, or a known part got another maker.
        """
        parts = {device.key: device for device in self.devices}
        for device in devices:
            known = self.part(device.key)
            if known is None:
                parts[device.key] = device
                continue
            if _spelling(known.vendor) != _spelling(device.vendor):
                raise InputError(
                    f"{known.key} is made by {known.vendor}, not by {device.vendor}",
                    where=device.key,
                )
            parts[known.key] = _merged(known, device)
        return Registry(parts.values())


def _merged(known: Device, more: Device) -> Device:
    """Return a part with what a second source adds; nothing that was there is lost."""
    from msgspec.structs import replace  # noqa: PLC0415 - only for an operator's file

    both = {
        name: tuple(dict.fromkeys((*getattr(known, name), *getattr(more, name))))
        for name in ("aliases", "kubernetes", "gres", "cloud", "figures")
    }
    figures = both.pop("figures")
    note = "; ".join(filter(None, (known.note, more.note)))
    return with_figures(replace(known, note=note, **both), figures)


BUILT_IN = Registry((*DEVICES, *CPUS))
_in_use = [BUILT_IN]


def registry() -> Registry:
    """Return the registry of this process."""
    return _in_use[0]


def use(other: Registry) -> None:
    """Answer from another registry from now on; called once, before anything is asked."""
    _in_use[0] = other


def lookup(name: str) -> Device | None:
    """Return the accelerator that a name means, in any usual spelling; None when unknown."""
    device = _in_use[0].part(name)
    return None if device is None or device.cpu else device


def qualifies(device_name: str, need: AcceleratorNeed) -> Reason | None:
    """Return why cards of a flavor do not meet a need; None when they do.

    What is known to be wrong outweighs what is unknown; an unknown figure is never taken for
    enough.

    Args:
        device_name: Name of the flavor's accelerator; empty when it has none.
        need: What each card must be.
    """
    if not device_name:
        return Reason.NO_ACCELERATOR
    device = lookup(device_name)
    if need.model and not _same(device_name, device, need.model):
        return Reason.ACCELERATOR_MODEL_DIFFERS
    if need.vendor and device is not None and not same_vendor(device.vendor, need.vendor):
        return Reason.ACCELERATOR_VENDOR_DIFFERS
    if need.domestic and device is not None and device.domestic is False:
        return Reason.ACCELERATOR_NOT_DOMESTIC
    bounds = _bounds(device, need)
    if any(have is not None and have < least for have, least in bounds):
        return Reason.ACCELERATOR_TOO_SMALL
    if need.vendor and device is None:
        return Reason.ACCELERATOR_UNKNOWN
    if need.domestic and (device is None or not device.domestic):
        return Reason.ACCELERATOR_UNKNOWN
    if any(have is None for have, _ in bounds):
        return Reason.ACCELERATOR_UNKNOWN
    return None


def same_vendor(vendor: str, wanted: str) -> bool:
    """Return whether a wanted maker or family is this maker."""
    word = _spelling(wanted)
    return _spelling(VENDOR_WORDS.get(word, word)) == _spelling(vendor)


def shortfalls(device: Device, need: AcceleratorNeed) -> list[str]:
    """Return in words all that keeps a part from meeting a need; empty when it does."""
    found = []
    if need.model and lookup(need.model) is not device:
        found.append(f"it is not {need.model}")
    if need.vendor and not same_vendor(device.vendor, need.vendor):
        found.append(f"it is made by {device.vendor}, not by {need.vendor}")
    if need.domestic and not device.domestic:
        found.append("it is not domestic" if device.domestic is False else "its origin is unknown")
    for measure, least, unit in (
        (Measure.MEMORY, -(-need.memory_bytes // _GIB), "GiB"),
        (Measure.FP16, need.fp16_gflops, "GFLOPS"),
        (Measure.FP64, need.fp64_gflops, "GFLOPS"),
    ):
        have = device.value(measure)
        if least and have is None:
            found.append(f"its {measure} is unknown")
        elif least and have is not None and have < least:
            found.append(f"its {measure} is {have:,} {unit}, less than {least:,}")
    return found


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
