"""Identifiers: there and back, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fenglin.errors import InputError
from fenglin.model.ids import attempt_key, job_id, parse_attempt_key, parse_job_id

NUMBERS = st.integers(1, 10**17)


@given(NUMBERS)
def test_job_ids_go_there_and_back(number):
    assert parse_job_id(job_id(number)) == number


@given(st.from_regex(r"[a-z0-9-]{1,20}", fullmatch=True), NUMBERS, st.integers(1, 999))
def test_attempt_keys_go_there_and_back(hub, allocation, number):
    # Also for a hub whose own id looks like the end of a key.
    assert parse_attempt_key(attempt_key(hub, allocation, number)) == (hub, allocation, number)


@pytest.mark.parametrize(
    "text", ["", "j", "j0", "j01", "J1", "a1", "j-1", "j1 ", "j1\n", "j٣", "j" + "9" * 5000, "1"]
)
def test_no_job_id(text):
    with pytest.raises(InputError) as caught:
        parse_job_id(text)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    "key", ["", "h", "h-a1", "h-a1-", "-a1-1", "h-a0-1", "h-a1-0", "h-a٣-1", "h-a1-1x",
            "h-a" + "9" * 5000 + "-1"],
)  # fmt: skip
def test_no_attempt_key(key):
    with pytest.raises(InputError):
        parse_attempt_key(key)
