"""Every refusal has its typed reason and figures a person can act on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from fenglin.model.job import Mode, Topology
from fenglin.model.site import Flavor, Link, Node, Site
from fenglin.model.states import ComputeClass
from fenglin.planner import explain, plan
from fenglin.planner.feasible import out_of_service, possible, refuse
from fenglin.planner.policy import BALANCED
from fenglin.planner.view import flavor_views
from fenglin.ports.driver import Capability
from fenglin.quantities.resources import Resources
from fenglin.snapshot.builder import JobRow, build
from fenglin.snapshot.snapshot import Shape
from fenglin.testing.builders import a_job, a_site, a_snapshot

# The last site's links are to `card`: 7.5 ms away.
POOL = """
site  here general 2×4,8     1 0.1  licences=matlab:1
site  card ai      1×4,8,2   1 0.1  accelerator=A100-80
site  remote general 4×4,8     1 0.1  region=eu block_size=2 {}
""".format("labels=tier:silver flavor_labels=disk:nvme links=card:7.5:0:0")


def only_option(snapshot, site, job=1):
    receipt = explain(snapshot, BALANCED, plan(snapshot), job)
    return next(option for option in receipt.options if option.site == site)


@pytest.mark.parametrize(
    ("job", "site", "reason", "evidence"),
    [
        ("1,1 sites=card", "here", "site_not_allowed", "the job allows only card"),
        ("1,1 class=ai", "here", "class_differs", "needs ai, it is general"),
        ("1,1,1", "here", "no_accelerator", "its nodes have no accelerator"),
        ("1,1,1 model=H100", "card", "accelerator_model_differs", "needs H100, its cards are A100"),
        ("8,1", "here", "cpu_exceeds_node", "needs 8 cores, a node has 4 cores"),
        ("1,9", "here", "memory_exceeds_node", "needs 9GiB of memory, a node has 8GiB of memory"),
        ("1,1,3", "card", "accelerators_exceed_node", "needs 3 cards, a node has 2 cards"),
        ("1,1 nodes=3", "here", "too_few_nodes", "needs 3 nodes, it has 2"),
        ("1,1 licences=maple:1", "here", "licence_unknown", "needs 1 of maple, the site has 0"),
        ("1,1 licences=matlab:2", "here", "licence_unknown", "needs 2 of matlab, the site has 1"),
        ("1,1 regions=cn-gz,cn-bj", "remote", "region_not_allowed",
         "the job allows only cn-gz, cn-bj, it stands in eu"),
        ("1,1 regions=cn-gz", "here", "region_not_allowed",
         "the job allows only cn-gz, it declares no region"),
        ("1,1 require=tier:gold", "remote", "label_differs", "needs tier=gold, it has tier=silver"),
        ("1,1 require=tier:gold", "here", "label_differs", "needs tier=gold, it has no label tier"),
        ("1,1 require=disk:nvme,tier:gold", "remote", "label_differs", "needs tier=gold"),
        # What is required for one account is granted to all or to it.
        ("1,1 require=tier@a:gold", "remote", "label_differs",
         "needs tier@a=gold, it has tier@a=silver"),
        ("1,1 near=card latency=5", "remote", "too_far_away",
         "needs at most 5ms to card, its round trip is 7.5ms"),
        ("1,1 near=card latency=5", "here", "too_far_away",
         "needs at most 5ms to card, no link to it is declared"),
        ("1,1 nodes=3 topology=block", "remote", "block_too_small",
         "needs 3 nodes of one block, its largest block has 2"),
        ("1,1 nodes=2 topology=block", "here", "block_too_small",
         "needs 2 nodes of one block, its largest block has 1"),
    ],
)  # fmt: skip
def test_permanent_refusals(pool, job, site, reason, evidence):
    option = only_option(pool(POOL + f"job 1 {job}"), site)
    assert option.reason == reason
    assert not option.reason.transient
    assert option.evidence.startswith(evidence)
    assert option.terms == ()
    assert option.tasks == 0


def test_what_a_driver_cannot_do_is_refused_by_a_typed_reason():
    """Where nobody asked the driver, it is taken to be able to."""
    job = replace(a_job(), image="debian:12", artifacts=("*.png",))
    able = ("artifacts", "images")
    sites = [
        replace(a_site(name), capabilities=can)
        for name, can in {"able": able, "bare": ("artifacts",), "unasked": None}.items()
    ]
    snapshot = a_snapshot(sites, [job])
    option = only_option(snapshot, "bare")
    assert option.reason == "capability_missing"
    assert not option.reason.transient
    assert option.evidence.startswith("the site cannot run container images")
    allowed = possible(snapshot, flavor_views(snapshot))[0].tolist()
    assert allowed == [True, False, True]


def test_exclusive_use_takes_whole_nodes_only():
    job = replace(a_job(cpu=8), mode=Mode.EXCLUSIVE)
    sites = [a_site("fits", cpu=8), a_site("large", cpu=16)]
    snapshot = a_snapshot(sites, [job])
    option = only_option(snapshot, "large")
    assert (option.reason, option.reason.transient) == ("not_whole_nodes", False)
    assert option.evidence == "exclusive use takes all 16 cores of a node, it asks for 8"
    assert possible(snapshot, flavor_views(snapshot))[0].tolist() == [True, False]


@pytest.mark.parametrize("word", [word.value for word in Capability])
def test_every_capability_can_be_told_of(word):
    shape = replace(Shape.of(a_job()), capabilities=(word,))
    (view,) = flavor_views(a_snapshot([replace(a_site(), capabilities=())]))
    refusal = refuse(shape, view)
    assert refusal is not None
    assert refusal.evidence.startswith("the site cannot ")


@pytest.mark.parametrize(
    ("job", "sites"),
    [
        ("1,1 regions=eu", ["remote"]),
        ("1,1 require=tier:silver,disk:nvme", ["remote"]),
        ("1,1 require=tier@a:silver,disk:nvme", ["remote"]),
        ("1,1 near=card latency=8", ["card", "remote"]),
        ("1,1 near=remote latency=8", ["card", "remote"]),  # a round trip is the same both ways
        ("1,1 near=card", ["card", "here", "remote"]),  # a wish without a limit refuses nobody
        ("1,1 nodes=2 topology=block", ["remote"]),
        ("1,1 nodes=1 topology=block", ["card", "here", "remote"]),
    ],
)
def test_wishes_leave_the_sites_that_grant_them(pool, job, sites):
    """The matrix over all shapes at once agrees with the refusals one by one."""
    snapshot = pool(POOL + f"job 1 {job}")
    flavors = flavor_views(snapshot)
    allowed = possible(snapshot, flavors)[0]
    assert sorted(view.site.name for view in flavors if allowed[view.row]) == sites
    shape = snapshot.shapes[0]
    assert [refuse(shape, view) is None for view in flavors] == allowed.tolist()


NAMES = st.sampled_from(["a", "b", "c"])
LABELS = st.lists(st.tuples(st.sampled_from(["k", "l"]), NAMES), unique=True, max_size=2).map(
    lambda pairs: tuple(sorted(pairs))
)


def _site(name, region, labels, links, blocks):
    flavor = Flavor("f", ComputeClass.GENERAL, Resources(4_000, 2**33), labels=labels[1:])
    return Site(
        name, "p", "mock", flavors=(flavor,), region=region, labels=labels[:1],
        nodes=tuple(Node(f"n{at}", "f", block=block) for at, block in enumerate(blocks)),
        links=tuple(Link(there, trip_us) for there, trip_us in links.items()),
    )  # fmt: skip


POOLS = st.tuples(
    *(
        st.builds(
            _site,
            st.just(name),
            st.sampled_from(["", "eu", "cn"]),
            LABELS,
            st.dictionaries(NAMES, st.integers(0, 30_000), max_size=2),
            st.lists(st.sampled_from(["", "x", "y"]), max_size=4),
        )
        for name in "abc"
    )
)
SHAPES = st.lists(
    st.builds(
        Shape,
        st.builds(Resources, st.sampled_from([1_000, 8_000]), st.just(2**30)),
        nodes=st.integers(1, 3),
        regions=st.lists(st.sampled_from(["cn", "eu"]), max_size=2).map(tuple),
        require=LABELS,
        topology=st.sampled_from(list(Topology)),
        near=st.sampled_from(["", "a", "zz"]),
        latency_ms=st.sampled_from([0, 1, 20]),
    ),
    min_size=1,
    max_size=4,
    unique=True,
)


@given(POOLS, SHAPES)
def test_matrix_and_refusals_are_one(sites, shapes):
    """What is reckoned for all at once, with wishes shared, is what each refusal says."""
    jobs = [JobRow(number, shape, 1) for number, shape in enumerate(shapes, 1)]
    snapshot = build(index=1, now_ms=1, sites=sites, accounts={}, jobs=jobs)
    flavors = flavor_views(snapshot)
    allowed = possible(snapshot, flavors)
    for row, shape in enumerate(snapshot.shapes):
        refusals = [refuse(shape, view) for view in flavors]
        assert [refusal is None for refusal in refusals] == allowed[row].tolist()
        assert all(refusal.evidence for refusal in refusals if refusal)
        for view, refusal in zip(flavors, refusals, strict=True):
            if refusal is None:
                assert not shape.regions or view.site.region in shape.regions
                assert set(shape.require) <= {*view.site.labels, *view.flavor.labels}
                blocks = [node.block or node.name for node in view.site.nodes]
                if shape.topology is Topology.BLOCK:
                    assert max(map(blocks.count, blocks)) >= shape.nodes


def test_block_with_a_node_down_is_out_of_service_not_too_small(pool):
    text = "site s general 4×4,8 1 0.1 block_size=2 down=n1,n2\njob 1 1,1 nodes=2 topology=block"
    snapshot = pool(text)
    (view,) = flavor_views(snapshot)
    assert refuse(snapshot.shapes[0], view) is None
    refusal = out_of_service(snapshot.shapes[0], view)
    assert refusal.reason == "node_down"
    assert refusal.evidence == "at most 1 node of one block up, needs 2 of one"


def test_inventory_that_cannot_be_seen_refuses_no_block(pool, why):
    text = "site s general 0×4,8 1 0.1 state=down\njob 1 1,1 nodes=2 topology=block"
    assert why(plan(pool(text))) == {1: "site_down"}


def test_job_that_fits_nowhere_says_what_would_make_it_fit(pool, why):
    snapshot = pool(POOL + "job 1 1,10 class=general")
    result = plan(snapshot)
    assert why(result) == {1: "no_site_can_hold"}
    receipt = explain(snapshot, BALANCED, result, 1)
    assert receipt.change == "needs 2GiB of memory less per task to fit on here/std"


@pytest.mark.parametrize(
    ("site", "reason"),
    [
        ("state=drained why=upgrade", "site_drained"),
        ("state=down why=timeout", "site_down"),
        ("down=n0,n1", "node_down"),
    ],
)
def test_out_of_service_is_transient_and_starts_nothing(pool, why, site, reason):
    snapshot = pool(f"site here general 2×4,8 1 0.1 {site}\njob 1 1,1")
    result = plan(snapshot)
    assert result.starts == ()
    assert why(result) == {1: reason}
    option = only_option(snapshot, "here")
    assert option.reason == reason
    assert option.reason.transient


def test_site_that_is_down_with_no_node_seen_may_still_come_back(pool, why):
    snapshot = pool("site here general 0×4,8 1 0.1 state=down\njob 1 1,1")
    assert why(plan(snapshot)) == {1: "site_down"}


def test_site_without_nodes_can_never_hold(pool, why):
    assert why(plan(pool("site here general 0×4,8 1 0.1\njob 1 1,1"))) == {1: "no_site_can_hold"}


@pytest.mark.parametrize(
    ("live", "job", "reason", "evidence"),
    [
        ("4×1,1", "1,1", "cpu_busy", "needs 1 core, at most 0 cores free on any node"),
        ("1×1,7", "1,2", "memory_busy", "needs 2GiB of memory, at most 1GiB of memory free"),
    ],
)
def test_busy_names_what_is_short(pool, why, live, job, reason, evidence):
    snapshot = pool(f"site here general 1×4,8 1 0.1\nlive 9 here/n0 {live} 30\njob 1 {job}")
    assert why(plan(snapshot)) == {1: reason}
    assert only_option(snapshot, "here").evidence.startswith(evidence)


def test_busy_card(pool, why):
    text = "site c ai 1×4,8,1 1 0.1 accelerator=A100-80\nlive 9 c/n0 1×1,1,1 30\njob 1 1,1,1"
    assert why(plan(pool(text))) == {1: "accelerator_busy"}


def test_licences_limit_starts_and_are_returned(pool, why, starts):
    text = "site s general 1×8,8 1 0 licences=m:3\njob 1 5×1,1 licences=m:1"
    result = plan(pool(text))
    assert starts(result) == ["1 s n0:3 3"]
    assert why(result) == {1: "licence_busy"}
    held = text + "\nlive 9 s/n0 2×1,1 30 licences=m:1"
    assert starts(plan(pool(held))) == ["1 s n0:1 2"]  # one at once, two in turn


def test_first_date_waits_until_enough_has_ended(pool, now_ms):
    """One core frees up after 10 s, the other three after 40 s; the job needs three."""
    text = "site s general 1×4,8 1 0\nlive 8 s/n0 1×1,1 10\nlive 9 s/n0 3×1,1 40\n"
    small, large = pool(text + "job 1 1,1"), pool(text + "job 1 3,1")
    assert explain(small, BALANCED, plan(small), 1).start_ms == now_ms + 10_000
    assert explain(large, BALANCED, plan(large), 1).start_ms == now_ms + 40_000
