"""Names of accelerators as other schedulers spell them, made names that our sites compare."""

from __future__ import annotations

import re

from fenglin.catalog.device_facts import DEVICES
from fenglin.catalog.devices import lookup

_VENDOR = re.compile(r"(?:nvidia|geforce|tesla|huawei|ascend-npu)[\s_-]+", re.IGNORECASE)
_PLAIN = re.compile(r"[\s_-]+")
_NAME = re.compile(r"\w[\w ./+-]{0,63}")


def card_model(name: str) -> tuple[str, bool]:
    """Return the name of a card for `accelerators`, and whether it is narrower than the given.

    Exact spellings give the registry's name; a family of which the registry has one member, such
    as `a100`, gives that member and True. Other names stay as they are, without a vendor's name
    in front; an unusable one gives the empty text.
    """
    if not _NAME.fullmatch(name):
        return "", False
    bare = name
    while match := _VENDOR.match(bare):
        bare = bare[match.end() :]
    for spelling in (name, bare):
        device = lookup(spelling)
        if device:
            return device.key, False
    family = _PLAIN.sub("", bare).casefold()
    members = [one.key for one in DEVICES if one.key.casefold().split("-")[0] == family]
    if family and len(members) == 1:
        return members[0], True
    return bare if _NAME.fullmatch(bare) else "", False
