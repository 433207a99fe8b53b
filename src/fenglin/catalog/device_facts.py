"""Parts that we know, as data. What is not here is unknown: never guessed.

Peaks are dense, in TFLOPS or TOPS of one part. Rows were collected in the project's notes on the
field; a table that the maker publishes is named as such. An operator adds to them by a file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fenglin.catalog.device import PEAKS, Device, Figure, Grade, Measure, Origin, with_figures

if TYPE_CHECKING:
    from collections.abc import Mapping

_DATE = "2026-11"
_FOREIGN = frozenset({"AMD", "Intel", "NVIDIA"})
_MAKER = (Grade.DECLARED, Origin.MAKER, "maker's data sheet")
# Copies of the maker's figures by others; whoever verifies them against the sheet moves them.
_COPIED = (Grade.DECLARED, Origin.THIRD_PARTY, "copies of the maker's figures, sheet not seen")
_OTHERS = (Grade.DECLARED, Origin.THIRD_PARTY, "third party")
_FLAGPERF = (Grade.MEASURED, Origin.TEST, "FlagPerf, published results")
_FORMULA = (Grade.DECLARED, Origin.OPERATOR, "cores x base clock x FLOP per cycle")
_Evidence = tuple[Grade, Origin, str]


def _figures(evidence: _Evidence, values: Mapping[str, float]) -> tuple[Figure, ...]:
    grade, by, source = evidence
    return tuple(
        Figure(
            measure=Measure(name),
            value=round(value * 1_000) if name in PEAKS else int(value),
            grade=grade,
            by=by,
            source=source,
            date=_DATE,
        )
        for name, value in values.items()
    )


def _part(
    key: str,
    vendor: str,
    *facts: tuple[_Evidence, Mapping[str, float]],
    aliases: tuple[str, ...] = (),
    kubernetes: tuple[str, ...] = (),
    gres: tuple[str, ...] = (),
    cloud: tuple[str, ...] = (),
    note: str = "",
    cpu: bool = False,
) -> Device:
    """Return a part with all its figures."""
    plain = Device(
        key=key,
        vendor=vendor,
        domestic=vendor not in _FOREIGN,
        cpu=cpu,
        aliases=aliases,
        kubernetes=kubernetes,
        gres=gres,
        cloud=cloud,
        note=note,
    )
    return with_figures(
        plain, tuple(one for evidence, values in facts for one in _figures(evidence, values))
    )


_NVIDIA = ("nvidia.com/gpu",)
_A100 = {
    "fp64": 9.7, "fp64_tensor": 19.5, "fp32": 19.5, "tf32": 156, "fp16": 312, "bf16": 312,
    "int8": 624, "memory": 80, "bandwidth": 2_039, "power": 400,
}  # fmt: skip

DEVICES = (
    _part(
        "A100-80", "NVIDIA", (_MAKER, _A100), (_FLAGPERF, {"fp16": 251.5}),
        aliases=("A100-80GB", "A100-SXM4-80GB", "NVIDIA A100-SXM4-80GB"),
        kubernetes=_NVIDIA, gres=("nvidia_a100-sxm4-80gb",), cloud=("p4de.24xlarge",),
    ),
    _part(
        "A800-80", "NVIDIA", (_MAKER, _A100),
        aliases=("A800-80GB", "A800-SXM4-80GB", "NVIDIA A800-SXM4-80GB"),
        kubernetes=_NVIDIA, note="an A100 whose NVLink is cut to 400 GB/s",
    ),
    _part(  # The maker's table shows tensor peaks with sparsity, and says to halve them
        "H100-SXM", "NVIDIA",
        (_COPIED, {"fp64": 34, "fp64_tensor": 67, "fp32": 67, "tf32": 494.5, "fp16": 989.5,
                  "bf16": 989.5, "int8": 1_979, "memory": 80, "bandwidth": 3_350, "power": 700}),
        aliases=("H100-SXM5-80GB", "NVIDIA H100 80GB HBM3"), kubernetes=_NVIDIA,
        gres=("nvidia_h100_80gb_hbm3",), cloud=("p5.48xlarge",),
    ),
    _part(
        "H100-PCIe", "NVIDIA",
        (_COPIED, {"fp64": 26, "fp64_tensor": 51, "fp32": 51, "tf32": 378, "fp16": 756.5,
                  "bf16": 756.5, "int8": 1_513, "memory": 80, "bandwidth": 2_000, "power": 350}),
        aliases=("NVIDIA H100 PCIe",), kubernetes=_NVIDIA,
    ),
    _part(
        "H800", "NVIDIA",
        (_MAKER, {"fp64": 1, "fp32": 67, "tf32": 494.5, "fp16": 989, "bf16": 989,
                  "int8": 1_979, "memory": 80, "bandwidth": 3_350, "power": 700}),
        aliases=("H800-SXM", "H800-80", "NVIDIA H800"), kubernetes=_NVIDIA,
        note="1 TFLOPS FP64: no card for super computing",
    ),
    _part(
        "H20", "NVIDIA",
        (_MAKER, {"fp64": 1, "fp32": 44, "tf32": 74, "fp16": 148, "bf16": 148, "int8": 296,
                  "memory": 96, "bandwidth": 4_000, "power": 400}),
        aliases=("H20-96", "NVIDIA H20"), kubernetes=_NVIDIA,
        note="1 TFLOPS FP64: no card for super computing",
    ),
    _part(
        "RTX4090", "NVIDIA",
        (_MAKER, {"fp32": 83, "fp16": 165, "memory": 24, "bandwidth": 1_008, "power": 450}),
        aliases=("NVIDIA GeForce RTX 4090", "GeForce RTX 4090"), kubernetes=_NVIDIA,
    ),
    _part(
        "L20", "NVIDIA",
        (_MAKER, {"fp64": 0.93, "fp32": 59.35, "memory": 48, "bandwidth": 864, "power": 275}),
        aliases=("NVIDIA L20",), kubernetes=_NVIDIA,
    ),
    _part(
        "Ascend910B", "Huawei",
        (_FLAGPERF, {"fp32": 82.9, "fp16": 313.2, "bf16": 304.3, "int8": 608.6, "memory": 64,
                     "power": 364}),
        aliases=("Atlas 800T A2",),
        note="as in the server 800T A2; parts sold as 910B have 32 or 64 GiB",
    ),
    *(
        _part(
            key, "Huawei", (_OTHERS, {"memory": memory_gib}),
            kubernetes=(f"huawei.com/{key}",), note="one of the parts sold as 910B",
        )
        for key, memory_gib in (
            ("Ascend910B2", 64), ("Ascend910B3", 64), ("Ascend910B4-1", 64), ("Ascend910B4", 32),
        )
    ),
    _part(
        "Ascend910C", "Huawei",
        (_OTHERS, {"fp16": 752, "memory": 128, "bandwidth": 3_200}),
        kubernetes=("huawei.com/Ascend910C",),
        note="one package; a site may show it as two units of 64 GiB",
    ),
    _part(
        "Ascend910A", "Huawei", (_OTHERS, {"fp16": 256, "int8": 512, "memory": 32, "power": 310}),
        (_OTHERS, {"power": 350}), kubernetes=("huawei.com/Ascend910A",),
    ),
    _part(
        "Ascend310P", "Huawei", (_OTHERS, {"int8": 140, "memory": 24}),
        kubernetes=("huawei.com/Ascend310P",),
    ),
    _part(
        "MLU370-X8", "Cambricon",
        (_OTHERS, {"fp16": 96, "int8": 256, "memory": 48, "bandwidth": 614, "power": 250}),
        kubernetes=("cambricon.com/vmlu",),
    ),
    _part(
        "K100_AI", "Hygon", (_OTHERS, {"memory": 64, "power": 400}),
        kubernetes=("hygon.com/dcunum",),
    ),
    _part(
        "BR104", "Biren",
        (_OTHERS, {"fp64": 0, "fp32": 128, "tf32": 256, "fp16": 512, "bf16": 512, "int8": 1_024,
                   "memory": 32, "bandwidth": 819, "power": 300}),
        kubernetes=("birentech.com/gpu",),
    ),
    _part(
        "MTT-S4000", "Moore Threads",
        (_OTHERS, {"fp32": 25, "tf32": 50, "fp16": 100, "bf16": 100, "int8": 200, "memory": 48,
                   "bandwidth": 768, "power": 450}),
        kubernetes=("mthreads.com/vgpu",),
    ),
    _part(
        "BI-V150", "Iluvatar",
        (_FLAGPERF, {"fp32": 38.7, "fp16": 196.5, "bf16": 196.8, "memory": 64, "bandwidth": 590,
                     "power": 350}),
        kubernetes=("iluvatar.ai/BI-V150-vgpu",),
    ),
    _part(
        "C550", "MetaX", (_MAKER, {"memory": 64, "bandwidth": 1_800, "power": 450}),
        aliases=("MXC550", "MetaX C550"), kubernetes=("metax-tech.com/gpu",),
    ),
)  # fmt: skip
"""Accelerators."""

CPUS = (
    _part(
        "EPYC-7763", "AMD",
        (_COPIED, {"cores": 64, "clock": 2_450, "bandwidth": 204, "power": 280}),
        (_FORMULA, {"fp64": 2_508.8 / 1_000, "fp32": 5_017.6 / 1_000}),
        aliases=("AMD EPYC 7763 64-Core Processor", "AMD EPYC 7763"), cpu=True,
        note="16 FP64 operations per core and cycle; eight channels of DDR4-3200",
    ),
    _part(
        "EPYC-7713", "AMD",
        (_COPIED, {"cores": 64, "clock": 2_000, "bandwidth": 204, "power": 225}),
        (_FORMULA, {"fp64": 2.048, "fp32": 4.096}),
        aliases=("AMD EPYC 7713 64-Core Processor", "AMD EPYC 7713"), cpu=True,
        note="16 FP64 operations per core and cycle; eight channels of DDR4-3200",
    ),
    _part(
        "EPYC-7543", "AMD",
        (_COPIED, {"cores": 32, "clock": 2_800, "bandwidth": 204, "power": 225}),
        (_FORMULA, {"fp64": 1.4336, "fp32": 2.8672}),
        aliases=("AMD EPYC 7543 32-Core Processor", "AMD EPYC 7543"), cpu=True,
        note="16 FP64 operations per core and cycle; eight channels of DDR4-3200",
    ),
)  # fmt: skip
"""CPUs, one package each."""

VENDOR_WORDS = {
    "ascend": "Huawei",
    "cuda": "NVIDIA",
    "dcu": "Hygon",
    "mlu": "Cambricon",
    "musa": "Moore Threads",
}
"""Families by which people mean a maker."""
