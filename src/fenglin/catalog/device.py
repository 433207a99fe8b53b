"""What the registry says of one part: figures with their evidence, and the names it goes by.

Figures are dense peaks of one part; a sparse one would double them. Two sources that disagree
both stay: `Device.figures` has all, and the plain attributes have the one that rules.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec
from msgspec import Struct


class Grade(StrEnum):
    """How good the evidence of a figure is."""

    DECLARED = "declared"
    VERIFIED = "verified"
    MEASURED = "measured"


class Origin(StrEnum):
    """Who says so: the maker, the operator of this hub, a published test, or somebody else."""

    MAKER = "maker"
    OPERATOR = "operator"
    TEST = "test"
    THIRD_PARTY = "third_party"


class Measure(StrEnum):
    """What a figure is of; the values are also keys of a device file."""

    FP64 = "fp64"
    FP64_TENSOR = "fp64_tensor"
    FP32 = "fp32"
    TF32 = "tf32"
    FP16 = "fp16"
    BF16 = "bf16"
    INT8 = "int8"
    MEMORY = "memory"
    BANDWIDTH = "bandwidth"
    POWER = "power"
    CORES = "cores"
    CLOCK = "clock"


PEAKS = (
    Measure.FP64,
    Measure.FP64_TENSOR,
    Measure.FP32,
    Measure.TF32,
    Measure.FP16,
    Measure.BF16,
    Measure.INT8,
)
# Makers state these with and without sparsity.
SPARSE_ABLE = frozenset({Measure.TF32, Measure.FP16, Measure.BF16, Measure.INT8})
UNITS = {
    **dict.fromkeys(PEAKS, "GFLOPS"),
    Measure.INT8: "GOPS",
    Measure.MEMORY: "GiB",
    Measure.BANDWIDTH: "GB/s",
    Measure.POWER: "W",
    Measure.CORES: "cores",
    Measure.CLOCK: "MHz",
}


class Figure(Struct, frozen=True, kw_only=True):
    """One number and its evidence.

    Attributes:
        measure: What it is of.
        value: In the unit of `UNITS`.
        grade: How good the evidence is.
        by: Who says so.
        source: The document, in words.
        date: When it was taken from there: `YYYY-MM` or `YYYY-MM-DD`.
    """

    measure: Measure
    value: int
    grade: Grade
    by: Origin
    source: str
    date: str


class Device(Struct, frozen=True, kw_only=True):
    """One exact part, an accelerator or a CPU; `describe` makes them.

    None means unknown or not trustworthy: never guessed. The plain figures follow from `figures`.

    Attributes:
        key: Name in the registry, as written in job files and configurations.
        vendor: Maker.
        domestic: Whether its maker is a Chinese one; None where nobody said.
        cpu: Whether it is a CPU.
        aliases: Other spellings that mean exactly this part.
        kubernetes: Extended resources under which clusters offer it.
        gres: Types under which Slurm clusters offer it.
        cloud: Types of cloud machines that have it.
        note: For people.
        figures: All that is known, with its evidence.
        fp64_gflops: Dense FP64 vector peak, without tensor units; 0 when the part has none.
        fp64_tensor_gflops: Dense FP64 peak with tensor units.
        fp32_gflops: Dense FP32 vector peak.
        tf32_gflops: Dense TF32 peak.
        fp16_gflops: Dense FP16 peak.
        bf16_gflops: Dense BF16 peak.
        int8_gops: Dense INT8 peak.
        memory_gib: Memory of one card, in GiB as makers sell it; a driver may keep some.
        bandwidth_gb_s: Memory bandwidth, 10^9 bytes per second.
        power_w: Board or package power.
        cores: Of a CPU.
        clock_mhz: Base clock of a CPU.
    """

    key: str
    vendor: str
    domestic: bool | None = None
    cpu: bool = False
    aliases: tuple[str, ...] = ()
    kubernetes: tuple[str, ...] = ()
    gres: tuple[str, ...] = ()
    cloud: tuple[str, ...] = ()
    note: str = ""
    figures: tuple[Figure, ...] = ()
    fp64_gflops: int | None = None
    fp64_tensor_gflops: int | None = None
    fp32_gflops: int | None = None
    tf32_gflops: int | None = None
    fp16_gflops: int | None = None
    bf16_gflops: int | None = None
    int8_gops: int | None = None
    memory_gib: int | None = None
    bandwidth_gb_s: int | None = None
    power_w: int | None = None
    cores: int | None = None
    clock_mhz: int | None = None

    def value(self, measure: Measure) -> int | None:
        """Return the figure that rules; None when it is unknown."""
        found: int | None = getattr(self, FIELDS[measure])
        return found

    def conflicts(self) -> tuple[Measure, ...]:
        """Return the measures of which two sources say different things.

        A test that reached less than the stated peak contradicts nobody.
        """
        said: dict[Measure, set[int]] = {}
        for figure in self.figures:
            if figure.grade is not Grade.MEASURED:
                said.setdefault(figure.measure, set()).add(figure.value)
        return tuple(measure for measure in Measure if len(said.get(measure, ())) > 1)


FIELDS = {
    Measure.FP64: "fp64_gflops",
    Measure.FP64_TENSOR: "fp64_tensor_gflops",
    Measure.FP32: "fp32_gflops",
    Measure.TF32: "tf32_gflops",
    Measure.FP16: "fp16_gflops",
    Measure.BF16: "bf16_gflops",
    Measure.INT8: "int8_gops",
    Measure.MEMORY: "memory_gib",
    Measure.BANDWIDTH: "bandwidth_gb_s",
    Measure.POWER: "power_w",
    Measure.CORES: "cores",
    Measure.CLOCK: "clock_mhz",
}
# A stated peak outranks what a test reached; then the better evidence, then who is nearer to it.
_GRADES = (Grade.VERIFIED, Grade.DECLARED, Grade.MEASURED)
_ORIGINS = (Origin.MAKER, Origin.OPERATOR, Origin.TEST, Origin.THIRD_PARTY)


def ruling(figures: tuple[Figure, ...], measure: Measure) -> Figure | None:
    """Return the figure that counts; None when there is none.

    Of equally good ones the careful one rules: the smallest, but the largest draw of power.
    """
    known = [figure for figure in figures if figure.measure is measure]
    sign = -1 if measure is Measure.POWER else 1
    return min(
        known,
        key=lambda one: (_GRADES.index(one.grade), _ORIGINS.index(one.by), sign * one.value),
        default=None,
    )


def with_figures(device: Device, figures: tuple[Figure, ...]) -> Device:
    """Return the device with these figures, and what follows from them."""
    found = {field: ruling(figures, measure) for measure, field in FIELDS.items()}
    values = {field: one.value if one is not None else None for field, one in found.items()}
    return msgspec.structs.replace(device, figures=figures, **values)
