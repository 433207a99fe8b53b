"""Packing one pod at a time: what must hold for every policy, and each policy's own rule."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fenglin.errors import InputError
from fenglin.planner.packers import drive
from fenglin.planner.packers.columns import Nodes, Policy, Shapes, Typical, Worth
from fenglin.planner.packers.fragments import fragments
from fenglin.planner.packers.pack import pack, twin, typical_of
from fenglin.planner.packers.packed import learn, learn_scarcity, surcharge
from fenglin.planner.packers.worth import best_cut, cutting_duals, node_worth

MODELS = 3


def columns(rows, width):
    return [np.array(column, dtype=np.int64) for column in zip(*rows, strict=True)] or [
        np.zeros(0, dtype=np.int64)
    ] * width


def cluster(rows, order=None):
    """Make nodes from (cpu_milli, memory_mib, gpus, model) rows."""
    cpu, memory, gpus, model = columns(rows, 4)
    places = np.arange(max(1, gpus.max()))
    return Nodes(
        cpu,
        memory,
        np.full(len(rows), 1001),
        (places[None, :] < gpus[:, None]) * 1000,
        gpus,
        model,
        np.array(order if order is not None else range(len(rows))),
        np.zeros(len(rows), dtype=np.int64),
    )


def shapes(rows):
    """Make shapes from (cpu_milli, memory_mib, gpu_milli, gpus, models) rows."""
    return Shapes(*columns(rows, 5))


def places(policy, nodes, pods, **options):
    """Place one pod of each shape in turn; return the nodes."""
    asked = shapes(pods)
    arrivals = np.arange(len(pods))
    if policy is Policy.FGD:
        options["typical"] = typical_of(asked, np.ones(len(pods), int), ("",) * len(pods))
    return pack(policy, nodes, asked, arrivals, plain=True, **options).node.tolist()


node_rows = st.tuples(
    st.integers(0, 16).map(lambda n: n * 1000),
    st.integers(0, 8).map(lambda n: n * 1024),
    st.integers(0, 4),
    st.integers(0, MODELS - 1),
)
gpu_requests = st.one_of(
    st.just((0, 0)),
    st.tuples(st.integers(1, 1000), st.just(1)),
    st.tuples(st.just(1000), st.integers(2, 4)),
)
shape_rows = st.tuples(
    st.integers(0, 6).map(lambda n: n * 1000),
    st.integers(0, 3).map(lambda n: n * 1024),
    gpu_requests,
    st.integers(0, 2**MODELS - 1),
).map(lambda row: (row[0], row[1], *row[2], row[3] if row[2][1] else 0))


@st.composite
def cases(draw):
    pool = cluster(draw(st.lists(node_rows, min_size=1, max_size=5)))
    pool = pool._replace(order=np.array(draw(st.permutations(range(len(pool.gpus))))))
    asked = draw(st.lists(shape_rows, min_size=1, max_size=5))
    picks = draw(st.lists(st.integers(0, len(asked) - 1), min_size=1, max_size=25))
    arrivals = np.array(picks, dtype=np.int64)
    names = tuple(str(row[4]) for row in asked)
    pods = np.bincount(arrivals, minlength=len(asked))
    return pool, shapes(asked), arrivals, typical_of(shapes(asked), pods, names)


def may_go(free, node, asked, s):
    """Tell in the plainest way whether a pod of shape s fits."""
    if free.cpu_milli[node] < asked.cpu_milli[s] or free.memory_mib[node] < asked.memory_mib[s]:
        return False
    if asked.gpus[s] == 0:
        return True
    if asked.models[s] and not asked.models[s] >> free.model[node] & 1:
        return False
    own = free.gpu_milli[node][: free.gpus[node]]
    return (own >= asked.gpu_milli[s]).sum() >= asked.gpus[s]


@pytest.mark.parametrize("policy", Policy)
@given(case=cases(), seed=st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_nothing_is_given_twice_and_nobody_refused(policy, case, seed):
    pool, asked, arrivals, typical = case
    done = pack(policy, pool, asked, arrivals, typical=typical, seed=seed)
    free = Nodes(*(column.copy() for column in pool))
    for s, node, gpu in zip(arrivals, done.node, done.gpu, strict=True):
        fitting = [i for i in range(len(pool.gpus)) if may_go(free, i, asked, s)]
        assert (node in fitting) if fitting else node == -1
        if node < 0:
            continue
        free.cpu_milli[node] -= asked.cpu_milli[s]
        free.memory_mib[node] -= asked.memory_mib[s]
        if gpu >= 0:
            assert (asked.gpus[s], gpu < pool.gpus[node]) == (1, True)
            free.gpu_milli[node, gpu] -= asked.gpu_milli[s]
            assert free.gpu_milli[node, gpu] >= 0
        else:
            whole = np.nonzero(free.gpu_milli[node] == 1000)[0][: asked.gpus[s]]
            assert asked.gpu_milli[s] in (0, 1000)
            free.gpu_milli[node, whole] = 0
    for name in ("cpu_milli", "memory_mib", "gpu_milli"):
        assert (getattr(done.left, name) == getattr(free, name)).all()


@pytest.mark.parametrize("policy", Policy)
@given(case=cases(), seed=st.integers(0, 2**31))
@settings(max_examples=6, deadline=None)
def test_compiled_and_plain_are_one(policy, case, seed):
    if twin() is None:
        pytest.skip("Numba is not installed: pip install 'fenglin[simulate]'")
    pool, asked, arrivals, typical = case
    fast = pack(policy, pool, asked, arrivals, typical=typical, seed=seed)
    plain = pack(policy, pool, asked, arrivals, typical=typical, seed=seed, plain=True)
    again = pack(policy, pool, asked, arrivals, typical=typical, seed=seed)
    for other in (plain, again):
        assert (fast.node.tolist(), fast.gpu.tolist()) == (other.node.tolist(), other.gpu.tolist())


def busy_case(pods=130):
    """A case in which `packed` learns more than once, and much is rejected."""
    asked = shapes([
        (3000, 4096, 810, 1, 0), (8000, 8192, 470, 1, 0), (4000, 4096, 320, 1, 1),
        (9000, 8192, 1000, 1, 0), (6000, 1024, 0, 0, 0), (20000, 8192, 1000, 2, 0),
        (2000, 1024, 160, 1, 0),
    ])  # fmt: skip
    pool = cluster([(48_000, 65_536, 4, 0)] * 5 + [(80_000, 65_536, 2, 1)] * 4)
    arrivals = np.array([(i * i + i // 3) % 7 for i in range(pods)])
    typical = typical_of(asked, np.bincount(arrivals), ("", "", "A", "", "", "", ""))
    return pool, asked, arrivals, typical


@pytest.mark.parametrize("policy", [Policy.FGD, Policy.PACKED, Policy.BESTFIT])
def test_looking_at_changed_nodes_only_changes_nothing(policy, monkeypatch):
    pool, asked, arrivals, typical = busy_case()
    lazy = pack(policy, pool, asked, arrivals, typical=typical)

    def refresh_all(policy, nodes, shapes, shape, mind, *_):
        for node in range(len(nodes.gpus)):
            drive.rate(policy, nodes, node, shapes, shape, mind)

    monkeypatch.setattr(drive, "refresh", refresh_all)
    eager = pack(policy, pool, asked, arrivals, typical=typical, plain=True)
    assert (eager.node < 0).any()
    assert (lazy.node.tolist(), lazy.gpu.tolist()) == (eager.node.tolist(), eager.gpu.tolist())


def test_packed_knows_only_what_has_arrived():
    pool, asked, arrivals, _ = busy_case()
    whole = pack(Policy.PACKED, pool, asked, arrivals)
    for cut in (1, 49, 51, 100):
        part = pack(Policy.PACKED, pool, asked, arrivals[:cut])
        assert part.node.tolist() == whole.node[:cut].tolist()


def test_ties_go_to_the_smallest_order():
    rows = [(8000, 8192, 1, 0)] * 3
    for policy in set(Policy) - {Policy.RANDOM}:
        assert places(policy, cluster(rows, [2, 0, 1]), [(1000, 0, 1000, 1, 0)]) == [1]


def test_random_reaches_every_node_and_repeats_by_seed():
    pool = cluster([(8000, 8192, 1, 0)] * 4)
    found = [places(Policy.RANDOM, pool, [(1000, 0, 500, 1, 0)], seed=s)[0] for s in range(60)]
    assert set(found) == {0, 1, 2, 3}
    assert found == [
        places(Policy.RANDOM, pool, [(1000, 0, 500, 1, 0)], seed=s)[0] for s in range(60)
    ]


def test_simple_policies_differ_as_they_should():
    # Node 0 is the fuller one after the first pod, which only it can hold.
    pool = cluster([(64_000, 8192, 2, 0), (32_000, 8192, 2, 1)])
    first, second = (33_000, 0, 400, 1, 0), (1000, 0, 400, 1, 0)
    assert places(Policy.BESTFIT, pool, [first, second]) == [0, 0]
    assert places(Policy.DOTPROD, pool, [first, (1000, 0, 1000, 1, 0)]) == [0, 0]
    assert places(Policy.GPUPACKING, pool, [first, second]) == [0, 0]
    # A whole GPU keeps away from the node with a shared one.
    assert places(Policy.GPUCLUSTERING, pool, [first, (1000, 0, 1000, 1, 0)]) == [0, 1]
    assert places(Policy.GPUCLUSTERING, pool, [first, second]) == [0, 0]


def test_fragments_of_a_node_by_hand():
    def whole(values):
        return np.array(values, dtype=np.int64)

    typical = Typical(
        whole([4000, 4000, 1000, 9000]),
        whole([500, 1000, 0, 200]),
        whole([1, 2, 0, 1]),
        whole([0, 0, 0, 0]),
        np.array([0.5, 0.25, 0.125, 0.125]),
    )
    # 300 + 1000 left. Half a GPU: 300 wasted. Two GPUs, CPU only, too much CPU: all 1300.
    assert fragments(8000, whole([300, 1000]), 2, 0, typical) == 0.5 * 300 + 0.5 * 1300
    assert fragments(1000, whole([300, 1000]), 2, 0, typical) == 1300


def test_typical_pods_are_cut_and_ordered():
    asked = shapes([(1, 1, 500, 1, 0), (2, 1, 500, 1, 0), (2, 9, 500, 1, 0), (3, 1, 0, 0, 0)])
    typical = typical_of(asked, np.array([60, 20, 16, 4]), ("", "", "", ""))
    assert typical.cpu_milli.tolist() == [1, 2]
    assert typical.share == pytest.approx([60 / 96, 36 / 96])


def duals(pairs):
    """Return the worths of (size, pods) pairs, rising, and the best cut of a GPU."""
    size, pods = (np.array(column) for column in zip(*pairs, strict=True))
    n = len(pairs)
    worth, best, last = np.zeros(n), np.zeros(1001), np.zeros(1001, dtype=np.int64)
    work = np.zeros((4, 1001))
    cutting_duals(size, worth, pods.astype(float), np.zeros((n, n)), work, last)
    best_cut(size, worth, best, last)
    return worth, best[1000]


@pytest.mark.parametrize(
    ("pairs", "gpus"),
    [
        ([(500, 10)], 5),
        ([(160, 3), (810, 10)], 10),
        ([(160, 30), (810, 10)], 10 + 20 / 6),
        ([(350, 8), (650, 8)], 8),
        ([(320, 6), (470, 10), (650, 4)], 9 + 2 / 3),
    ],
)
def test_worths_are_the_duals_of_the_cutting_problem(pairs, gpus):
    worth, best = duals(pairs)
    # Feasible, and as much as a cutting into that many GPUs: so both are optimal.
    assert best <= 1 + 1e-6
    assert sum(w * n for w, (_, n) in zip(worth, pairs, strict=True)) == pytest.approx(gpus)


def knowledge(seen, capacity=(1,)):
    capacity = np.array(capacity, dtype=float)
    return Worth(
        np.array(seen, dtype=float), np.zeros(14), np.zeros((14, 1001)),
        capacity, np.zeros(len(capacity)), np.zeros(1),
    )  # fmt: skip


def test_scarce_models_and_free_nodes_have_a_price():
    # 10 of 20 GPUs are asked for anywhere, 5 on model 1, 5 in whole nodes; model 1 is 1 in 5.
    asked = shapes([(0, 0, 500, 1, 0), (0, 0, 1000, 1, 0b10), (0, 0, 1000, 5, 0)])
    known = knowledge([20, 5, 1], [16, 4])
    learn_scarcity(asked, known)
    assert known.scarcity == pytest.approx([0, 5 / 20 / (4 / 20)])
    assert known.opening[0] == pytest.approx(0.2 * 0.25 / (1.1 - 0.25))
    pool = cluster([(0, 0, 4, 1), (0, 0, 8, 0)])
    pool.gpu_milli[0, 0] = 500
    prices = [surcharge(pool, node, asked, 0, known) for node in (0, 1)]
    assert prices == pytest.approx([0.15 * 1.25 * 0.5, known.opening[0]])


def test_packed_keeps_a_scarce_model_for_those_who_need_it():
    pool = cluster([(96_000, 8192, 8, 0), (96_000, 8192, 8, 1)])
    needs_0, any_gpu = (1000, 1, 1000, 1, 0b1), (1000, 2, 1000, 1, 0)
    alone = places(Policy.PACKED, pool, [any_gpu])
    after = places(Policy.PACKED, pool, [needs_0, any_gpu])
    assert alone == [0]
    assert after == [0, 1]


def test_a_hole_that_nobody_wants_is_worth_little():
    asked = shapes([(1000, 0, 810, 1, 0), (1000, 0, 160, 1, 0), (1000, 0, 500, 1, 0)])
    known = knowledge([50, 2, 20])
    learn(asked, known)
    free_cpu = known.table[0]
    assert free_cpu[190] == pytest.approx(0.0, abs=1e-6)
    assert free_cpu[500] > 0.4
    assert (np.diff(free_cpu) >= 0).all()
    # Without CPU nothing can be earned, and more CPU never harms.
    gpus = np.array([1000, 500], dtype=np.int64)
    earned = [node_worth(known, cpu, gpus, 2) for cpu in (0, 500, 1000, 2000, 10**6)]
    assert earned[0] == 0
    assert earned == sorted(earned)


def test_fgd_and_packed_fill_a_hole_before_a_free_gpu():
    rows = [(32_000, 65_536, 1, 0)] * 2
    pods = [(1000, 0, 500, 1, 0), (1001, 0, 500, 1, 0)]
    for policy in (Policy.FGD, Policy.PACKED):
        assert len(set(places(policy, cluster(rows), pods))) == 1


@pytest.mark.parametrize(
    ("pod", "words"),
    [
        ((-1, 0, 0, 0, 0), "negative"),
        ((0, 0, 1500, 1, 0), "1000 milli"),
        ((0, 0, 500, 2, 0), "parts of several"),
        ((0, 0, 0, 1, 0), "without gpu_milli"),
        ((0, 0, 500, 0, 0), "without GPUs"),
    ],
)
def test_senseless_requests_are_refused(pod, words):
    with pytest.raises(InputError, match=words):
        places(Policy.BESTFIT, cluster([(1, 1, 1, 0)]), [pod])


def test_senseless_streams_are_refused():
    pool, asked = cluster([(1, 1, 1, 0)]), shapes([(0, 0, 0, 0, 0)])
    with pytest.raises(InputError, match="names no shape"):
        pack(Policy.BESTFIT, pool, asked, np.array([1]))
    with pytest.raises(InputError, match="no typical pods"):
        pack(Policy.FGD, pool, asked, np.array([0]))
    with pytest.raises(InputError, match="more GPUs than columns"):
        pack(Policy.BESTFIT, pool._replace(gpus=np.array([2])), asked, np.array([0]))


def test_without_numba_the_kernels_run_plain(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    twin.cache_clear()
    try:
        assert twin() is None
        done = pack(Policy.PACKED, *busy_case(20)[:3])
        assert (done.node >= 0).all()
    finally:
        twin.cache_clear()
