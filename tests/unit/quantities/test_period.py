"""Months of account."""

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fenglin.errors import InputError
from fenglin.quantities.period import (
    Period,
    parse_offset_min,
    parse_period,
    period_of,
)


def test_a_month_begins_at_midnight_of_the_books_zone():
    period = parse_period("2026-11")
    beijing = timezone(timedelta(hours=8))
    assert period.from_ms == datetime(2026, 11, 1, tzinfo=beijing).timestamp() * 1_000
    assert period.to_ms == datetime(2026, 12, 1, tzinfo=beijing).timestamp() * 1_000
    assert str(period) == "2026-11"


def test_months_follow_one_another():
    period = Period(2026, 12)
    assert period.next() == Period(2027, 1)
    assert period.next().previous() == period
    assert Period(2026, 1).previous() == Period(2025, 12)
    assert Period(2026, 2) > Period(2026, 1) > Period(2025, 12)


@given(
    st.integers(86_400_000, 250_000_000_000_000), st.sampled_from([-720, -210, 0, 330, 480, 840])
)
def test_every_moment_lies_in_its_month(time_ms, offset_min):
    period = period_of(time_ms, offset_min)
    assert period.from_ms <= time_ms < period.to_ms
    assert parse_period(str(period), offset_min) == period


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026",
        "2026-13",
        "2026-00",
        "2026-1",
        "26-11",
        "2026-11-01",
        "\u0661\u0669\u0669\u0669-11",
        "1969-12",
    ],
)
def test_what_is_no_month(text):
    with pytest.raises(InputError, match="not a month"):
        parse_period(text)


def test_offsets():
    assert parse_offset_min("+08:00") == 480
    assert parse_offset_min("-03:30") == -210
    for text in ("", "8", "+8:00", "+15:00", "+08:60", "Asia/Shanghai"):
        with pytest.raises(InputError, match="no offset"):
            parse_offset_min(text)
