"""Clouds that sell cards and machines apart: which machines may carry which cards.

Google lists the price of its GPUs in rows of their own and leaves them out of the price of the
machines, those built around a GPU (a2, a3, g2 …) included. So a machine with cards costs the sum
of the two, in a zone that has both. Facts from the maker's GPU documentation; how large a host
should be when nobody says so (`SIZES`, and 4 GiB a vCPU) follows SkyPilot, so that answers agree.
"""

from __future__ import annotations

from msgspec import Struct

from fenglin.catalog.offers.columns import MICRO

ATTACHING_PROVIDER = "gcp"
# Whole machines by themselves, whose host costs nothing more.
TPU_PREFIX = "tpu-"
TPU_HOST = "TPU-VM"
GIB_PER_CPU = 4

# Machines that are nothing without their cards: never an offer of their own.
ONLY_HOSTS = ("a2-", "a3-", "a4-", "a4x-", "g2-", "g4-")
TPU_ONLY = "-tpu"

# Card → count → machines built around them.
BUILT_FOR: dict[str, dict[int, tuple[str, ...]]] = {
    "a100": {
        1: ("a2-highgpu-1g",), 2: ("a2-highgpu-2g",), 4: ("a2-highgpu-4g",),
        8: ("a2-highgpu-8g",), 16: ("a2-megagpu-16g",),
    },
    "a100-80gb": {
        1: ("a2-ultragpu-1g",), 2: ("a2-ultragpu-2g",), 4: ("a2-ultragpu-4g",),
        8: ("a2-ultragpu-8g",),
    },
    "l4": {
        1: ("g2-standard-4", "g2-standard-8", "g2-standard-12", "g2-standard-16",
            "g2-standard-32"),
        2: ("g2-standard-24",), 4: ("g2-standard-48",), 8: ("g2-standard-96",),
    },
    "h100": {
        1: ("a3-highgpu-1g",), 2: ("a3-highgpu-2g",), 4: ("a3-highgpu-4g",),
        8: ("a3-highgpu-8g",),
    },
    "h100-mega": {8: ("a3-megagpu-8g",)},
    "h200": {8: ("a3-ultragpu-8g",)},
    "b200": {8: ("a4-highgpu-8g",)},
    "rtxpro6000": {
        1: ("g4-standard-48",), 2: ("g4-standard-96",), 4: ("g4-standard-192",),
        8: ("g4-standard-384",),
    },
}  # fmt: skip

# Card → count → (most vCPUs, most GiB) of an N1 machine that carries them.
LIMITS: dict[str, dict[int, tuple[int, int]]] = {
    "k80": {1: (8, 52), 2: (16, 104), 4: (32, 208), 8: (64, 208)},
    "v100": {1: (12, 78), 2: (24, 156), 4: (48, 312), 8: (96, 624)},
    "t4": {1: (48, 312), 2: (48, 312), 4: (96, 624)},
    "p4": {1: (24, 156), 2: (48, 312), 4: (96, 624)},
    "p100": {1: (16, 104), 2: (32, 208), 4: (96, 624)},
}
FREE_HOSTS = ("n1-standard-", "n1-highmem-", "n1-highcpu-")

# Card → count → vCPUs of a host when neither vCPUs nor memory is asked for.
SIZES: dict[str, dict[int, int]] = {
    "k80": {1: 4, 2: 8, 4: 16, 8: 32},
    "v100": {1: 8, 2: 16, 4: 32, 8: 64},
    "t4": {1: 4, 2: 8, 4: 48},
    "p4": {1: 8, 2: 16, 4: 32},
    "p100": {1: 8, 2: 16, 4: 32},
}


class Host(Struct, frozen=True):
    """One machine in one zone.

    Attributes:
        row: Its place among all rows.
        instance: Its name.
        cpus: vCPUs in millionths; `EMPTY` when unknown.
        memory: GiB in millionths; `EMPTY` when unknown.
    """

    row: int
    instance: str
    cpus: int
    memory: int


def only_host(instance: str) -> bool:
    """Return whether a machine is sold only with cards."""
    return instance.startswith(ONLY_HOSTS) or instance.endswith(TPU_ONLY)


def may_host(instance: str) -> bool:
    """Return whether a machine may carry cards at all."""
    return instance.startswith((*ONLY_HOSTS, *FREE_HOSTS))


def carries(host: Host, card: str, count: int) -> bool:
    """Return whether a machine may carry that many cards.

    Args:
        host: The machine.
        card: Name of the card, in small letters.
        count: Whole cards.
    """
    if card in BUILT_FOR:
        return host.instance in BUILT_FOR[card].get(count, ())
    limit = LIMITS.get(card, {}).get(count)
    return (
        limit is not None
        and host.instance.startswith(FREE_HOSTS)
        and 0 <= host.cpus <= limit[0] * MICRO
        and 0 <= host.memory <= limit[1] * MICRO
    )


def free_choice(card: str) -> bool:
    """Return whether the host of a card is chosen from many, so that its size needs a rule."""
    return card not in BUILT_FOR and not card.startswith(TPU_PREFIX)


def roomy(host: Host, card: str, count: int) -> bool:
    """Return whether a machine is as large as a host is when nobody says how large."""
    cpus = SIZES[card][count]
    return host.cpus >= cpus * MICRO and host.memory >= cpus * GIB_PER_CPU * MICRO
