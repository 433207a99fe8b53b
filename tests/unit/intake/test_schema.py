"""The schema that editors use says what the checker says, on examples and on refusals."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from jsonschema import Draft202012Validator
from tests.unit.intake.documents import DOCUMENTS
from tests.unit.intake.test_refusals import CASES, HEAD

from fenglin.intake import native
from fenglin.intake.fields import FIELDS, check_job
from fenglin.intake.needs import ACCELERATOR_KEYS, RESOURCE_KEYS
from fenglin.intake.read_yaml import read_yaml
from fenglin.intake.report import Report
from fenglin.intake.things import AFTER_KEYS, FILE_KEYS, RETRY_KEYS, RETRYABLE

NOW_MS = 1_700_000_000_000
ROOT = Path(__file__).parents[3]
SCHEMA = json.loads((ROOT / "src/fenglin/intake/job.schema.json").read_text())
VALIDATOR = Draft202012Validator(SCHEMA)
EXAMPLES = sorted((ROOT / "examples/jobs").iterdir())
REFERENCE = (ROOT / "docs/reference/job-file.md").read_text()

# Refused by the checker for reasons that a schema cannot express: what other fields say, the
# time now, other jobs, numbers that JSON does not have, or 4.0, which is an integer there.
BEYOND_A_SCHEMA = re.compile(
    r"tasks: 4\.0|\.nan|\.inf|1e999|999999999999m|cpu: 0\.0001|A100-80:0|deadline: 20|"
    r"files: \[a|files: \[/\]|job: j1\}|\[render\]|\[j0\]|name: y|timeout: 11000"
)


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_schema_and_checker_know_the_same_fields() -> None:
    definitions = SCHEMA["$defs"]
    assert set(SCHEMA["properties"]) == set(FIELDS)
    assert set(definitions["resources"]["properties"]) == set(RESOURCE_KEYS)
    assert set(definitions["capability"]["properties"]) == set(ACCELERATOR_KEYS)
    files = {key for form in definitions["file"]["oneOf"] for key in form.get("properties", {})}
    assert files == set(FILE_KEYS)
    retries = SCHEMA["properties"]["retries"]["oneOf"][1]["properties"]
    assert set(retries) == set(RETRY_KEYS)
    assert set(retries["reasons"]["items"]["enum"]) == {reason.value for reason in RETRYABLE}
    after = SCHEMA["properties"]["after"]["items"]["oneOf"][1]["properties"]
    assert set(after) == set(AFTER_KEYS)


def test_the_reference_has_a_row_for_every_field() -> None:
    rows = set(re.findall(r"^\| `([a-z_]+)`", REFERENCE, re.MULTILINE))
    assert set(FIELDS) <= rows


def test_the_examples_of_the_reference_are_good() -> None:
    blocks = re.findall(r"```(yaml|json|toml)\n(.*?)```", REFERENCE, re.DOTALL)
    assert len(blocks) >= 5
    for format_name, text in blocks:
        documents = native.read_file_text(text, "job-file.md", format_name)
        native.check_documents(documents, NOW_MS)
        for document in documents:
            VALIDATOR.validate(document.data)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_pass_both(path: Path) -> None:
    documents = native.read_file_text(path.read_bytes(), path.name)
    native.check_documents(documents, NOW_MS)
    for document in documents:
        VALIDATOR.validate(document.data)


def test_there_are_examples_in_all_formats() -> None:
    assert {path.suffix for path in EXAMPLES} == {".yaml", ".json", ".toml"}


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(DOCUMENTS)
def test_what_the_checker_takes_the_schema_takes(document: dict) -> None:
    if check_job(document, Report(NOW_MS)) is not None:
        VALIDATOR.validate(document)


@pytest.mark.parametrize(
    "line", [case.split("|")[0].strip() for case in CASES.strip().splitlines()]
)
def test_what_the_checker_refuses_the_schema_refuses(line: str) -> None:
    if BEYOND_A_SCHEMA.search(line) or "!!python" in line:
        return
    (tree,) = read_yaml(HEAD + line)
    assert not VALIDATOR.is_valid(tree.data)
