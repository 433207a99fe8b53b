"""A workload as a user names it: a file, or `synthetic:NAME` for a generator."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fenglin.errors import InputError
from fenglin.simulator.readers.registry import AUTO, read
from fenglin.simulator.shake import shake
from fenglin.simulator.synthetic.registry import generate

if TYPE_CHECKING:
    from fenglin.simulator.workload import Workload

SYNTHETIC = "synthetic:"


@dataclass(frozen=True, slots=True)
class Source:
    """What a workload is made of; plain values, so that it can go to another process.

    Attributes:
        name: Path of a trace, or `synthetic:NAME`.
        kind: Format of the trace; `auto` to recognise it.
        jobs: Most jobs; 0 for all of a trace, or the default number of a generator.
        seed: Of a generator, or of the shaking of a trace.
        shake_ms: How far a trace's arrivals are moved; see `simulator.shake`.
        load: Share of the capacity that a generator asks for; 0 for its own.
        options: Of the format or the generator, by name.
        strict: Whether anything wrong in a trace is an error.
    """

    name: str
    kind: str = AUTO
    jobs: int = 0
    seed: int = 0
    shake_ms: int = 0
    load: float = 0.0
    options: dict[str, str] = field(default_factory=dict)
    strict: bool = False


def open_source(source: Source, default_jobs: int) -> Workload:
    """Return the workload.

    Args:
        source: What the user named.
        default_jobs: Of a generator, when no number is given.

    Raises:
        InputError: it is of no known kind, or has an option that its kind does not know.
        FenglinError: see `readers.registry.read` and `synthetic.registry.generate`.
    """
    own = sorted(source.options.keys() & {"jobs", "seed", "load", "strict", "kind", "path"})
    if own:
        raise InputError(f"{own[0]!r} has an option of its own", where="--set")
    if source.name.startswith(SYNTHETIC):
        if source.kind != AUTO:
            raise _misplaced("--kind", "a generator")
        return generate(
            source.name.removeprefix(SYNTHETIC),
            jobs=source.jobs or default_jobs,
            seed=source.seed,
            load=source.load or None,
            **source.options,
        )
    if source.load:
        raise _misplaced("--load", "a trace")
    path = Path(source.name)
    trace = read(path, source.kind, strict=source.strict, jobs=source.jobs, **source.options)
    return shake(trace, source.shake_ms, source.seed)


def _misplaced(option: str, what: str) -> InputError:
    return InputError(f"{what} has no such option", where=option)
