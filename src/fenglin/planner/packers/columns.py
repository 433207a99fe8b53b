"""What the packing kernels work on: nodes, pod shapes and their scratch, column by column.

Amounts are whole thousandths: a core is 1000 CPU milli, a GPU is 1000 GPU milli.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]

FULL_MILLI = 1000
SHARE_TAG = 0


class Policy(IntEnum):
    """How a node is chosen for a pod."""

    RANDOM = 0
    DOTPROD = 1
    GPUCLUSTERING = 2
    GPUPACKING = 3
    BESTFIT = 4
    FGD = 5
    PACKED = 6


class Nodes(NamedTuple):
    """What is free on each node now; the kernels take from it.

    Attributes:
        cpu_milli: CPU left.
        memory_mib: Memory left.
        slots: Pods that may still come.
        gpu_milli: Left on each GPU, one row a node; 0 where a node has fewer GPUs than columns.
        gpus: How many GPUs the node has.
        model: Number of its GPU model.
        order: Ties go to the smallest.
        tags: Kinds of GPU pods that are on it, one bit each, for `gpuclustering`.
    """

    cpu_milli: Ints
    memory_mib: Ints
    slots: Ints
    gpu_milli: Ints
    gpus: Ints
    model: Ints
    order: Ints
    tags: Ints


class Shapes(NamedTuple):
    """The distinct requests of pods.

    Attributes:
        cpu_milli: CPU.
        memory_mib: Memory.
        gpu_milli: Of each GPU; 0 for a pod without GPUs.
        gpus: How many GPUs; more than one must each be free.
        models: GPU models that will do, one bit each; 0 for any.
    """

    cpu_milli: Ints
    memory_mib: Ints
    gpu_milli: Ints
    gpus: Ints
    models: Ints


class Typical(NamedTuple):
    """The pods that `fgd` expects.

    Attributes:
        cpu_milli: CPU.
        gpu_milli: Of each GPU.
        gpus: How many GPUs.
        models: As in `Shapes`.
        share: How much of all pods each is, about 1 in sum.
    """

    cpu_milli: Ints
    gpu_milli: Ints
    gpus: Ints
    models: Ints
    share: Floats


class Worth(NamedTuple):
    """What `packed` has learned from the pods that have arrived.

    Attributes:
        seen: Pods of each shape so far.
        price: Grid of CPU prices, in GPUs per CPU milli.
        table: By price and GPU milli left: what may still be earned there, in GPUs.
        capacity: GPUs of each model in the cluster.
        scarcity: By model: how much of it is asked for by pods that will not have just any, as
            a multiple of its part of the cluster.
        opening: What it costs to break a node of the largest kind that is still free, in GPUs;
            its only entry.
    """

    seen: Floats
    price: Floats
    table: Floats
    capacity: Floats
    scarcity: Floats
    opening: Floats


class Book(NamedTuple):
    """Scores that are kept until their node changes.

    Attributes:
        score: By shape and node; minus infinity where the pod does not fit.
        gpu: By shape and node: the GPU to share; -1 for whole GPUs and for none.
        known: By shape: how much of `changed` its scores have seen; -1 for nothing yet.
        changed: Nodes in the order of their changes.
        stamp: By node: 1 + the arrival that last looked at it.
        before: By node: what the policy thinks of its present state.
        spare: GPUs of a node as they would be.
    """

    score: Floats
    gpu: Ints
    known: Ints
    changed: Ints
    stamp: Ints
    before: Floats
    spare: Ints


class Mind(NamedTuple):
    """All that a policy knows.

    Attributes:
        typical: What `fgd` expects.
        known: What `packed` has learned.
        book: The scores.
    """

    typical: Typical
    known: Worth
    book: Book
