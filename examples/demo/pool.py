"""The demo's pool: three sites that are shares of this one machine, and say so."""

from __future__ import annotations

from dataclasses import dataclass

NOTE = "a share of one machine, for demonstration"


@dataclass(frozen=True)
class Share:
    """One site of the demo.

    Attributes:
        site: Name.
        provider: Who would own it.
        compute_class: general, ai or super.
        flavor: Name of its one flavor.
        part: Its part of the machine's cores.
        nice: Scheduling weight of its processes; what makes its speed differ from the others'.
        speed: The speed that follows, against the fastest: the kernel's weight for that nice
            value over the weight for nice 0.
        core_hour_cny: Price of a core-hour.
    """

    site: str
    provider: str
    compute_class: str
    flavor: str
    part: float
    nice: int
    speed: float
    core_hour_cny: str


SHARES = (
    Share("guiyang-general", "guiyang-cloud", "general", "g1", 0.25, 4, 0.41, "0.04"),
    Share("guian-ai", "guian-ai-lab", "ai", "a1", 0.25, 2, 0.64, "0.08"),
    Share("qian-super", "qian-supercomputing", "super", "s1", 0.5, 0, 1.0, "0.12"),
)


def config_text(cores: int, memory_bytes: int) -> str:
    """Return the hub's configuration for a machine of so many cores and so much memory."""
    blocks = [
        "[hub]",
        'listen = "127.0.0.1:0"',
        'data = "."',
        "",
        "[account.studio]",
        'credit = "100 CNY"',
        "",
    ]
    for share in SHARES:
        where = f"site.{share.site}"
        blocks += [
            f"[{where}]",
            'driver = "local"',
            f'provider = "{share.provider}"',
            f"settings = {{ nice = {share.nice} }}",
            "",
            f"[{where}.flavor.{share.flavor}]",
            f'class = "{share.compute_class}"',
            f"cpu = {max(0.5, cores * share.part):g}",
            f"memory = {int(memory_bytes * share.part)}",
            f"speed = {share.speed}",
            f'price = {{ core_hour = "{share.core_hour_cny}", memory_gib_hour = "0.005" }}',
            f'note = "{NOTE}"',
            "",
        ]
    return "\n".join(blocks)
