"""What a probe wrote, checked: it comes from a machine that the hub does not own."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from fenglin.errors import InputError

FIGURES_FILE = "probe.json"
FORM = 1
MOST_BYTES = 65_536
_Line = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"\A[^\x00-\x1f\x7f]*\Z")]
_MaybeLine = Annotated[str, Meta(max_length=200, pattern=r"\A[^\x00-\x1f\x7f]*\Z")]


class ProbeFigure(Struct, frozen=True, forbid_unknown_fields=True):
    """One figure.

    Attributes:
        what: A precision for a peak, or such as `memory_copy`.
        value: In `unit`.
        unit: Such as `TFLOPS`.
        how: In words.
    """

    what: _Line
    value: Annotated[float, Meta(ge=0, le=1e9)]
    unit: _Line
    how: _Line


class ProbeGap(Struct, frozen=True, forbid_unknown_fields=True):
    """What was not measured.

    Attributes:
        what: As in `ProbeFigure`.
        why: In words.
    """

    what: _Line
    why: _Line


class ProbeAnswer(Struct, frozen=True, forbid_unknown_fields=True):
    """All that a probe says.

    Attributes:
        probe: Form of the answer; 1.
        node: Name of the machine.
        cpu: Model of its processor; empty when it does not say.
        cores: Cores that the products of matrices used.
        card: Model of the card that was measured; empty for none.
        figures: What was measured.
        missing: What was not, and why.
    """

    probe: int
    node: _Line
    cpu: _MaybeLine
    cores: Annotated[int, Meta(ge=1, le=100_000)]
    card: _MaybeLine
    figures: Annotated[tuple[ProbeFigure, ...], Meta(max_length=100)]
    missing: Annotated[tuple[ProbeGap, ...], Meta(max_length=100)] = ()


def read_answer(data: bytes, where: str) -> ProbeAnswer:
    """Return what a probe says.

    Raises:
        InputError: it is not a probe's answer, or one of another form.
    """
    if len(data) > MOST_BYTES:
        raise InputError(f"a probe's answer has at most {MOST_BYTES} bytes", where=where)
    try:
        found = msgspec.json.decode(data, type=ProbeAnswer)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise InputError(f"not the answer of a probe: {error}", where=where) from error
    if found.probe != FORM:
        raise InputError(
            f"the answer has form {found.probe}, known is {FORM}", where=where,
            hint="run the probe of this version",
        )  # fmt: skip
    if not found.figures:
        raise InputError("the probe measured nothing", where=where)
    return found
