"""A device file: parts and figures that an operator adds to the registry."""

from __future__ import annotations

import re
import tomllib
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from fenglin.catalog.device import (
    PEAKS,
    SPARSE_ABLE,
    Device,
    Figure,
    Grade,
    Measure,
    Origin,
    ruling,
    with_figures,
)
from fenglin.catalog.devices import Registry, registry
from fenglin.errors import InputError

T = TypeVar("T", bound=Struct)
_DATE = re.compile(r"[0-9]{4}-(?:0[1-9]|1[0-2])(?:-(?:0[1-9]|[12][0-9]|3[01]))?", re.ASCII)
_KEY = re.compile(r"\w[\w ./+-]{0,63}")
_MOST_VALUE = 10**9
_SPARSE = "a peak with sparsity doubles what dense work can reach, and is not comparable"


class FigureBlock(Struct, frozen=True, forbid_unknown_fields=True):
    """`[[device.NAME.figure]]`.

    Attributes:
        measure: What it is of.
        value: TFLOPS or TOPS for a peak, GiB, GB/s, W, cores, MHz.
        source: The document, in words.
        date: Of the document.
        grade: How good the evidence is.
        by: Who says so.
        dense: Must be said of a peak that makers also state with sparsity.
    """

    measure: Measure
    value: Annotated[float, Meta(ge=0, le=_MOST_VALUE)]
    source: Annotated[str, Meta(min_length=1, max_length=200)]
    date: str
    grade: Grade = Grade.DECLARED
    by: Origin = Origin.OPERATOR
    dense: bool | None = None


class DeviceBlock(Struct, frozen=True, forbid_unknown_fields=True):
    """`[device.NAME]`.

    Attributes:
        vendor: Maker.
        domestic: Whether it is a Chinese one.
        cpu: Whether it is a CPU.
        aliases: Other spellings that mean exactly this part.
        kubernetes: Extended resources under which clusters offer it.
        gres: Types under which Slurm clusters offer it.
        cloud: Types of cloud machines that have it.
        note: For people.
        figure: What is known of it.
    """

    vendor: Annotated[str, Meta(min_length=1, max_length=64)]
    domestic: bool | None = None
    cpu: bool = False
    aliases: tuple[str, ...] = ()
    kubernetes: tuple[str, ...] = ()
    gres: tuple[str, ...] = ()
    cloud: tuple[str, ...] = ()
    note: str = ""
    figure: tuple[FigureBlock, ...] = ()


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    # Blocks are read one by one, so that an error can say in which it is.
    device: dict[str, dict[str, Any]]


def read_device_file(text: str, source: str, base: Registry | None = None) -> Registry:
    """Return a registry with what a file adds to it.

    Args:
        text: TOML.
        source: Its name, for errors.
        base: What it adds to; the one in use.

    Raises:
        InputError: not TOML, an unknown key, a sparse peak, a name that means another part.
    """
    known = base if base is not None else registry()
    try:
        raw = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # TOML's own errors are ValueErrors
        raise InputError(f"not TOML: {error}", where=source) from error
    file = _convert(raw, _File, source)
    blocks = {
        name: _convert(block, DeviceBlock, f"{source}: device.{name}")
        for name, block in file.device.items()
    }
    try:
        return known.extended([_device(name, block, known) for name, block in blocks.items()])
    except InputError as error:
        where = f"{source}: device.{error.where}"
        raise InputError(error.what, where=where, hint=error.hint) from error


def _convert(raw: object, kind: type[T], where: str) -> T:
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `$.")
        raise InputError(
            what,
            where=".".join(filter(None, (where, path.rstrip("`")))),
            hint="see docs/how-to/keep-the-inventory.md",
        ) from error


def _device(name: str, block: DeviceBlock, known: Registry) -> Device:
    for word in (name, *block.aliases):
        if not _KEY.fullmatch(word):
            raise InputError(f"{word[:80]!r} cannot be a name of a part", where=name)
    part = known.part(name)
    figures = tuple(_figure(one, part, f"{name}.figure[{i}]") for i, one in enumerate(block.figure))
    plain = Device(
        key=name,
        vendor=block.vendor,
        domestic=block.domestic,
        cpu=block.cpu,
        aliases=block.aliases,
        kubernetes=block.kubernetes,
        gres=block.gres,
        cloud=block.cloud,
        note=block.note,
    )
    return with_figures(plain, figures)


def _figure(block: FigureBlock, part: Device | None, where: str) -> Figure:
    if not _DATE.fullmatch(block.date):
        raise InputError(
            f"{block.date[:40]!r} is no date", where=f"{where}.date", hint="such as 2026-11"
        )
    if block.measure in SPARSE_ABLE and not block.dense:
        what = "is said to be sparse" if block.dense is False else "may be sparse"
        raise InputError(
            f"this {block.measure} peak {what}: {_SPARSE}",
            where=f"{where}.dense",
            hint="give the dense peak, and say dense = true",
        )
    value = block.value * 1_000 if block.measure in PEAKS else block.value
    known = ruling(part.figures, block.measure) if part is not None else None
    twice = known is not None and known.value > 0 and round(value) == 2 * known.value
    if known is not None and twice and block.measure in SPARSE_ABLE:
        raise InputError(
            f"this {block.measure} peak is twice the dense one of {known.source}: {_SPARSE}",
            where=f"{where}.value",
            hint="give the dense peak",
        )
    return Figure(
        measure=block.measure,
        value=round(value),
        grade=block.grade,
        by=block.by,
        source=block.source,
        date=block.date,
    )
