"""Brakes: rests that double, end by themselves, and are never slept through."""

from fenglin.engine.breaker import FIRST_REST_MS, MOST_REST_MS, Breakers


def test_rests_double_up_to_a_minute_and_a_success_ends_them(clock):
    brakes = Breakers(clock)
    rests = []
    for _ in range(12):
        brakes.bad("s", "no route")
        rests += brakes.due_in_ms()
        clock.advance(rests[-1] - 1)
        assert "no route" in brakes.problem("s")
        clock.advance(1)
        assert brakes.problem("s") == ""
    assert rests[:3] == [FIRST_REST_MS, 2 * FIRST_REST_MS, 4 * FIRST_REST_MS]
    assert rests[-1] == MOST_REST_MS
    brakes.good("s")
    brakes.bad("s", "again")
    assert brakes.due_in_ms() == [FIRST_REST_MS]


def test_a_rest_that_ended_unnoticed_is_still_due(clock):
    brakes = Breakers(clock)
    brakes.bad("s", "no route")
    assert brakes.problem("s")
    clock.advance(FIRST_REST_MS + 700)  # a long plan, say
    assert brakes.due_in_ms() == [-700]
    assert brakes.problem("s") == ""
    assert brakes.due_in_ms() == []


def test_sites_rest_each_for_itself(clock):
    brakes = Breakers(clock)
    brakes.bad("one", "x")
    assert brakes.problem("two") == ""


def test_what_is_seen_again_or_has_ended_is_not_remembered(clock):
    brakes = Breakers(clock)
    assert brakes.absent_ms(1) == 0
    clock.advance(500)
    assert brakes.absent_ms(1) == 500
    brakes.present(1)
    assert brakes._absent_since_ms == {}
    assert brakes.absent_ms(1) == 0
