"""How much of the openb GPUs any policy can give away that refuses no pod which fits.

`python -m bench.openb_bound DIR WORKLOAD SEED` (needs `pip install highspy`) prints two upper
bounds at 130 % arrived, in percent: for policies that may refuse pods, and for those that may not.

A linear program: pods by shape and class of equal nodes; CPU, memory and GPUs of a class added up;
GPUs cut in patterns, made as needed. Who refuses nobody places all pods no larger than a key shape
that come before its first rejection, and none at least as large after it; the bound is the best
over all intervals in which that moment may lie.
"""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fenglin.planner.packers.columns import FULL_MILLI, Ints, Shapes
from fenglin.simulator.openb.trace import Stream, read_streams

# Where the first rejection of the key shape may lie, in parts of all GPUs arrived.
GRID = [0.0, *np.arange(0.5, 0.9, 0.05), *np.arange(0.9, 1.3, 0.02), 2.0]
KEY_CPU_MILLI = 4_000
ENOUGH = 1e-5

Pattern = tuple[tuple[int, int], ...]


class NodeClass(NamedTuple):
    """Equal nodes: what each has, and how many there are."""

    cpu_milli: int
    memory_mib: int
    gpus: int
    model: int
    count: int


def classes(stream: Stream) -> list[NodeClass]:
    """Return the classes of equal nodes."""
    nodes = stream.nodes
    table = np.stack([nodes.cpu_milli, nodes.memory_mib, nodes.gpus, nodes.model], axis=1)
    kinds, counts = np.unique(table, axis=0, return_counts=True)
    return [NodeClass(*map(int, kind), int(n)) for kind, n in zip(kinds, counts, strict=True)]


def best_pattern(sizes: list[int], worth: list[float]) -> tuple[float, Pattern]:
    """Return the most that one GPU can hold of these worths, and what it holds."""
    best, last = np.zeros(FULL_MILLI + 1), np.full(FULL_MILLI + 1, -1)
    for room in range(1, FULL_MILLI + 1):
        best[room] = best[room - 1]
        for i, size in enumerate(sizes):
            if size <= room and best[room - size] + worth[i] > best[room] + 1e-12:
                best[room], last[room] = best[room - size] + worth[i], i
    held: dict[int, int] = {}
    room = FULL_MILLI
    while room > 0:
        if last[room] < 0:
            room -= 1
        else:
            size = sizes[last[room]]
            held[size] = held.get(size, 0) + 1
            room -= size
    return float(best[FULL_MILLI]), tuple(sorted(held.items()))


class Program:
    """The linear program of one interval; rows first, then a column for each way to place."""

    def __init__(self, stream: Stream, kinds: list[NodeClass], least: Ints, most: Ints) -> None:
        """Take how many pods of each shape must, and may, be placed."""
        import highspy  # noqa: PLC0415 - no dependency of ours

        self.solver: Any = highspy.Highs()
        self.solver.setOptionValue("output_flag", False)  # noqa: FBT003 - theirs
        self.optimal = highspy.HighsModelStatus.kOptimal
        self.shapes, self.kinds = stream.shapes, kinds
        self.sizes = sorted({int(milli) for milli in stream.shapes.gpu_milli if milli})
        self.rows: dict[tuple[str, int, int], int] = {}
        for k, kind in enumerate(kinds):
            self.row("cpu", k, 0, -np.inf, kind.cpu_milli * kind.count / 1_000)
            self.row("memory", k, 0, -np.inf, kind.memory_mib * kind.count / 1_024)
            self.row("gpus", k, 0, -np.inf, kind.gpus * kind.count)
            for size in self.sizes:
                self.row("cut", k, size, -np.inf, 0.0)
        for s in range(len(least)):
            self.row("pods", s, 0, float(least[s]), float(most[s]))
        for s in np.nonzero(most)[0]:
            self.place(stream.shapes, int(s))

    def row(self, name: str, place: int, size: int, low: float, high: float) -> None:
        """Add an empty row."""
        self.rows[name, place, size] = len(self.rows)
        self.solver.addRow(low, high, 0, np.zeros(0, dtype=np.int32), np.zeros(0))

    def column(self, gain: float, cells: dict[tuple[str, int, int], float]) -> None:
        """Add a column."""
        rows = np.array([self.rows[key] for key in cells], dtype=np.int32)
        self.solver.addCol(-gain, 0.0, np.inf, len(rows), rows, np.array(list(cells.values())))

    def place(self, shapes: Shapes, s: int) -> None:
        """Add a column for each class of nodes that can have the pod when empty."""
        cpu, memory = int(shapes.cpu_milli[s]), int(shapes.memory_mib[s])
        gpus, milli, models = int(shapes.gpus[s]), int(shapes.gpu_milli[s]), int(shapes.models[s])
        for k, kind in enumerate(self.kinds):
            if cpu > kind.cpu_milli or memory > kind.memory_mib or gpus > kind.gpus:
                continue
            if gpus and models and not models >> kind.model & 1:
                continue
            cells = {
                ("cpu", k, 0): cpu / 1_000,
                ("memory", k, 0): memory / 1_024,
                ("pods", s, 0): 1.0,
            }
            if gpus:
                cells["cut", k, milli] = float(gpus)
            self.column(gpus * milli / FULL_MILLI, cells)

    def cut(self, pattern: Pattern) -> None:
        """Add a way to cut a GPU, for each class of nodes."""
        for k in range(len(self.kinds)):
            held = {("cut", k, size): -float(n) for size, n in pattern}
            self.column(0.0, {("gpus", k, 0): 1.0, **held})

    def solve(self, patterns: set[Pattern]) -> float:
        """Return the most GPUs, adding patterns until none helps; minus one if nothing does."""
        patterns |= {((size, FULL_MILLI // size),) for size in self.sizes}
        for pattern in sorted(patterns):
            self.cut(pattern)
        while True:
            self.solver.run()
            if self.solver.getModelStatus() != self.optimal:
                return -1.0
            dual = self.solver.getSolution().row_dual
            found: set[Pattern] = set()
            for k in range(len(self.kinds)):
                worth = [max(0.0, -dual[self.rows["cut", k, size]]) for size in self.sizes]
                value, pattern = best_pattern(self.sizes, worth)
                if value > -dual[self.rows["gpus", k, 0]] + ENOUGH and pattern not in patterns:
                    found.add(pattern)
            if not found:
                return -float(self.solver.getInfo().objective_function_value)
            for pattern in sorted(found):
                self.cut(pattern)
            patterns |= found


def bounds(stream: Stream) -> tuple[float, float]:
    """Return the bounds with and without refusing, in percent of all GPUs."""
    shapes, arrivals = stream.shapes, stream.arrivals
    kinds, patterns = classes(stream), set[Pattern]()
    total, size = float(stream.nodes.gpus.sum()), len(shapes.gpus)
    arrived = np.cumsum((shapes.gpu_milli * shapes.gpus)[arrivals]) / FULL_MILLI / total
    everyone = np.bincount(arrivals, minlength=size)
    free = Program(stream, kinds, everyone * 0, everyone).solve(patterns)
    small_cpu = (shapes.gpus == 1) & (shapes.models == 0) & (shapes.cpu_milli <= KEY_CPU_MILLI)
    key = int(np.argmax(np.where(small_cpu & (shapes.gpu_milli < FULL_MILLI), everyone, -1)))
    columns = (shapes.cpu_milli, shapes.memory_mib, shapes.gpu_milli, shapes.gpus)
    larger = np.all([column >= column[key] for column in columns], axis=0)
    smaller = np.all([column <= column[key] for column in columns], axis=0) & (shapes.models == 0)
    best = 0.0
    for low, high in pairwise(GRID):
        keys = np.nonzero((arrivals == key) & (arrived <= low))[0]
        sure = arrivals[: keys[-1] + 1] if len(keys) else arrivals[:0]
        least = np.where(smaller, np.bincount(sure, minlength=size), 0)
        until = np.bincount(arrivals[arrived <= high], minlength=size)
        most = np.maximum(np.where(larger, until, everyone), least)
        best = max(best, Program(stream, kinds, least, most).solve(patterns))
    return free / total * 100, best / total * 100


def main(words: list[str]) -> None:
    """Print the bounds of one order of arrival."""
    data, workload, seed = Path(words[0]), words[1], int(words[2])
    free, bound = bounds(read_streams(data, workload, [seed])[seed])
    print(f"{workload} {seed}: {free:.2f} % with refusing, {bound:.2f} % without")


if __name__ == "__main__":
    main(sys.argv[1:])
