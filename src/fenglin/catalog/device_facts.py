"""Facts of accelerators, as data. Blank (None) means unknown or not trustworthy: never guessed.

Figures are dense peaks of one card (sparse ones would double them), in GFLOPS or GOPS; FP64 is
the vector peak, without tensor units. Memory is counted in GiB, as makers sell it; a driver may
keep a few hundred MiB of it for itself. The grade says how good the evidence of a row is.
Collected 2026-11 in the project's notes on the field.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Grade(StrEnum):
    """Evidence behind a row: the maker's word, somebody else's, or a published measurement."""

    NOMINAL = "nominal"
    THIRD_PARTY = "third_party"
    MEASURED = "measured"


class Device(Struct, frozen=True, kw_only=True):
    """One model of accelerator.

    Attributes:
        key: Name in the registry, as written in job files and configurations.
        vendor: Maker.
        grade: Evidence behind the figures.
        source: Who said so.
        aliases: Other spellings that mean exactly this model.
        fp64_gflops: Dense FP64 vector peak; 0 when the card has none.
        fp32_gflops: Dense FP32 peak.
        fp16_gflops: Dense FP16 peak.
        int8_gops: Dense INT8 peak.
        memory_gib: Memory of one card.
        bandwidth_gb_s: Memory bandwidth, 10^9 bytes per second.
        power_w: Board power.
    """

    key: str
    vendor: str
    grade: Grade
    source: str
    aliases: tuple[str, ...] = ()
    fp64_gflops: int | None = None
    fp32_gflops: int | None = None
    fp16_gflops: int | None = None
    int8_gops: int | None = None
    memory_gib: int | None = None
    bandwidth_gb_s: int | None = None
    power_w: int | None = None


_MAKER = "maker"
_FLAGPERF = "FlagPerf"
_OTHERS = "third party"

DEVICES = (
    Device(
        key="A100-80", vendor="NVIDIA", grade=Grade.NOMINAL, source=_MAKER,
        aliases=("A100-80GB", "A100-SXM4-80GB", "NVIDIA A100-SXM4-80GB"),
        fp64_gflops=9_700, fp32_gflops=19_500, fp16_gflops=312_000, int8_gops=624_000,
        memory_gib=80, bandwidth_gb_s=2_039, power_w=400,
    ),
    Device(  # An A100 whose NVLink is cut to 400 GB/s
        key="A800-80", vendor="NVIDIA", grade=Grade.NOMINAL, source=_MAKER,
        aliases=("A800-80GB", "A800-SXM4-80GB", "NVIDIA A800-SXM4-80GB"),
        fp64_gflops=9_700, fp32_gflops=19_500, fp16_gflops=312_000, int8_gops=624_000,
        memory_gib=80, bandwidth_gb_s=2_039, power_w=400,
    ),
    Device(  # 1 TFLOPS FP64: no card for super computing
        key="H800", vendor="NVIDIA", grade=Grade.NOMINAL, source=_MAKER,
        aliases=("H800-SXM", "H800-80", "NVIDIA H800"),
        fp64_gflops=1_000, fp32_gflops=67_000, fp16_gflops=989_000, int8_gops=1_979_000,
        memory_gib=80, bandwidth_gb_s=3_350, power_w=700,
    ),
    Device(
        key="H20", vendor="NVIDIA", grade=Grade.NOMINAL, source=_MAKER,
        aliases=("H20-96", "NVIDIA H20"),
        fp64_gflops=1_000, fp32_gflops=44_000, fp16_gflops=148_000, int8_gops=296_000,
        memory_gib=96, bandwidth_gb_s=4_000, power_w=400,
    ),
    Device(
        key="RTX4090", vendor="NVIDIA", grade=Grade.NOMINAL, source=_MAKER,
        aliases=("NVIDIA GeForce RTX 4090", "GeForce RTX 4090"),
        fp32_gflops=83_000, fp16_gflops=165_000,
        memory_gib=24, bandwidth_gb_s=1_008, power_w=450,
    ),
    Device(
        key="L20", vendor="NVIDIA", grade=Grade.NOMINAL, source=_MAKER,
        aliases=("NVIDIA L20",),
        fp64_gflops=930, fp32_gflops=59_350,
        memory_gib=48, bandwidth_gb_s=864, power_w=275,
    ),
    Device(  # The 800T A2 part; other parts sold as "910B" have 32 or 64 GiB
        key="Ascend910B", vendor="Huawei", grade=Grade.MEASURED, source=_FLAGPERF,
        aliases=("Atlas 800T A2",),
        fp32_gflops=82_900, fp16_gflops=313_200, int8_gops=608_600,
        memory_gib=64, power_w=364,
    ),
    Device(  # One package; a site may show it as two units of 64 GiB
        key="Ascend910C", vendor="Huawei", grade=Grade.THIRD_PARTY, source=_OTHERS,
        fp16_gflops=752_000, memory_gib=128, bandwidth_gb_s=3_200,
    ),
    Device(  # Board power is told as 310 to 350 W: left blank
        key="Ascend910A", vendor="Huawei", grade=Grade.THIRD_PARTY, source=_OTHERS,
        fp16_gflops=256_000, int8_gops=512_000, memory_gib=32,
    ),
    Device(
        key="Ascend310P", vendor="Huawei", grade=Grade.THIRD_PARTY, source=_OTHERS,
        int8_gops=140_000, memory_gib=24,
    ),
    Device(
        key="MLU370-X8", vendor="Cambricon", grade=Grade.THIRD_PARTY, source=_OTHERS,
        fp16_gflops=96_000, int8_gops=256_000,
        memory_gib=48, bandwidth_gb_s=614, power_w=250,
    ),
    Device(
        key="K100_AI", vendor="Hygon", grade=Grade.THIRD_PARTY, source=_OTHERS,
        memory_gib=64, power_w=400,
    ),
    Device(
        key="BR104", vendor="Biren", grade=Grade.THIRD_PARTY, source=_OTHERS,
        fp64_gflops=0, fp32_gflops=128_000, fp16_gflops=512_000, int8_gops=1_024_000,
        memory_gib=32, bandwidth_gb_s=819, power_w=300,
    ),
    Device(
        key="MTT-S4000", vendor="Moore Threads", grade=Grade.THIRD_PARTY, source=_OTHERS,
        fp32_gflops=25_000, fp16_gflops=100_000, int8_gops=200_000,
        memory_gib=48, bandwidth_gb_s=768, power_w=450,
    ),
    Device(
        key="BI-V150", vendor="Iluvatar", grade=Grade.MEASURED, source=_FLAGPERF,
        fp32_gflops=38_700, fp16_gflops=196_500,
        memory_gib=64, bandwidth_gb_s=590, power_w=350,
    ),
    Device(
        key="C550", vendor="MetaX", grade=Grade.NOMINAL, source=_MAKER,
        aliases=("MXC550", "MetaX C550"),
        memory_gib=64, bandwidth_gb_s=1_800, power_w=450,
    ),
)  # fmt: skip
