"""The entry to the packers: nodes and a stream of pods in, the chosen nodes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from fenglin.errors import InputError
from fenglin.planner.backfill.twins import Kernel, compiled
from fenglin.planner.packers import drive
from fenglin.planner.packers.columns import (
    FULL_MILLI,
    Book,
    Ints,
    Mind,
    Nodes,
    Policy,
    Shapes,
    Typical,
    Worth,
)

PRICES = 14
TYPICAL_PERCENT = 95


@dataclass(frozen=True)
class Packing:
    """Where the pods went.

    Attributes:
        node: By arrival: index of the node; -1 for a pod that fitted nowhere.
        gpu: By arrival: the GPU that it shares; -1 for whole GPUs or none.
        left: The nodes in the end.
    """

    node: Ints
    gpu: Ints
    left: Nodes


def typical_of(shapes: Shapes, pods: Ints, names: tuple[str, ...]) -> Typical:
    """Return the typical pods of a trace, as the ATC'23 experiment takes them.

    The distinct requests by falling number of pods, until they are 95 % of all. Equal numbers:
    the larger CPU first, then GPU milli, GPUs, and the name of the models.

    Args:
        shapes: The distinct requests; those that differ in memory only are joined.
        pods: How many pods of each there are.
        names: The models of each shape as text, such as `P100|T4`.
    """
    counts: dict[tuple[int, int, int, str], int] = {}
    masks: dict[str, int] = {}
    for s, name in enumerate(names):
        key = (
            int(shapes.cpu_milli[s]), int(shapes.gpu_milli[s]), int(shapes.gpus[s]), name
        )  # fmt: skip
        counts[key] = counts.get(key, 0) + int(pods[s])
        masks[name] = int(shapes.models[s])
    falling = sorted(((n, key) for key, n in counts.items() if n), reverse=True)
    total = float(sum(n for n, _ in falling))
    share: list[float] = []
    covered = 0.0
    for n, _ in falling:
        if covered >= TYPICAL_PERCENT * total / 100.0:
            break
        covered += n
        share.append(n / total)
    if len(share) < len(falling):
        # The reference divides twice, and its figures depend on the last bit.
        share = [one / (covered / total) for one in share]
    keys = [key for _, key in falling[: len(share)]]
    return Typical(
        cpu_milli=np.array([key[0] for key in keys], dtype=np.int64),
        gpu_milli=np.array([key[1] for key in keys], dtype=np.int64),
        gpus=np.array([key[2] for key in keys], dtype=np.int64),
        models=np.array([masks[key[3]] for key in keys], dtype=np.int64),
        share=np.array(share, dtype=np.float64),
    )


_NONE: Ints = np.zeros(0, dtype=np.int64)
NO_TYPICAL = Typical(_NONE, _NONE, _NONE, _NONE, np.zeros(0, dtype=np.float64))


@cache
def twin() -> Mapping[str, Kernel] | None:
    """Return the compiled kernels; None when there is no Numba."""
    return compiled(drive.KERNELS)


def pack(
    policy: Policy,
    nodes: Nodes,
    shapes: Shapes,
    arrivals: Ints,
    *,
    typical: Typical = NO_TYPICAL,
    seed: int = 0,
    plain: bool = False,
) -> Packing:
    """Place pods one by one in the order of arrival; none is moved, refused or tried again.

    Args:
        policy: How a node is chosen.
        nodes: The empty nodes; not changed.
        shapes: The distinct requests.
        arrivals: Shape of each pod.
        typical: For `fgd`: see `typical_of`.
        seed: For `random`.
        plain: Whether to run the kernels as plain Python even where they can be compiled.

    Raises:
        InputError: amounts are negative, a GPU request is beyond a GPU, or `fgd` is given no
            typical pods.
    """
    _check(policy, nodes, shapes, arrivals, typical)
    kernels = None if plain else twin()
    run = drive.drive if kernels is None else kernels["drive"]
    left = Nodes(*(np.array(column, dtype=np.int64) for column in nodes))
    count, size = len(shapes.gpus), len(nodes.gpus)
    book = Book(
        score=np.full((count, size), -np.inf),
        gpu=np.full((count, size), -1, dtype=np.int64),
        known=np.full(count, -1, dtype=np.int64),
        changed=np.zeros(len(arrivals), dtype=np.int64),
        stamp=np.zeros(size, dtype=np.int64),
        before=np.zeros(size),
        spare=np.zeros(nodes.gpu_milli.shape[1], dtype=np.int64),
    )
    capacity = np.bincount(left.model, weights=left.gpus).astype(np.float64)
    known = Worth(
        seen=np.zeros(count),
        price=np.zeros(PRICES),
        table=np.zeros((PRICES, FULL_MILLI + 1)),
        capacity=capacity,
        scarcity=np.zeros(len(capacity)),
        opening=np.zeros(1),
    )
    state = np.array([seed * 7_919 % (drive.MODULUS - 1) + 1], dtype=np.int64)
    chosen = np.full(len(arrivals), drive.NOWHERE, dtype=np.int64)
    shared = np.full(len(arrivals), -1, dtype=np.int64)
    run(
        int(policy), left, shapes, arrivals, Mind(typical, known, book), state, chosen, shared
    )  # fmt: skip
    return Packing(chosen, shared, left)


def _check(policy: Policy, nodes: Nodes, shapes: Shapes, arrivals: Ints, typical: Typical) -> None:
    """Refuse what the kernels, which check nothing, would read beyond their columns for."""
    if any((column < 0).any() for column in (*nodes, *shapes)):
        raise InputError("a node or a pod has a negative amount")
    if (nodes.gpu_milli > FULL_MILLI).any() or (shapes.gpu_milli > FULL_MILLI).any():
        raise InputError(f"a GPU has {FULL_MILLI} milli", hint="give gpu_milli for one GPU")
    if (nodes.gpus > nodes.gpu_milli.shape[1]).any():
        raise InputError("a node has more GPUs than columns")
    partial = (shapes.gpu_milli > 0) & (shapes.gpu_milli < FULL_MILLI)
    if ((shapes.gpus > 1) & partial).any():
        raise InputError("a pod asks for parts of several GPUs", hint="several GPUs are whole ones")
    if ((shapes.gpus > 0) != (shapes.gpu_milli > 0)).any():
        raise InputError("a pod has GPUs without gpu_milli, or gpu_milli without GPUs")
    if len(arrivals) and not 0 <= arrivals.min() <= arrivals.max() < len(shapes.gpus):
        raise InputError("an arrival names no shape")
    if policy is Policy.FGD and not len(typical.share):
        raise InputError("fgd is given no typical pods")
