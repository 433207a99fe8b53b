"""Price lists and chains of tasks, from files."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from fenglin.catalog.offers.catalogue import build
from fenglin.catalog.offers.chain import ChainTask
from fenglin.catalog.offers.columns import MICRO, parse_micro
from fenglin.catalog.offers.egress import FREE, EgressTable, read_egress_csv
from fenglin.catalog.offers.need import OfferNeed, alternatives, parse_bound
from fenglin.catalog.offers.read import read_skypilot_csv
from fenglin.errors import InputError, InputProblems
from fenglin.intake.limits import MAX_DOCUMENT_BYTES
from fenglin.intake.read_yaml import read_yaml

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fenglin.catalog.offers.catalogue import Catalogue
    from fenglin.catalog.offers.columns import Sheet

MAX_CHAIN_TASKS = 10_000
_SECONDS_PER_HOUR = 3_600


def load_catalogue(
    files: Sequence[str], provider_of: Sequence[str], *, strict: bool
) -> tuple[Catalogue, tuple[Sheet, ...]]:
    """Return the offers of price lists, and the lists themselves.

    Args:
        files: Their paths; `.gz` ones are unpacked on the way.
        provider_of: `FILE=NAME`, for lists that do not say whose they are.
        strict: Whether one bad row refuses its list.

    Raises:
        InputError: a file cannot be read, or a word is no `FILE=NAME` of one of the files.
        InputProblems: everything that is wrong in the first wrong list.
    """
    providers = {}
    for word in provider_of:
        file, equals, name = word.rpartition("=")
        if not equals or not name or file not in files:
            raise InputError(
                f"{word!r} names no provider of a list",
                where="--provider-of",
                hint="write FILE=NAME, FILE as after --catalogue",
            )
        providers[file] = name
    sheets = []
    for file in files:
        with _opened(file, "price list") as lines:
            sheets.append(read_skypilot_csv(lines, providers.get(file, ""), file, strict=strict))
    return build(sheets), tuple(sheets)


def load_egress(file: str) -> EgressTable:
    """Return prices of moving data; free when no file is named.

    Raises:
        InputError: the file cannot be read.
        InputProblems: everything that is wrong in it.
    """
    if not file:
        return FREE
    with _opened(file, "egress table") as lines:
        return read_egress_csv(lines, file)


@contextmanager
def _opened(file: str, what: str) -> Iterator[TextIO]:
    """Yield the lines of a file, unpacked if its name ends in .gz.

    Bytes that are no UTF-8 become characters that no name may have, so that the reader can say
    in which line they stand.
    """
    opener = gzip.open if file.endswith(".gz") else open
    try:
        with opener(file, "rt", encoding="utf-8", errors="surrogateescape", newline="") as lines:
            yield lines
    except (OSError, EOFError, zlib.error) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"the {what} cannot be read: {why}", where=file, hint="nothing of it was used"
        ) from error


class _Task(Struct, forbid_unknown_fields=True, frozen=True):
    """One task of a chain, as its file has it."""

    hours: int | float | str
    name: str = ""
    accelerators: str = ""
    any_of: tuple[str, ...] = ()
    cpus: int | float | str | None = None
    memory: int | float | str | None = None
    providers: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    spot: bool = False
    max_price: int | float | str | None = None
    nodes: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    output_gb: int | float | str = 0


class _Chain(Struct, forbid_unknown_fields=True, frozen=True):
    """The file."""

    tasks: tuple[_Task, ...]


def load_chain(file: str) -> list[ChainTask]:
    """Return the tasks of a chain's file.

    Raises:
        InputError: it cannot be read, or a field is wrong; says which.
        InputProblems: it is no YAML.
    """
    try:
        with Path(file).open("rb") as opened:
            data = opened.read(MAX_DOCUMENT_BYTES + 1)
        text = data.decode()
    except OSError as error:
        raise InputError(f"the chain cannot be read: {error.strerror}", where=file) from error
    except UnicodeDecodeError as error:
        raise InputError("the chain is not UTF-8", where=file) from error
    if len(data) > MAX_DOCUMENT_BYTES:
        raise InputError("the chain is longer than 1 MiB", where=file)
    trees = read_yaml(text)
    problems = tuple(problem for tree in trees for problem in tree.problems)
    if problems:
        raise InputProblems(file, problems)
    try:
        found = msgspec.convert(trees[0].data if trees else None, _Chain)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `$.")
        known = ", ".join(field.name for field in msgspec.structs.fields(_Task))
        where = ": ".join(filter(None, (file, path.rstrip("`"))))
        raise InputError(what, where=where, hint=f"`tasks:` is a list with {known}") from error
    if len(trees) > 1 or len(found.tasks) > MAX_CHAIN_TASKS:
        raise InputError(f"one document of at most {MAX_CHAIN_TASKS} tasks, please", where=file)
    return [_task(task, i, file) for i, task in enumerate(found.tasks)]


def _task(task: _Task, i: int, file: str) -> ChainTask:
    """Return one task, its words understood."""
    where = f"{file}: tasks[{i}]"
    name = task.name or f"task {i}"
    try:
        need = make_need(
            cpus=task.cpus,
            memory=task.memory,
            providers=task.providers,
            regions=task.regions,
            spot=task.spot,
            max_price=task.max_price,
        )
        cards = tuple(filter(None, (task.accelerators, *task.any_of)))
        seconds = amount_micro(task.hours, "hours") * _SECONDS_PER_HOUR // MICRO
        output = amount_micro(task.output_gb, "output_gb") // 1_000
        return ChainTask(
            name=name,
            needs=alternatives(cards, need),
            runtime_s=seconds,
            nodes=task.nodes,
            output_milli_gb=output,
        )
    except InputError as error:
        at = f"{where}.{error.where}" if error.where else where
        raise InputError(error.what, where=at, hint=error.hint) from error


def amount_micro(value: float | str, where: str) -> int:
    """Return millionths of a plain amount.

    Raises:
        InputError: it is none.
    """
    read = None if isinstance(value, bool) else parse_micro(str(value))
    if read is None:
        raise InputError(f"{str(value)[:80]!r} is no amount", where=where, hint="such as 2 or 0.5")
    return read[0]


def make_need(
    *,
    cpus: float | str | None,
    memory: float | str | None,
    providers: Sequence[str] = (),
    regions: Sequence[str] = (),
    spot: bool = False,
    max_price: float | str | None = None,
) -> OfferNeed:
    """Return what is asked for besides accelerators.

    Raises:
        InputError: a word cannot be understood.
    """
    need = OfferNeed(providers=tuple(providers), regions=tuple(regions), spot=spot)
    if cpus not in (None, ""):
        need = replace(need, cpus=parse_bound(cpus or 0, "cpus"))
    if memory not in (None, ""):
        need = replace(need, memory=parse_bound(memory or 0, "memory"))
    if max_price not in (None, ""):
        need = replace(need, most_micro=amount_micro(max_price or 0, "max_price"))
    return need
