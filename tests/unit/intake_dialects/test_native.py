"""A native file passes through: what is printed for it is the same job, field by field."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from tests.unit.intake.documents import DOCUMENTS

from fenglin.cli.convert import native_yaml
from fenglin.intake.dialects.registry import NATIVE, read_jobs
from fenglin.intake.document import to_document
from fenglin.intake.fields import FIELDS
from fenglin.model.job import JobSpec

NOW_MS = 1_700_000_000_000


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(DOCUMENTS)
def test_every_field_is_kept(document):
    read = read_jobs(json.dumps(document), "job.json", NOW_MS)
    assert read.dialect == NATIVE
    job = read.jobs[0]
    assert job.notes == ()
    spec = job.document.spec(NOW_MS)
    printed = native_yaml(job.document.data)
    again = read_jobs(printed, "job.yaml", NOW_MS).jobs[0].document
    assert again.spec(NOW_MS) == spec
    assert again.data.keys() == document.keys()


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(DOCUMENTS)
def test_the_canonical_document_is_printed_faithfully(document):
    spec = read_jobs(json.dumps(document), "job.json", NOW_MS).jobs[0].document.spec(NOW_MS)
    printed = native_yaml(to_document(spec))
    assert read_jobs(printed, "job.yaml", NOW_MS).jobs[0].document.spec(NOW_MS) == spec


def test_the_strategy_reaches_every_field():
    # Else the property above could miss a field that is added to jobs.
    assert len(FIELDS) == len(JobSpec.__struct_fields__) - 2  # accelerator, licences: resources


@pytest.mark.parametrize(
    "text",
    ["012", "1e5", "1_000", "0x1F", "1:30", "yes", "no", "~", "null", "true", "2027-01-01",
     "- a", "a: b", "a #b", "", " ", "a\n", "\na", "a \nb", "a\tb\n", "é", "'", '"', "*a", "%"],
)  # fmt: skip
def test_texts_that_yaml_would_bend(text):
    data = {"name": "n", "command": ["x", text], "env": {"A": text}}
    again = read_jobs(native_yaml(data), "job.yaml", NOW_MS).jobs[0].document
    assert again.data == data
