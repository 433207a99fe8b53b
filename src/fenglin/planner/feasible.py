"""Which flavors could ever hold which shapes, and for each refusal a typed reason.

Works per shape and flavor, never per job: 100,000 jobs have a few hundred shapes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fenglin.catalog.devices import qualifies
from fenglin.model.job import AcceleratorNeed
from fenglin.model.reason import Reason
from fenglin.model.states import ComputeClass, SiteState
from fenglin.planner.view import FlavorView
from fenglin.planner.words import amount_of, count_of
from fenglin.quantities.resources import DIMENSIONS
from fenglin.snapshot.snapshot import Bool, Shape, Snapshot

EXCEEDS = (
    Reason.CPU_EXCEEDS_NODE,
    Reason.MEMORY_EXCEEDS_NODE,
    Reason.DISK_EXCEEDS_NODE,
    Reason.ACCELERATORS_EXCEED_NODE,
)


class Refusal(NamedTuple):
    """Why a flavor cannot hold a shape.

    Attributes:
        reason: Typed.
        evidence: The figures behind it, in words.
    """

    reason: Reason
    evidence: str


def possible(snapshot: Snapshot, flavors: tuple[FlavorView, ...]) -> Bool:
    """Return [C, F]: whether the flavor holds the shape once it is idle and in service."""
    shapes = snapshot.shapes
    answer = np.ones((len(shapes), len(flavors)), np.bool_)
    if not shapes or not flavors:
        return answer
    needs = np.array([shape.resources.values() for shape in shapes], np.int64)
    holds = np.array([view.flavor.node.values() for view in flavors], np.int64)
    nodes = np.array([shape.nodes for shape in shapes], np.int64)
    counts = np.array([view.stop - view.first for view in flavors], np.int64)
    for dimension in range(len(DIMENSIONS)):
        answer &= needs[:, dimension, None] <= holds[None, :, dimension]
    in_service = np.array([view.site.state is SiteState.ACTIVE for view in flavors], np.bool_)
    answer &= (nodes[:, None] <= counts[None, :]) | ~in_service[None, :]
    # Everything else depends on few distinct wishes, asked once for each of them.
    rows_of: dict[_Wish, list[int]] = {}
    for row, shape in enumerate(shapes):
        rows_of.setdefault(_wish(shape), []).append(row)
    for wish, rows in rows_of.items():
        allowed = [_refuse_wish(wish, view) is None for view in flavors]
        answer[rows] &= np.array(allowed, np.bool_)
    return answer


def refuse(shape: Shape, view: FlavorView) -> Refusal | None:
    """Return why the flavor cannot hold the shape however long one waits; None if it can."""
    refusal = _refuse_wish(_wish(shape), view)
    if refusal is not None:
        return refusal
    wants_and_has = zip(shape.resources.values(), view.flavor.node.values(), strict=True)
    for dimension, (want, has) in enumerate(wants_and_has):
        if want > has:
            return Refusal(
                EXCEEDS[dimension],
                f"needs {amount_of(dimension, want)}, a node has {amount_of(dimension, has)}",
            )
    nodes = view.stop - view.first
    if nodes < shape.nodes and view.site.state is SiteState.ACTIVE:
        return Refusal(Reason.TOO_FEW_NODES, f"needs {shape.nodes} nodes, it has {nodes}")
    return None


def out_of_service(shape: Shape, view: FlavorView) -> Refusal | None:
    """Return why the flavor takes no such work now, though it could; None if it does."""
    if view.site.state is SiteState.DRAINED:
        return Refusal(Reason.SITE_DRAINED, view.site.state_reason or "drained by an operator")
    if view.site.state is SiteState.DOWN:
        return Refusal(Reason.SITE_DOWN, view.site.state_reason or "the site does not answer")
    if view.up_nodes < shape.nodes:
        total = count_of(view.stop - view.first, "node")
        return Refusal(Reason.NODE_DOWN, f"{view.up_nodes} of {total} up, needs {shape.nodes}")
    return None


class _Wish(NamedTuple):
    """What a shape asks for besides amounts."""

    sites: tuple[str, ...]
    compute_class: ComputeClass | None
    cards_milli: bool
    accelerator: AcceleratorNeed | None
    licences: tuple[tuple[str, int], ...]


def _wish(shape: Shape) -> _Wish:
    return _Wish(
        shape.sites,
        shape.compute_class,
        shape.resources.accelerator_milli > 0,
        shape.accelerator,
        shape.licences,
    )


def _refuse_wish(wish: _Wish, view: FlavorView) -> Refusal | None:
    """Check site, class, kind of accelerator and licences."""
    flavor = view.flavor
    if wish.sites and view.site.name not in wish.sites:
        return Refusal(Reason.SITE_NOT_ALLOWED, f"the job allows only {', '.join(wish.sites)}")
    if wish.compute_class is not None and flavor.compute_class is not wish.compute_class:
        return Refusal(
            Reason.CLASS_DIFFERS, f"needs {wish.compute_class}, it is {flavor.compute_class}"
        )
    if wish.cards_milli and flavor.node.accelerator_milli == 0:
        return Refusal(Reason.NO_ACCELERATOR, "its nodes have no accelerator")
    if wish.cards_milli and wish.accelerator is not None:
        reason = qualifies(flavor.accelerator, wish.accelerator)
        if reason is not None:
            return Refusal(reason, _accelerator_evidence(flavor.accelerator, wish.accelerator))
    offered = dict(view.site.licences)
    for name, count in wish.licences:
        if offered.get(name, 0) < count:
            return Refusal(
                Reason.LICENCE_UNKNOWN,
                f"needs {count} of {name}, the site has {offered.get(name, 0)}",
            )
    return None


def _accelerator_evidence(device: str, need: AcceleratorNeed) -> str:
    """Say what is needed and what is there."""
    wants = [
        text
        for text in (
            need.model,
            need.memory_bytes and f"at least {amount_of(1, need.memory_bytes)} per card",
            need.fp16_gflops and f"FP16 of at least {need.fp16_gflops} GFLOPS",
            need.fp64_gflops and f"FP64 of at least {need.fp64_gflops} GFLOPS",
        )
        if text
    ]
    return f"needs {' and '.join(wants) or 'a card'}, its cards are {device or 'not named'}"
