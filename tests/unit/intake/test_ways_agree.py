"""The quick way of request bodies, the thorough way, and the YAML reader say the same."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.unit.intake.documents import DOCUMENTS, SPOILED

from fenglin.errors import InputProblems
from fenglin.intake import native
from fenglin.intake.document import to_document
from fenglin.intake.fields import check_job
from fenglin.intake.report import Report

NOW_MS = 1_700_000_000_000


def quick(body: bytes) -> object:
    data = native._quick(body)
    return None if data is None else check_job(data, Report(NOW_MS))


def thorough(body: bytes) -> object:
    return native._thorough(body, NOW_MS, ())[0]


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(DOCUMENTS | SPOILED, st.booleans())
def test_quick_and_thorough_agree_on_any_document(document: dict, ascii_only: bool) -> None:
    body = json.dumps(document, ensure_ascii=ascii_only).encode(errors="surrogatepass")
    if b"\\u003" not in body:
        assert quick(body) == thorough(body)
    else:
        assert quick(body) is None


PIECES = st.sampled_from(
    ['"name":"x"', '"name":"y"', '"command":["a:b"]', '"command":["\\u003a"]', '"tasks":1',
     '"tasks":2', '"\\u0074asks":3', '"env":{"A":1,"A":":"}', '"env":{"A":":"}', '"labels":{}',
     '"resources":{"cpu":1,"cpu":2}', '"priority":01', '"priority":1e999', '"priority":NaN',
     '"priority":-0', '"nodes":1.0', '"script":"\\ud800"', '"script":"\\udc00x"', '"env":{"B":1E2}',
     '"env":{"B":123456789012345678901234567890123456789012}', '"env":{"B":1e-400}']
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(st.lists(PIECES, min_size=1, max_size=6), st.sampled_from([",", ", ", ",\n", ",,", " "]))
@example(['"name":"x"', '"command":["\\u003a"]', '"tasks":1', '"tasks":2'], ",")
def test_quick_and_thorough_agree_on_raw_text(pieces: list[str], comma: str) -> None:
    body = ("{" + comma.join(pieces) + "}").encode()
    found = quick(body)
    if found is not None or b"\\u003" not in body:
        assert found == thorough(body)


@settings(max_examples=40, deadline=None)
@given(DOCUMENTS)
def test_yaml_reads_json_text_alike(document: dict) -> None:
    text = json.dumps(document, ensure_ascii=False)
    (as_json,) = native.read_file_text(text, "job.json")
    (as_yaml,) = native.read_file_text(text, "job.yaml")
    problems = as_json.problems(NOW_MS)
    assert as_yaml.problems(NOW_MS) == problems
    if not problems:
        assert as_json.spec(NOW_MS) == as_yaml.spec(NOW_MS)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(DOCUMENTS)
def test_a_spec_gives_a_document_that_gives_the_spec(document: dict) -> None:
    try:
        spec = native.decode_json(json.dumps(document).encode(), NOW_MS)
    except InputProblems:
        return  # parts that contradict each other; the ways' agreement is tested above
    again = native.decode_json(json.dumps(to_document(spec)).encode(), NOW_MS)
    assert again == spec
    assert to_document(again) == to_document(spec)


def test_the_strategy_makes_mostly_good_documents() -> None:
    good = 0

    @settings(max_examples=40, deadline=None, database=None, derandomize=True)
    @given(DOCUMENTS)
    def count(document: dict) -> None:
        nonlocal good
        good += check_job(document, Report(NOW_MS)) is not None

    count()
    assert good > 30


@pytest.mark.parametrize("separator", [b",", b"\n"])
def test_a_batch_is_its_items(separator: bytes) -> None:
    bodies = [
        json.dumps({"name": f"n{i}", "command": ["a:b"], "tasks": i}).encode() for i in (1, 2, 3)
    ]
    joined = separator.join(bodies)
    body = b" [" + joined + b"]" if separator == b"," else joined + b"\r\n\n"
    specs = native.decode_batch(body, NOW_MS)
    assert specs == [native.decode_json(item, NOW_MS) for item in bodies]
    assert native._quick_batch(body, NOW_MS) == specs
