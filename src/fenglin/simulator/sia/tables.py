"""Reads Sia's folder: measured times of steps, courses of training, and the jobs of a workload."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fenglin.errors import InputError, NotFoundError
from fenglin.planner.rounds.columns import Floats
from fenglin.planner.rounds.goodput import Limits
from fenglin.simulator.readers.cells import BadCell, amount, count, text
from fenglin.simulator.readers.table import Table
from fenglin.simulator.trace import Findings

PLACEMENTS, SCALABILITY = "placements.parquet", "scalability.parquet"
VALIDATION, WORKLOADS = "validation.parquet", "workloads.parquet"
# A set that has each job of another four times in a row, for a cluster four times as large.
GROWN = {"helios": "scale/scale_4x"}
GROWN_TIMES = 4
# Seconds to save and load, as Sia's simulator counts them; and how much longer training took on
# its cluster than the measured steps say.
RESTART_S = {"cifar10": 50.0, "deepspeech2": 25.0, "bert": 120.0, "yolov3": 80.0, "imagenet": 250.0}
SLOWER = {"cifar10": 1.8, "ncf": 1.5}
OTHER_RESTART_S, OTHER_SLOWER = 30.0, 1.2
_JOB = ("name", "time", "application", "num_replicas", "batch_size")
_TIMES = ("local_bsz", "step_time", "sync_time")
# Larger batches were not measured reliably there.
MOST_LOCAL = {("deepspeech2", "rtx"): 57.0}


@dataclass(frozen=True, slots=True)
class Points:
    """Times of a step on one placement, by rising batch on a card.

    Attributes:
        local: Batches.
        step_s: Times of a step.
        sync_s: Times of it that synchronise.
    """

    local: Floats
    step_s: Floats
    sync_s: Floats

    def at(self, local: float) -> tuple[float, float]:
        """Return both times, linear between measured batches, constant beyond them."""
        return (
            float(np.interp(local, self.local, self.step_s)),
            float(np.interp(local, self.local, self.sync_s)),
        )


@dataclass(frozen=True, slots=True)
class Course:
    """How training goes with one batch size.

    Attributes:
        sqr: Squared norm of the gradient by epoch.
        var: Its variance by epoch.
    """

    sqr: Floats
    var: Floats


@dataclass(frozen=True, slots=True)
class Application:
    """One of the trained models.

    Attributes:
        name: Its name.
        marks: Progress at the end of each epoch, in batches of the first size.
        batches: Measured batch sizes, rising.
        courses: By batch size.
        placed: Times by type of card and placement, such as `44`.
        scaled: Times by type of card, and nodes and cards.
        limits: By type of card.
        base: By type of card: samples per second on one card.
        restart_s: What a change of cards costs.
        slower: Factor on all times.
    """

    name: str
    marks: Floats
    batches: tuple[int, ...]
    courses: Mapping[int, Course]
    placed: Mapping[str, Mapping[str, Points]]
    scaled: Mapping[str, Mapping[tuple[int, int], Points]]
    limits: Mapping[str, Limits]
    base: Mapping[str, float]
    restart_s: float
    slower: float

    def gradient(self, batch: float, epoch: int) -> tuple[float, float]:
        """Return squared norm and variance, linear between the batches that were measured."""
        at = min(bisect_left(self.batches, batch), len(self.batches) - 1)
        high = self.courses[self.batches[at]]
        if at == 0 or batch >= self.batches[at]:
            return float(high.sqr[epoch]), float(high.var[epoch])
        low = self.courses[self.batches[at - 1]]
        part = (batch - self.batches[at - 1]) / (self.batches[at] - self.batches[at - 1])
        return (
            float(low.sqr[epoch] + part * (high.sqr[epoch] - low.sqr[epoch])),
            float(low.var[epoch] + part * (high.var[epoch] - low.var[epoch])),
        )

    def points(self, kind: str, nodes: int, cards: int) -> Points:
        """Return the times on full nodes, or on a part of one.

        A placement that was not measured counts as the same number of cards on the nearest
        number of nodes above, as on Sia's five T4 nodes.

        Raises:
            InputError: nothing of that size was measured.
        """
        each = cards // nodes
        found = self.placed[kind].get(str(each) * nodes)
        if found is not None:
            return found
        near = [key for key in self.scaled.get(kind, {}) if key[1] == cards and key[0] >= nodes]
        if not near:
            raise InputError(f"{self.name}: {cards} cards of {kind} on {nodes} nodes: no times")
        return self.scaled[kind][min(near)]


@dataclass(frozen=True, slots=True)
class SiaJob:
    """A job of a workload.

    Attributes:
        name: Its name.
        submitted_s: When it came.
        application: Name of what it trains.
        cards: Cards that its user asked for.
        batch: Batch size that its user asked for.
    """

    name: str
    submitted_s: float
    application: str
    cards: int
    batch: int


def read_applications(data: Path, kinds: Sequence[str]) -> dict[str, Application]:
    """Read what was measured, for those applications that were measured on every type.

    Args:
        data: The folder.
        kinds: Types of cards.

    Raises:
        InputError: a table is missing or broken, or knows nothing of a type of card.
    """
    courses, marks = _courses(data / VALIDATION)
    placed, scaled = _placed(data / PLACEMENTS), _scaled(data / SCALABILITY)
    known = {kind for (_, kind) in placed}
    for kind in kinds:
        if kind not in known:
            raise InputError(
                f"no cards {kind!r} were measured", where=str(data / PLACEMENTS),
                hint=f"there are: {', '.join(sorted(known))}",
            )  # fmt: skip
    found = {}
    for name in sorted(courses):
        if all((name, kind) in placed and "1" in placed[name, kind] for kind in kinds):
            application = Application(
                name=name,
                marks=marks[name],
                batches=tuple(sorted(courses[name])),
                courses=courses[name],
                placed={kind: placed[name, kind] for kind in kinds},
                scaled={kind: scaled.get((name, kind), {}) for kind in kinds},
                limits={
                    kind: _limits(name, kind, placed[name, kind], courses[name]) for kind in kinds
                },
                base={kind: _base(placed[name, kind]["1"]) for kind in kinds},
                restart_s=RESTART_S.get(name, OTHER_RESTART_S),
                slower=SLOWER.get(name, OTHER_SLOWER),
            )
            found[name] = _usable(application, data)
    return found


def read_jobs(data: Path, workload: str, seed: int, known: Collection[str]) -> list[SiaJob]:
    """Read the jobs of one stream of a workload, in the order of their arrival.

    They stand in `workloads.parquet`, or as Sia publishes them in
    `workloads/NAME/workload-SEED.csv`.

    Args:
        data: The folder.
        workload: Such as `philly`.
        seed: Number of the stream.
        known: Applications that were measured.

    Raises:
        NotFoundError: there is no such stream.
        InputError: a row is broken or its application was not measured.
    """
    single = data / "workloads" / workload / f"workload-{seed}.csv"
    jobs: list[SiaJob] = []
    if single.is_file():
        for place, cells in _rows(single, _JOB):
            jobs.append(_job(single, place, cells, known))
    else:
        path = data / WORKLOADS
        grown: list[SiaJob] = []
        for place, (group, which, *rest) in _rows(path, ("set", "workload", *_JOB)):
            if which == seed and group in {workload, GROWN.get(workload)}:
                job = _job(path, place, rest, known)
                (jobs if group == workload else grown).append(job)
        jobs = jobs or grown[::GROWN_TIMES]
    if not jobs:
        raise NotFoundError(
            f"there are no jobs of {workload!r}, stream {seed}", where=str(data),
            hint=f"in {WORKLOADS}, or in workloads/{workload}/workload-{seed}.csv",
        )  # fmt: skip
    return sorted(jobs, key=lambda one: one.submitted_s)


def _job(path: Path, place: int, cells: Sequence[Any], known: Collection[str]) -> SiaJob:
    """Return the job of a row."""
    name, time, application, cards, batch = cells
    try:
        job = SiaJob(
            text(name), amount(time, "time"), text(application),
            count(cards, "num_replicas"), count(batch, "batch_size"),
        )  # fmt: skip
    except BadCell as bad:
        raise InputError(str(bad), where=f"{path}:{place}") from None
    if job.application not in known:
        raise InputError(
            f"{job.application!r} was not measured on these types of cards",
            where=f"{path}:{place}",
            hint=f"measured are {', '.join(sorted(known))}",
        )
    return job


def _rows(path: Path, names: tuple[str, ...]) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Yield places and cells of a table.

    Raises:
        InputError: it is not there, or broken.
    """
    if not path.is_file():
        raise InputError(f"there is no {path.name}", where=str(path.parent))
    table = Table(path)
    table.need(names)
    findings = Findings(str(path), table.unit)
    yield from table.rows(names, findings)
    if findings.count:
        raise InputError(findings.sentences()[0])


def _numbers(path: Path, place: int, cells: Sequence[Any]) -> tuple[float, ...]:
    """Return cells as positive numbers, or 0."""
    try:
        return tuple(amount(cell, "a measured value", most=10**30) for cell in cells)
    except BadCell as bad:
        raise InputError(str(bad), where=f"{path}:{place}") from None


def _courses(path: Path) -> tuple[dict[str, dict[int, Course]], dict[str, Floats]]:
    """Return how training goes by application and batch, and the progress of its epochs.

    An epoch ends where the slowest of the batch sizes ends it.
    """
    raw: dict[str, dict[int, list[tuple[float, ...]]]] = {}
    names = ("model", "batch_size", "progress", "grad_sqr", "grad_var")
    for place, (model, *cells) in _rows(path, names):
        batch, *values = _numbers(path, place, cells)
        raw.setdefault(text(model), {}).setdefault(int(batch), []).append(tuple(values))
    courses, marks = {}, {}
    for model, batches in raw.items():
        epochs = min(map(len, batches.values()))
        whole = {size: np.array(rows[:epochs]) for size, rows in batches.items()}
        marks[model] = np.min([rows[:, 0] for rows in whole.values()], axis=0)
        courses[model] = {size: Course(rows[:, 1], rows[:, 2]) for size, rows in whole.items()}
    return courses, marks


def _placed(path: Path) -> dict[tuple[str, str], dict[str, Points]]:
    """Return times by application and type, and placement."""
    raw: dict[tuple[str, str], dict[str, list[tuple[float, ...]]]] = {}
    names = ("model", "gpu_type", "placement", *_TIMES)
    for place, (model, kind, placement, *cells) in _rows(path, names):
        at = raw.setdefault((text(model), text(kind)), {})
        at.setdefault(text(placement), []).append(_numbers(path, place, cells))
    return {
        key: {name: _points(rows) for name, rows in at.items()} for key, at in raw.items()
    }  # fmt: skip


def _scaled(path: Path) -> dict[tuple[str, str], dict[tuple[int, int], Points]]:
    """Return times by application and type, and nodes and cards."""
    raw: dict[tuple[str, str], dict[tuple[int, int], list[tuple[float, ...]]]] = {}
    names = ("model", "gpu_type", "num_nodes", "num_replicas", *_TIMES)
    for place, (model, kind, *cells) in _rows(path, names):
        nodes, cards, *times = _numbers(path, place, cells)
        at = raw.setdefault((text(model), text(kind)), {})
        at.setdefault((int(nodes), int(cards)), []).append(tuple(times))
    return {key: {name: _points(rows) for name, rows in at.items()} for key, at in raw.items()}


def _points(rows: list[tuple[float, ...]]) -> Points:
    """Return measured times by rising batch."""
    local, step_s, sync_s = np.array(sorted(rows)).T
    return Points(local, step_s, sync_s)


def _usable(application: Application, data: Path) -> Application:
    """Return an application that can be run.

    Raises:
        InputError: a step takes no longer than its synchronising, or has no batch.
    """
    tables: list[tuple[str, Mapping[str, Mapping[Any, Points]]]] = [
        (PLACEMENTS, application.placed),
        (SCALABILITY, application.scaled),
    ]
    for name, kinds in tables:
        for points in (one for kind in kinds.values() for one in kind.values()):
            if (points.step_s <= points.sync_s).any() or points.local[0] <= 0:
                raise InputError(
                    f"{application.name}: a step takes no longer than its synchronising, "
                    "or has no batch",
                    where=str(data / name),
                )
    return application


def _limits(
    name: str, kind: str, placed: Mapping[str, Points], courses: Mapping[int, Course]
) -> Limits:
    """Return the batches that an application may use on a type of card."""
    most_local = max(float(points.local[-1]) for points in placed.values())
    return Limits(
        first=float(min(courses)),
        most=float(max(courses)),
        least_local=min(float(points.local[0]) for points in placed.values()),
        most_local=MOST_LOCAL.get((name, kind), most_local),
    )


def _base(points: Points) -> float:
    """Return samples per second on one card, with the largest batch."""
    return float(points.local[-1] / points.step_s.max())
