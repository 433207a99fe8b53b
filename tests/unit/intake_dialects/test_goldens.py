"""Every file of the corpus is taken, becomes what its golden says, and can be submitted.

`python tests/unit/intake_dialects/goldens.py` writes the goldens anew; look at what changes.
"""

from __future__ import annotations

import pytest
from tests.unit.intake_dialects.goldens import CORPUS, NOW_MS, golden, reading, shown

from fenglin.errors import InputProblems
from fenglin.intake.dialects.notes import Level, refuse_losses
from fenglin.intake.references import with_uploads


def name(path):
    return f"{path.parent.name}-{path.name}"


@pytest.mark.parametrize("path", CORPUS, ids=name)
def test_golden(path):
    assert shown(reading(path)) == golden(path).read_text(encoding="utf-8")


@pytest.mark.parametrize("path", CORPUS, ids=name)
def test_dialect_is_told_by_the_content_and_the_job_is_complete(path):
    read = reading(path)
    assert read.dialect == path.parent.name
    for job in read.jobs:
        assert job.document.problems(NOW_MS) == ()
        # What lies on the submitter's machine is uploaded first.
        assert with_uploads(job.document, {0: []}).spec(NOW_MS).name


@pytest.mark.parametrize("path", CORPUS, ids=name)
def test_strict_refuses_exactly_what_is_lost_or_approximated(path):
    read = reading(path)
    serious = [n for job in read.jobs for n in job.notes if n.level is not Level.IGNORED]
    if not serious:
        refuse_losses(read.jobs)
        return
    with pytest.raises(InputProblems) as caught:
        refuse_losses(read.jobs)
    assert [(p.line, p.path) for p in caught.value.problems] == [(n.line, n.field) for n in serious]


def test_no_golden_is_left_over():
    goldens = {path.name for path in golden(CORPUS[0]).parent.iterdir()}
    assert goldens == {golden(path).name for path in CORPUS}
