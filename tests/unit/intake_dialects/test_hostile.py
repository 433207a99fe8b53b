"""No text makes a parser fall over: it ends in jobs or in an ordinary refusal."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.intake_dialects.goldens import CORPUS

from fenglin.cli.convert import native_yaml
from fenglin.errors import FenglinError, InputError, InputProblems
from fenglin.intake.dialects.notes import MAX_NOTES
from fenglin.intake.dialects.registry import MANIFESTS, TITLES, read_jobs
from fenglin.intake.dialects.sbatch.options import SHORT, TAKES
from fenglin.intake.native import check_documents
from fenglin.intake.references import local_files, with_uploads

NOW_MS = 1_800_000_000_000
VOCABULARY = (
    "apiVersion batch/v1 kind Job metadata name generateName namespace labels annotations spec "
    "completions parallelism completionMode Indexed backoffLimit backoffLimitPerIndex suspend "
    "activeDeadlineSeconds template containers initContainers command args env value valueFrom "
    "resources requests limits cpu memory ephemeral-storage nvidia.com/gpu nodeSelector image "
    "workingDir restartPolicy kueue.x-k8s.io/queue-name topology.kubernetes.io/region "
    "nvidia.com/gpu.product run setup envs num_nodes file_mounts workdir secrets cpus 4+ "
    "accelerators A100:8 any_of ordered infra aws/us-east-1 region use_spot job_recovery "
    "max_restarts_on_errors recover_on_exit_codes disk_size priority type task nodes commands "
    "retry on_events error gpu count 1..2 16GB.. A100:80GB:8 disk size shm_size max_duration "
    "spot_policy auto regions working_dir executors stdin stdout stderr ignore_error cpu_cores "
    "ram_gb disk_gb preemptible tags inputs outputs 500m 1Gi $(X) $$(X) off true 0 -1 1e99 9 j12"
)
WORDS = VOCABULARY.split()
SCALARS = (
    st.sampled_from(WORDS)
    | st.text(max_size=8)
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.booleans()
    | st.none()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=5), inner, max_size=5)
    ),
    max_leaves=12,
)
MANIFEST_FILES = [path for path in CORPUS if path.parent.name != "sbatch"]


def take(text, dialect=""):
    """Read, check, and print again; any refusal of ours is well."""
    try:
        read = read_jobs(text, "job", NOW_MS, dialect=dialect)
        check_documents([job.document for job in read.jobs], NOW_MS)
    except FenglinError as error:
        if isinstance(error, InputProblems) and not error.problems:
            pytest.fail("a refusal without a reason")
        return
    for job in read.jobs:
        assert len(job.notes) <= MAX_NOTES + 1
        again = read_jobs(native_yaml(job.document.data), "native", NOW_MS, dialect="native")
        assert uploaded(again.jobs[0].document) == uploaded(job.document)


def uploaded(document):
    """Return the job once what lies on the submitter's machine was uploaded, as nothing."""
    local = local_files(document)
    spec = with_uploads(document, {file.index: [] for file in local}).spec(NOW_MS)
    return spec, [(file.source, file.target) for file in local]


@pytest.mark.parametrize("mark", ["\r", "\x85", "\u2028", "\u2029"])
def test_a_script_keeps_marks_that_yaml_takes_for_ends_of_lines(mark):
    take(f"#!/bin/sh\n#SBATCH -n 1\necho a{mark}b\n", "sbatch")


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=80), st.sampled_from(["", *TITLES]))
def test_any_text(text, dialect):
    take(text, dialect)


OPTION = st.sampled_from(
    [f"--{name}" for name in TAKES] + [f"-{letter}" for letter in SHORT]
) | st.text("-=:,%#'\"\\ 0123456789abKMG", max_size=6)
VALUE = st.sampled_from(
    ["1", "0", "1-9:2%3", "gpu:a100:2", "now+1h", "afterok:1", "1-2:3:4", "ALL,A=b"]
) | st.text("-=:,%|&?+@_/. 0123456789abKMGjS\u00e9\u4e2d", max_size=10)
DIRECTIVE = st.builds("#SBATCH {}{}{}".format, OPTION, st.sampled_from(["=", " ", ""]), VALUE)


@pytest.mark.slow
@settings(max_examples=250, deadline=None)
@given(st.lists(DIRECTIVE | st.text(max_size=12), max_size=5), st.text("-nt 1'\"=", max_size=8))
def test_any_directives(lines, options):
    text = "#!/bin/sh\n" + "\n".join(lines)
    take(text)
    try:
        read_jobs(text, "job", NOW_MS, options=options)
    except FenglinError:
        return


@pytest.mark.slow
@settings(max_examples=250, deadline=None)
@given(st.dictionaries(st.sampled_from(WORDS), VALUES, max_size=6), st.sampled_from([*MANIFESTS]))
def test_any_mapping(data, dialect):
    take(json.dumps(data), dialect)


@pytest.mark.slow
@settings(max_examples=250, deadline=None)
@given(st.sampled_from(MANIFEST_FILES), st.data())
def test_real_manifests_with_a_value_replaced(path, data):
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    number = data.draw(st.integers(0, len(lines) - 1))
    head, colon, _ = lines[number].partition(":")
    new = json.dumps(data.draw(VALUES))
    lines[number] = f"{head}{colon} {new}" if data.draw(st.booleans()) else new
    take("\n".join(lines), path.parent.name)


@pytest.mark.slow
@pytest.mark.parametrize("dialect", ["", *TITLES])
@pytest.mark.parametrize(
    "text",
    [
        "[" * 6_000,
        "&a [*a]",
        "#SBATCH " + "'" * 100_000,
        "#!/bin/sh\n" + "#SBATCH --bogus-1=x\n" * 20_000,
        "#!/bin/sh\n#SBATCH " + '"a\\"' * 50_000,
        "#!/bin/sh\n#SBATCH --time=" + "9" * 100_000,
        "#!/bin/sh\n#SBATCH --array=" + ",".join(map(str, range(1, 90_000, 2))),
        "#!/bin/sh\n#SBATCH --array=" + "1-4000000," * 2_000 + "1",
        "#!/bin/sh\n" + "a\n" * 100_000 + "#SBATCH -n 1\n",
        "run: a\nresources: {accelerators: 'A100:" + "9" * 5_000 + "'}",
        "type: task\ncommands: [a]\nresources: {gpu: {count: '" + "9" * 5_000 + "'}}",
        "type: task\ncommands: [a]\nresources: {cpu: '" + "." * 50_000 + "'}",
        "apiVersion: batch/v1\nkind: Job\n" + "".join(f"k{i}: 1\n" for i in range(5_000)),
    ],
    ids=range(13),
)
def test_long_texts(text, dialect):
    take(text, dialect)


def test_unknown_dialects_and_options_without_a_script_are_refused():
    with pytest.raises(InputError, match="no dialect"):
        read_jobs("name: a", "job", NOW_MS, dialect="pbs")
    with pytest.raises(InputError, match="with a script only"):
        read_jobs("name: a\ncommand: [b]", "job", NOW_MS, options="-n 1")
