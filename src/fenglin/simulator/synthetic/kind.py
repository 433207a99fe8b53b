"""What the registry knows of one generator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from fenglin.simulator.workload import WorkJob


@dataclass(frozen=True, kw_only=True)
class Generator:
    """A model of a workload.

    Attributes:
        name: As a user writes it behind `synthetic:`.
        what: What it is, in a few words.
        stream: Makes jobs for ever from (options, seed, pace), by rising submission.
        rate: Mean jobs a second at pace 1, from the options.
        options: Dataclass of its options.
        unit: What its `capacity` counts, in thousandths: `cpu_milli` or `accelerator_milli`;
            empty for a model that has no one capacity.
    """

    name: str
    what: str
    stream: Callable[[Any, int, float], Iterator[WorkJob]]
    rate: Callable[[Any], float]
    options: type[Any]
    unit: str = ""
