"""Details of the manifests that the goldens do not show: refusals, ranges, references."""

from __future__ import annotations

import json

import pytest

from fenglin.errors import InputProblems
from fenglin.intake.dialects.registry import read_jobs

NOW_MS = 1_800_000_000_000


def job(data, dialect=""):
    """Read one manifest."""
    return read_jobs(json.dumps(data), "dir/job.json", NOW_MS, dialect=dialect).jobs[0]


def problems(data, dialect=""):
    """Return what is refused, as one text."""
    with pytest.raises(InputProblems) as caught:
        job(data, dialect).document.spec(NOW_MS)
    return " ".join(f"{p.path}: {p.what} ({p.hint})" for p in caught.value.problems)


def kubernetes(container=None, pod=None, **spec):
    """Return a Job with one container."""
    box = {"name": "a", "image": "i", "command": ["x"], **(container or {})}
    inner = {"containers": [box], "restartPolicy": "Never", **(pod or {})}
    return {
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "n"},
        "spec": {"template": {"spec": inner}, **spec},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (kubernetes({"command": None}), "the image's own entrypoint"),
        (kubernetes({"command": None, "args": ["a"]}), "the image's own entrypoint"),
        (kubernetes(suspend=True), "a job is not held"),
        (kubernetes(parallelism=0), "0 starts nothing"),
        (kubernetes(pod={"restartPolicy": "Always"}), "a job that never ends"),
        (kubernetes(pod={"containers": []}), "it runs nothing"),
        (kubernetes({"resources": {"requests": {"cpu": "many"}}}), "a quantity"),
        (kubernetes(completions="all"), "expected a whole number"),
        ({**kubernetes(), "kind": "CronJob"}, "'CronJob' is not taken"),
        ({"apiVersion": "v1", "kind": "ConfigMap"}, "the file holds no job"),
        ({"run": "a", "service": {"replicas": 2}}, "a service that never ends"),
        ({"setup": "a"}, "it runs nothing"),
        ({"run": "a", "envs": {"X": None}}, "it has no value"),
        ({"run": "a", "resources": {"accelerators": "/:2"}}, "is not the name of a card"),
        ({"run": "a", "resources": {"cpus": "lots"}}, "a number of cores"),
        ({"type": "service", "commands": ["a"]}, "'service' is not taken"),
        ({"type": "task", "image": "i"}, "it runs nothing known"),
        ({"type": "task", "commands": ["a"], "resources": {"memory": "much"}}, "a size"),
        ({"executors": []}, "it runs nothing"),
        ({"executors": [{"command": []}]}, "the command names no program"),
        ({"executors": [{"command": []}, {"command": ["a"]}]}, "it names no program"),
    ],
    ids=range(21),
)
def test_refusals(data, said):
    assert said in problems(data)


def test_a_group_of_tasks_at_the_same_time_is_refused():
    text = "name: group\nexecution: parallel\n---\nrun: a\n---\nrun: b\n"
    with pytest.raises(InputProblems) as caught:
        read_jobs(text, "g.yaml", NOW_MS)
    assert caught.value.problems[0].path == "execution"


def test_what_is_missing_is_said_once():
    for data in (kubernetes({"command": None}), {"setup": "a"}, {"executors": []}):
        assert len(job(data).document.problems(NOW_MS)) == 1


def test_a_document_of_another_dialect_is_refused_among_tasks():
    text = "type: task\ncommands: [a]\n---\nname: b\ncommand: [c]\n"
    with pytest.raises(InputProblems) as caught:
        read_jobs(text, "job.yaml", NOW_MS)
    assert "put it into a file of its own" in caught.value.problems[0].hint


@pytest.mark.parametrize(
    ("quantity", "memory_bytes"),
    [("1Gi", 2**30), ("1.5Gi", 3 * 2**29), ("128974848", 128_974_848), ("1e9", 10**9),
     ("2E6", 2 * 10**6), ("500M", 5 * 10**8), (2**30, 2**30), ("1073741824000m", 2**30)],
)  # fmt: skip
def test_quantities(quantity, memory_bytes):
    data = kubernetes({"resources": {"limits": {"memory": quantity, "cpu": "1"}}})
    assert job(data).document.spec(NOW_MS).resources.memory_bytes == memory_bytes


def test_references_to_variables():
    container = {
        "command": ["$(A)", "$(B)", "$$(A)", "$(NONE)"],
        "env": [{"name": "A", "value": "a b"}, {"name": "B", "value": "<$(A)>"}],
    }
    spec = job(kubernetes(container)).document.spec(NOW_MS)
    assert spec.command == ("a b", "<a b>", "$(A)", "$(NONE)")
    assert spec.env == (("A", "a b"), ("B", "<a b>"))


@pytest.mark.parametrize(
    ("spec", "tasks", "concurrency", "retries"),
    [
        ({}, 1, 0, 6),
        ({"completions": 5, "parallelism": 5}, 5, 0, 6),
        ({"completions": 5}, 5, 1, 6),
        ({"parallelism": 3, "backoffLimit": 0}, 3, 0, 0),
        ({"completions": 4, "backoffLimitPerIndex": 1, "backoffLimit": 9}, 4, 1, 1),
    ],
)
def test_arrays_and_retries(spec, tasks, concurrency, retries):
    found = job(kubernetes(**spec)).document.spec(NOW_MS)
    assert (found.tasks, found.concurrency, found.retries.limit) == (tasks, concurrency, retries)


def test_the_shell_quotes_what_an_indexed_job_runs():
    container = {"command": ["sh", "-c", "echo '$(JOB_COMPLETION_INDEX)' $HOME; x"]}
    container["command"].append("$$(JOB_COMPLETION_INDEX)")
    data = kubernetes(container, completions=2, completionMode="Indexed")
    line = job(data).document.spec(NOW_MS).script.splitlines()[-1]
    index = """'"'"''"$JOB_COMPLETION_INDEX"''"'"'"""
    assert line == f"exec sh -c 'echo {index} $HOME; x' '$(JOB_COMPLETION_INDEX)'"


@pytest.mark.parametrize(
    ("accelerators", "model", "cards"),
    [("A100-80GB:4", "A100-80", 4), ("H20", "H20", 1), ({"RTX4090": 2}, "RTX4090", 2),
     ({"B1000": None}, "B1000", 1), (["H20:2", "T9:2"], "H20", 2)],
)  # fmt: skip
def test_cards_of_a_task(accelerators, model, cards):
    found = job({"run": "a", "resources": {"accelerators": accelerators}}).document.spec(NOW_MS)
    assert (found.accelerator.model, found.resources.accelerator_milli) == (model, cards * 1_000)


@pytest.mark.parametrize(
    ("gpu", "model", "memory_gib", "cards"),
    [(2, "", 0, 2), ("24GB", "", 24, 1), ("24GB..:2", "", 24, 2), ("A100:80GB", "A100-80", 80, 1),
     ({"count": "4.."}, "", 0, 4), ({"name": "H20", "memory": "90GB"}, "H20", 90, 1)],
)  # fmt: skip
def test_cards_of_dstack(gpu, model, memory_gib, cards):
    data = {"type": "task", "commands": ["a"], "resources": {"gpu": gpu}}
    found = job(data).document.spec(NOW_MS)
    assert (found.accelerator.model, found.accelerator.memory_bytes) == (model, memory_gib * 2**30)
    assert found.resources.accelerator_milli == cards * 1_000


def test_secrets_are_never_copied():
    found = job({"run": "a", "secrets": {"TOKEN": "s3cret"}})
    assert "s3cret" not in json.dumps(found.document.data)
    assert not any("s3cret" in note.text for note in found.notes)
    assert [note.field for note in found.notes] == ["secrets"]


def test_a_native_file_is_not_taken_for_another():
    for data in (
        {"name": "a", "command": ["x"], "resources": {"cpu": 1}},
        {"name": "a", "script": "x", "run": "y"},
        {"name": "a", "tasks": 3},
    ):
        assert read_jobs(json.dumps(data), "job", NOW_MS).dialect == "native"


def test_the_tasks_of_a_pipeline_wait_for_one_another():
    text = "name: pipe\n---\nname: prepare\nrun: a\n---\nrun: b\n---\nrun: c\n"
    jobs = read_jobs(text, "dir/p.yaml", NOW_MS).jobs
    documents = [one.document.data for one in jobs]
    assert [data["name"] for data in documents] == ["prepare", "p-3", "p-4"]
    assert [data.get("after") for data in documents] == [None, ["prepare"], ["p-3"]]
    assert all(one.document.problems(NOW_MS) == () for one in jobs)


FOLDERS = """
type: task
commands: [make]
repos: [., {local_path: ../lib, path: vendor}, "https://example.org/a.git"]
files: [data.csv, "a:b/", "~/x:/etc/x", "c:../d"]
"""
MOUNTS = """
workdir: {url: "https://example.org/a.git"}
file_mounts:
  {conf/x.yaml: x.yaml, /data: "s3://bucket", in: {source: "s3://b"}, ../up: y, rel: /abs/z}
run: make
"""


@pytest.mark.parametrize(
    ("text", "files", "lost"),
    [
        (
            FOLDERS,
            [
                {"source": ".", "target": "."},
                {"source": "../lib", "target": "vendor"},
                {"source": "data.csv"},
                {"source": "a", "target": "b"},
            ],
            ["repos", "files", "files"],
        ),
        (
            MOUNTS,
            [{"source": "x.yaml", "target": "conf/x.yaml"}, {"source": "/abs/z", "target": "rel"}],
            ["workdir", "file_mounts./data", "file_mounts.in", "file_mounts.../up"],
        ),
    ],
)
def test_folders_of_the_submitter_go_along(text, files, lost):
    (job,) = read_jobs(text, "x.yaml", NOW_MS).jobs
    assert job.document.data["files"] == files
    assert [note.field for note in job.notes if note.level == "lost"] == lost


@pytest.mark.parametrize(
    ("text", "image"),
    [
        ("resources: {image_id: 'docker:nvcr.io/a/b:1'}\nrun: a\n", "nvcr.io/a/b:1"),
        ("resources: {image_id: 'docker:ubuntu'}\nrun: a\n", "ubuntu"),
        ("resources: {image_id: ami-0123}\nrun: a\n", None),
        ("resources: {image_id: {us-east-1: ami-0123}}\nrun: a\n", None),
        ("resources: {any_of: [{image_id: 'docker:x:1'}]}\nrun: a\n", "x:1"),
        ("type: task\nimage: x:1\ncommands: [a]\n", "x:1"),
        ("executors: [{image: x, command: [a]}, {image: x, command: [b]}]\n", "x"),
        ("executors: [{image: x, command: [a]}, {image: y, command: [b]}]\n", "x"),
    ],
)
def test_images_are_carried_over(text, image):
    (job,) = read_jobs(text, "x.yaml", NOW_MS).jobs
    assert job.document.data.get("image") == image
    lost = [note.field for note in job.notes if note.level == "lost"]
    assert bool(lost) == (image is None or "image: y" in text)


@pytest.mark.parametrize(
    ("given", "image"),
    [
        ("docker://a/b:1", "a/b:1"),
        ("'nvcr.io#nvidia/x:2'", "nvcr.io/nvidia/x:2"),
        ("/i/x.sqsh",) * 2,
    ],
)
def test_an_image_of_pyxis_is_carried_over(given, image):
    text = f"#!/bin/sh\n#SBATCH --container-image={given}\n#SBATCH --mem=1G\ntrue\n"
    (job,) = read_jobs(text, "x.sh", NOW_MS).jobs
    assert job.document.data["image"] == image
    assert job.document.problems(NOW_MS) == ()


def test_a_wrong_image_is_told_with_its_place():
    (job,) = read_jobs("type: task\nimage: --privileged\ncommands: [a]\n", "x.yaml", NOW_MS).jobs
    (problem,) = job.document.problems(NOW_MS)
    assert (problem.path, problem.line) == ("image", 2)


JOB = """apiVersion: batch/v1
kind: Job
metadata: {name: NAME}
spec: {template: {spec: {containers: [{name: c, image: i, command: ["true"]}]}}}
"""
OTHER = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\n"


def several(*names):
    return "---\n".join([OTHER, *(JOB.replace("NAME", name) for name in names)])


def test_a_file_of_several_documents_is_a_job_for_each_and_says_what_it_leaves():
    jobs = read_jobs(several("a", "b"), "k.yaml", NOW_MS).jobs
    assert [one.document.data["name"] for one in jobs] == ["a", "b"]
    lost = [note for one in jobs for note in one.notes if note.level == "lost"]
    assert [(note.field, note.line) for note in lost] == [("kind: ConfigMap", 1)]


@pytest.mark.parametrize("name", ['"a\\nb"', '"\\u001b[2J"'])
def test_a_bad_name_in_one_document_is_told_with_its_line(name):
    jobs = read_jobs(several("good", name), "k.yaml", NOW_MS).jobs
    found = [problem for one in jobs for problem in one.document.problems(NOW_MS)]
    assert [problem.path for problem in found] == ["name"]


@pytest.mark.parametrize("name", ["'a''b; rm -rf /'", '"$(reboot)"', '"--help"', '"山"'])
def test_odd_names_stay_names(name):
    (made,) = read_jobs(several(name), "k.yaml", NOW_MS).jobs
    wanted = {"'a''b; rm -rf /'": "a'b; rm -rf /"}.get(name, name.strip('"'))
    assert made.document.spec(NOW_MS).name == wanted
