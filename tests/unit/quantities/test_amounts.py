"""Durations, sizes, money, vectors: exact, bounded, and never a traceback."""

from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fenglin.errors import InputError
from fenglin.quantities.durations import MAX_DURATION_MS, format_duration, parse_duration_ms
from fenglin.quantities.money import (
    MAX_MICRO,
    format_money,
    parse_money_micro,
    rate_micro,
    split_micro,
)
from fenglin.quantities.resources import Resources
from fenglin.quantities.sizes import (
    MAX_BYTES,
    format_bytes,
    format_milli,
    parse_bytes,
    parse_milli,
)

PARSERS = (parse_duration_ms, parse_bytes, parse_milli, parse_money_micro)
HUGE = 10**5000


@pytest.mark.parametrize(
    ("value", "ms"),
    [
        ("90s", 90_000),
        ("2h30m", 9_000_000),
        ("1.5h", 5_400_000),
        ("250ms", 250),
        ("1-02:03:04", 93_784_000),
        ("01:30:00", 5_400_000),
        (1.001, 1_001),  # not the 1000 that the binary fraction cut off would be
        (0.1, 100),
        (0, 0),
        ("0.4ms", 1),  # never 0, which would mean no limit
        (1e-9, 1),
        ("520w", 314_496_000_000),
    ],
)
def test_durations(value, ms):
    assert parse_duration_ms(value) == ms


@pytest.mark.parametrize(
    ("value", "amount"),
    [
        ("32MiB", 2**25),
        ("4GB", 4 * 10**9),
        ("1.5 GiB", 3 * 2**29),
        (7, 7),
        ("1eib", None),
        ("1024PiB", MAX_BYTES),
        ("1025PiB", None),
        (MAX_BYTES + 1, None),
    ],
)
def test_sizes(value, amount):
    if amount is None:
        with pytest.raises(InputError):
            parse_bytes(value)
    else:
        assert parse_bytes(value) == amount


@pytest.mark.parametrize(
    ("value", "milli"), [(2, 2_000), ("0.1", 100), ("500m", 500), (0.001, 1), ("1000000", 10**9)]
)
def test_counts(value, milli):
    assert parse_milli(value) == milli


@pytest.mark.parametrize("value", ["1000001", "1000000001m", "0.0001", 1e-4])
def test_counts_refused(value):
    with pytest.raises(InputError):
        parse_milli(value)


@pytest.mark.parametrize(
    ("value", "micro"), [("0.12 CNY", 120_000), (0.1, 100_000), ("-3", -3_000_000), (7, 7_000_000)]
)
def test_money(value, micro):
    assert parse_money_micro(value) == micro
    assert parse_money_micro(format_money(micro)) == micro


@pytest.mark.parametrize("value", ["1 USD", "0.0000001", "999999999999", "1e3", 1e20, 1e-7])
def test_money_refused(value):
    with pytest.raises(InputError):
        parse_money_micro(value)


@pytest.mark.parametrize("parse", PARSERS)
@pytest.mark.parametrize(
    "value",
    [True, HUGE, -HUGE, float("nan"), float("inf"), -1e999, "", "x" * 10**5, "1" * 10**4, "٣s",
     "٣", "1\0", "nan", "Infinity", "0x10", "1_000", "--1", "²"],
    ids=lambda value: ascii(value)[:12] if isinstance(value, str) else type(value).__name__,
)  # fmt: skip
def test_refused_in_one_short_sentence(parse, value):
    with pytest.raises(InputError) as caught:
        parse(value)
    assert len(str(caught.value)) < 300


@given(st.one_of(st.text(max_size=30), st.floats(), st.integers()))
@example("1-00:00:00")
def test_a_value_is_read_or_refused(value):
    for parse, most in zip(PARSERS, (MAX_DURATION_MS, MAX_BYTES, 10**9, MAX_MICRO), strict=True):
        try:
            found = parse(value)
        except InputError:
            continue
        assert type(found) is int
        assert abs(found) <= most


@given(st.integers(0, MAX_DURATION_MS))
def test_a_duration_is_shown_within_its_second_unit(ms):
    shown = parse_duration_ms(format_duration(ms))
    assert 0 <= ms - shown < max(1_000, ms // 20)
    assert format_duration(-ms) == ("-" if ms else "") + format_duration(ms)


@given(st.integers(-(10**12), 10**12))
def test_milli_is_shown_exactly(milli):
    assert Fraction(format_milli(milli)) == Fraction(milli, 1_000)


@pytest.mark.parametrize(
    ("amount", "text"), [(0, "0B"), (1_536, "1.5KiB"), (2**30, "1GiB"), (-(2**20), "-1MiB")]
)
def test_bytes_are_shown_short(amount, text):
    assert format_bytes(amount) == text


@given(st.integers(0, 10**30), st.integers(1, 10**15), st.integers(0, 10**12))
@example(1, 2, 1)
@example(1, 2, 3)
def test_rating_is_the_exact_quotient_rounded_half_to_even(quantity, per, price):
    assert rate_micro(quantity, per, price) == round(Fraction(quantity * price, per))


@given(
    st.integers(-(10**15), 10**15),
    st.lists(st.integers(0, 10**9), min_size=1, max_size=20).filter(any),
)
def test_a_split_sums_exactly_and_is_nearest(amount, weights):
    parts = split_micro(amount, tuple(weights))
    assert sum(parts) == amount
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part - Fraction(amount * weight, sum(weights))) < 1


def test_a_split_gives_ties_to_the_earlier():
    assert split_micro(5, (1, 1, 1)) == (2, 2, 1)


@pytest.mark.parametrize("weights", [(), (0, 0), (1, -1), (2, -1)])
def test_a_split_by_nothing_is_refused(weights):
    with pytest.raises(ValueError, match="weights"):
        split_micro(5, weights)


VECTOR = st.builds(Resources, *(st.integers(0, 50) for _ in range(4)))


@given(VECTOR, VECTOR)
def test_count_is_the_most_that_fits(need, free):
    count = need.count_in(free)
    assert need.times(count).fits_in(free) or not any(need)
    assert not any(need) or not need.times(count + 1).fits_in(free)
    assert (free - need) + need == free
