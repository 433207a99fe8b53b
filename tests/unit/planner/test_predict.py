"""What the predictor learns, how wrong it says it is, and that its state goes through JSON."""

import json
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fenglin.errors import InputError
from fenglin.planner import predict
from fenglin.planner.predict import LEVELS, OCTAVE, Predictor, amount, octaves

MINUTE, HOUR = 60_000, 3_600_000


@given(st.integers(1, 2**50))
def test_the_logarithm_of_whole_numbers(value):
    assert abs(octaves(value) / OCTAVE - math.log2(value)) < 0.09
    assert octaves(value) <= octaves(value + 1)
    # Both round down, each by less than one part of an octave.
    assert value * (1 - 2 / OCTAVE) - 1 <= amount(octaves(value)) <= value


def test_without_experience_requests_are_exaggerated():
    none = Predictor().predict("ann", request_ms=HOUR)
    assert none.ms == pytest.approx(HOUR / 2**1.5, rel=0.1)
    assert none.low_ms < none.ms < none.high_ms
    assert none.evidence == 0
    assert Predictor().predict("ann").ms == pytest.approx(predict.UNKNOWN_MS, rel=0.01)


def test_a_user_who_repeats_himself_is_known_soon():
    ours = Predictor()
    for _ in range(3):
        ours.observe("ann", request_ms=HOUR, runtime_ms=MINUTE)
    known = ours.predict("ann", request_ms=HOUR)
    assert MINUTE * 0.7 < known.ms < MINUTE * 1.8
    assert known.evidence == LEVELS - 1
    # Another size or request of hers is near; other users are not taken for her.
    near = ours.predict("ann", request_ms=2 * HOUR, procs=8)
    assert known.ms <= near.ms < 10 * MINUTE
    assert ours.predict("bob", request_ms=HOUR).ms > 2 * known.ms
    assert ours.predict("bob", request_ms=HOUR).evidence == 1


def test_names_tell_applications_apart():
    ours = Predictor()
    for _ in range(6):
        ours.observe("ann", "mesh", request_ms=HOUR, runtime_ms=MINUTE)
        ours.observe("ann", "solve", request_ms=HOUR, runtime_ms=50 * MINUTE)
    assert ours.predict("ann", "mesh", request_ms=HOUR).ms < 3 * MINUTE
    assert ours.predict("ann", "solve", request_ms=HOUR).ms > 25 * MINUTE


def test_the_last_runs_count_most():
    ours = Predictor()
    for runtime_ms in [MINUTE] * 20 + [30 * MINUTE] * 6:
        ours.observe("ann", runtime_ms=runtime_ms, request_ms=HOUR)
    assert ours.predict("ann", request_ms=HOUR).ms > 15 * MINUTE


def test_own_finished_tasks_count_first():
    ours = Predictor()
    for _ in range(20):
        ours.observe("ann", "render", runtime_ms=HOUR)
    before = ours.predict("ann", "render", job=7)
    for _ in range(2):
        ours.observe("ann", "render", runtime_ms=MINUTE, job=7)
    own, other = ours.predict("ann", "render", job=7), ours.predict("ann", "render", job=8)
    assert own.evidence == LEVELS
    assert own.ms < other.ms < before.ms


def test_nothing_runs_longer_than_its_limit():
    ours = Predictor()
    for _ in range(5):
        ours.observe("ann", runtime_ms=HOUR)
    assert ours.predict("ann", limit_ms=MINUTE)[:3] == (MINUTE, MINUTE, MINUTE)


@pytest.mark.parametrize("bias", [1.0, 5.0])
def test_eight_of_ten_run_between_low_and_high(bias):
    """Also where its first guess is wrong throughout, for what it follows is its own error."""
    chance = random.Random(3)
    ours, inside, above = Predictor(), 0, 0
    users = {f"u{i}": chance.lognormvariate(math.log(10 * MINUTE), 1.5) for i in range(12)}
    rounds, warm = 4_000, 500
    for turn in range(rounds + warm):
        user = chance.choice(sorted(users))
        runtime_ms = round(users[user] * bias * chance.lognormvariate(0, 0.8))
        said = ours.predict(user)
        if turn >= warm:
            inside += said.low_ms <= runtime_ms <= said.high_ms
            above += runtime_ms > said.ms
        ours.observe(user, runtime_ms=runtime_ms)
    assert inside / rounds == pytest.approx(0.8, abs=0.03)
    assert above / rounds == pytest.approx(0.5, abs=0.03)
    low, middle, high = ours.errors()[LEVELS - 1]
    assert low < middle < high
    assert middle == pytest.approx(1, rel=0.4)


def trained(count, **options):
    ours = Predictor(**options)
    chance = random.Random(5)
    for _ in range(count):
        user, name = chance.choice("abcdef"), chance.choice(["", "x", "y"])
        ours.observe(
            user, name, runtime_ms=chance.randrange(1, HOUR), request_ms=chance.choice([0, HOUR]),
            procs=chance.choice([1, 4]), job=chance.choice([0, 0, 11, 12]),
        )  # fmt: skip
    return ours


def test_a_stored_predictor_goes_on_as_if_nothing_had_happened():
    ours = trained(200, most_classes=40)
    again = Predictor.from_dict(json.loads(json.dumps(ours.as_dict())))
    for turn in range(80):
        for each in (ours, again):
            each.observe("abcdefgh"[turn % 8], runtime_ms=1_000 + 97 * turn, job=turn % 3)
    assert ours.as_dict() == again.as_dict()
    assert ours.predict("a", "x", request_ms=HOUR) == again.predict("a", "x", request_ms=HOUR)


def test_what_is_longest_unseen_is_forgotten_first():
    ours = Predictor(most_classes=2 * LEVELS)
    for i in range(50):
        ours.observe("kept", runtime_ms=MINUTE)
        ours.observe(f"user {i}", runtime_ms=HOUR)
    assert len(ours.as_dict()["classes"]) == 2 * LEVELS
    assert ours.predict("kept").evidence == LEVELS - 1
    assert ours.predict("user 49").evidence == LEVELS - 1
    assert ours.predict("user 1").evidence == 1
    with pytest.raises(InputError, match="at least"):
        Predictor(most_classes=LEVELS - 1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 0}, "version 0"),
        ({"errors": [[0, 0, 0]]}, "damaged"),
        ({"errors": [[0, 0]] * (LEVELS + 1)}, "damaged"),
        ({"classes": [["key", "not a number", 0]]}, "damaged"),
        ({"classes": [[["list in a key", []], 1, 1]]}, "damaged"),
        ({"classes": None}, "damaged"),
    ],
)
def test_damaged_states_are_refused(change, said):
    with pytest.raises(InputError, match=said):
        Predictor.from_dict({**trained(5).as_dict(), **change})
