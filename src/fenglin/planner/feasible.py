"""Which flavors could ever hold which shapes, and for each refusal a typed reason.

Works per shape and flavor, never per job: 100,000 jobs have a few hundred shapes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fenglin.catalog.devices import qualifies
from fenglin.model.job import AcceleratorNeed, Topology
from fenglin.model.reason import Reason
from fenglin.model.states import ComputeClass, SiteState
from fenglin.model.wishes import grants
from fenglin.planner.view import FlavorView
from fenglin.planner.words import amount_of, count_of
from fenglin.quantities.resources import DIMENSIONS
from fenglin.quantities.sizes import format_milli
from fenglin.snapshot.snapshot import Bool, Shape, Snapshot

EXCEEDS = (
    Reason.CPU_EXCEEDS_NODE,
    Reason.MEMORY_EXCEEDS_NODE,
    Reason.DISK_EXCEEDS_NODE,
    Reason.ACCELERATORS_EXCEED_NODE,
)
# Words of `ports.driver.Capability`, as people are told that a site lacks it.
_CANNOT = {
    "arrays": "start several tasks of a job at once",
    "artifacts": "keep artifacts",
    "gangs": "start the nodes of a task together",
    "images": "run container images: it has no container runtime that Fenglin may use",
    "inputs": "be brought files",
    "secrets": "deliver secrets to a task alone",
    "setup": "run a setup script before the first task",
}


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
    together = np.array([_together(shape) for shape in shapes], np.int64)
    blocks = np.array([view.block_nodes for view in flavors], np.int64)
    answer &= (together[:, None] <= blocks[None, :]) | ~in_service[None, :]
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
    if view.block_nodes < _together(shape) and view.site.state is SiteState.ACTIVE:
        return Refusal(
            Reason.BLOCK_TOO_SMALL,
            f"needs {shape.nodes} nodes of one block, its largest block has {view.block_nodes}",
        )
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
    if view.block_up_nodes < _together(shape):
        up = count_of(view.block_up_nodes, "node")
        return Refusal(
            Reason.NODE_DOWN, f"at most {up} of one block up, needs {shape.nodes} of one"
        )
    return None


def _together(shape: Shape) -> int:
    """Return how many nodes of one block the shape needs; 0 when it does not matter."""
    return shape.nodes if shape.topology is Topology.BLOCK and shape.nodes > 1 else 0


class _Wish(NamedTuple):
    """What a shape asks for besides amounts."""

    sites: tuple[str, ...]
    compute_class: ComputeClass | None
    cards_milli: bool
    accelerator: AcceleratorNeed | None
    licences: tuple[tuple[str, int], ...]
    regions: tuple[str, ...]
    require: tuple[tuple[str, str], ...]
    near: str
    latency_ms: int
    capabilities: tuple[str, ...]
    whole_milli: int


def _wish(shape: Shape) -> _Wish:
    return _Wish(
        shape.sites,
        shape.compute_class,
        shape.resources.accelerator_milli > 0,
        shape.accelerator,
        shape.licences,
        shape.regions,
        shape.require,
        shape.near,
        shape.latency_ms,
        shape.capabilities,
        shape.resources.cpu_milli if shape.exclusive else 0,
    )


def _refuse_wish(wish: _Wish, view: FlavorView) -> Refusal | None:
    """Check place, driver, labels, class, kind of accelerator and licences."""
    return _refuse_place(wish, view) or _refuse_driver(wish, view) or _refuse_kind(wish, view)


def _refuse_place(wish: _Wish, view: FlavorView) -> Refusal | None:
    """Check where it stands: site, region, distance."""
    site = view.site
    if wish.sites and site.name not in wish.sites:
        return Refusal(Reason.SITE_NOT_ALLOWED, f"the job allows only {', '.join(wish.sites)}")
    if wish.regions and site.region not in wish.regions:
        stands = f"it stands in {site.region}" if site.region else "it declares no region"
        return Refusal(
            Reason.REGION_NOT_ALLOWED, f"the job allows only {', '.join(wish.regions)}, {stands}"
        )
    if wish.near and wish.latency_ms:
        trip_us = view.network.round_trip_us(site.name, wish.near)
        if trip_us is None or trip_us > wish.latency_ms * 1_000:
            has = "no link to it is declared"
            if trip_us is not None:
                has = f"its round trip is {format_milli(trip_us)}ms"
            return Refusal(
                Reason.TOO_FAR_AWAY, f"needs at most {wish.latency_ms}ms to {wish.near}, {has}"
            )
    return None


def _refuse_driver(wish: _Wish, view: FlavorView) -> Refusal | None:
    """Check what its driver can do; a site that was not asked is taken to be able to."""
    has = view.site.capabilities
    if has is None:
        return None
    for word in wish.capabilities:
        if word not in has:
            return Refusal(Reason.CAPABILITY_MISSING, f"the site cannot {_CANNOT.get(word, word)}")
    return None


def _refuse_kind(wish: _Wish, view: FlavorView) -> Refusal | None:
    """Check what it is and has: labels, class, accelerator, licences."""
    flavor = view.flavor
    for key, value in wish.require:
        labels = (*view.site.labels, *flavor.labels)
        carried = sorted(has for name, has in labels if grants(name, key))
        if value not in carried:
            has = f"it has {key}={' and '.join(carried)}" if carried else f"it has no label {key}"
            return Refusal(Reason.LABEL_DIFFERS, f"needs {key}={value}, {has}")
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
    if wish.whole_milli and wish.whole_milli != flavor.node.cpu_milli:
        has = format_milli(flavor.node.cpu_milli)
        return Refusal(
            Reason.NOT_WHOLE_NODES,
            f"exclusive use takes all {has} cores of a node, it asks for"
            f" {format_milli(wish.whole_milli)}",
        )
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
            need.vendor and f"a card made by {need.vendor}",
            need.domestic and "a domestic card",
            need.memory_bytes and f"at least {amount_of(1, need.memory_bytes)} per card",
            need.fp16_gflops and f"FP16 of at least {need.fp16_gflops} GFLOPS",
            need.fp64_gflops and f"FP64 of at least {need.fp64_gflops} GFLOPS",
        )
        if text
    ]
    return f"needs {' and '.join(wants) or 'a card'}, its cards are {device or 'not named'}"
