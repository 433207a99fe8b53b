"""The rounds: exact assignment, values, and the model of goodput."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fenglin.errors import InputError
from fenglin.planner.backfill.twins import compiled
from fenglin.planner.rounds import elastic, goodput
from fenglin.planner.rounds.columns import NOWHERE
from fenglin.planner.rounds.elastic import NEVER, Crew, assign, configurations
from fenglin.planner.rounds.goodput import TERMS, Limits, Seen, best_batch, fit, misfit

MENU = configurations((1, 2), (4, 2))
ROOM = np.array([4, 4])


def test_configurations_are_parts_of_a_node_and_whole_nodes():
    rows = list(zip(*(column.tolist() for column in MENU), strict=True))
    assert rows == [(0, 1, 1), (0, 1, 2), (0, 1, 4), (1, 1, 1), (1, 1, 2), (1, 2, 4)]
    with pytest.raises(InputError, match="too large"):
        configurations((100, 100, 100), (8, 8, 8))
    with pytest.raises(InputError, match="a node and a card"):
        configurations((0, 1), (8, 8))


def run_assign(values, kernel=assign):
    best = np.zeros((2, int(np.prod(ROOM + 1))))
    chosen = np.zeros((len(values), best.shape[1]), dtype=np.int16)
    picked = np.full(len(values), NOWHERE)
    kernel(values, MENU.kind, MENU.cards, ROOM, best, chosen, picked)
    return picked.tolist()


def total(values, picked):
    used = np.zeros(2, dtype=int)
    for c in picked:
        if c != NOWHERE:
            used[MENU.kind[c]] += MENU.cards[c]
    if (used > ROOM).any():
        return NEVER
    return sum(row[c] for row, c in zip(values, picked, strict=True))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(-3, 9), min_size=7, max_size=7), min_size=1, max_size=4))
def test_no_assignment_is_worth_more(rows):
    values = np.array(rows, dtype=float)
    every = product([NOWHERE, *range(6)], repeat=len(rows))
    assert total(values, run_assign(values)) == max(total(values, one) for one in every)


def test_compiled_kernels_decide_alike():
    kernels = compiled((*goodput.KERNELS, *elastic.KERNELS))
    if kernels is None:
        pytest.skip("Numba is not installed")
    draw = np.random.default_rng(5)
    values = draw.random((6, 7))
    assert run_assign(values, kernels["assign"]) == run_assign(values)
    seen, terms, twin = steps(), np.zeros(TERMS), np.zeros(TERMS)
    fit(seen, terms)
    kernels["fit"](seen, twin)
    np.testing.assert_allclose(misfit(twin, seen, twin * 0), misfit(terms, seen, terms * 0), 1e-6)


def crew(**changed):
    fields = {
        "goodput": np.array([[1.0, 1.8, 3.0, 2.0, 3.5, 0.0], [1.0, 2.0, 4.0, 0.0, 0.0, 0.0]]),
        "held": np.array([1, NOWHERE]),
        "locked": np.array([0, 0]),
        "age_s": np.array([600.0, 600.0]),
        "restarts": np.array([2, 0]),
        "restart_s": np.array([60.0, 60.0]),
        "work": np.array([500.0, 500.0]),
    }
    return Crew(**(fields | changed))


def test_sia_minimises_powers_of_goodput_and_spares_who_was_changed_often():
    values = elastic.sia_values(crew())
    # 1.8 ** -0.5 is 0.75; four cards count (600 - 2 * 60) / (600 + 60) of 3 for who holds two.
    assert values[0, 1] == pytest.approx(1.1 - 0.75)
    assert values[0, 2] == pytest.approx(1.1 - round((3 * 480 / 660) ** -0.5, 2))
    assert values[1, 2] == pytest.approx(1.1 - 0.5)
    assert values[0, 5] == NEVER
    assert values[:, -1].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("values_of", [elastic.sia_values, elastic.fenglin_values])
def test_who_loads_keeps_its_cards(values_of):
    values = values_of(crew(locked=np.array([1, 0])))
    assert [c for c in range(7) if values[0, c] > NEVER] == [1]
    assert run_assign(values)[0] == 1


def test_ours_favours_who_is_nearly_done_and_what_is_held():
    values = elastic.fenglin_values(crew(held=np.array([0, 0]), work=np.array([50.0, 5_000.0])))
    assert values[0, 0] > values[1, 0]
    moved, kept = (
        elastic.fenglin_values(crew()),
        elastic.fenglin_values(crew(held=np.array([2, 2]))),
    )
    assert kept[1, 2] > moved[1, 2]


def steps():
    rows = [
        (nodes, cards, local, local / 100 + 0.02, local / 100 + 0.02 + 0.1 * nodes * (cards > 1))
        for nodes, cards in ((1, 1), (1, 2), (1, 4), (2, 8))
        for local in (8, 16, 64)
    ]
    return Seen(*np.array(rows, dtype=float).T.copy())


def test_the_model_fits_what_was_seen():
    seen, terms = steps(), np.zeros(TERMS)
    fit(seen, terms)
    assert misfit(terms, seen, np.zeros(TERMS)) < 0.02
    assert terms[0] + terms[1] * 64 == pytest.approx(0.66, rel=0.05)


def test_the_slope_is_the_misfits():
    seen, terms, slope = steps(), np.array([0.1, 0.02, 0.2, 0.03, 0.1, 0.01, 1.4]), np.zeros(TERMS)
    misfit(terms, seen, slope)
    for k in range(TERMS):
        more, less = terms.copy(), terms.copy()
        more[k] *= np.exp(1e-5)
        less[k] *= np.exp(-1e-5)
        rise = misfit(more, seen, np.zeros(TERMS)) - misfit(less, seen, np.zeros(TERMS))
        assert slope[k] == pytest.approx(rise / 2e-5, abs=1e-6)


def test_noisy_gradients_ask_for_large_batches():
    terms, limits = np.array([0.05, 0.001, 0.1, 0.0, 0.05, 0.0, 1.0]), Limits(32, 1024, 8, 128)
    _, quiet, no_pass = best_batch(terms, 1.0, 1.0, limits, 1.0, 4.0)
    _, noisy, passes = best_batch(terms, 1.0, 1e4, limits, 1.0, 4.0)
    assert quiet * (no_pass + 1) < noisy * (passes + 1)
    assert best_batch(terms, 1.0, 1.0, limits, 1.0, 128.0)[0] > 0
    assert best_batch(terms, 1.0, 1.0, Limits(32, 1024, 500, 128), 1.0, 4.0) == (0.0, 0, 0)
