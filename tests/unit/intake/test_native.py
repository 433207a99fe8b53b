"""What good job files mean."""

from __future__ import annotations

import json

import pytest

from fenglin.errors import InputError, InputProblems
from fenglin.intake import native
from fenglin.intake.document import to_document
from fenglin.intake.references import Upload, local_files, references, with_ids, with_uploads
from fenglin.model.job import (
    AcceleratorNeed,
    AfterCondition,
    DataNeed,
    Dependency,
    FileInput,
    JobSpec,
    Topology,
)
from fenglin.quantities.resources import Resources

NOW_MS = 1_700_000_000_000
SHA = "ab" * 32


def spec_of(text: str, name: str = "job.yaml") -> JobSpec:
    (document,) = native.read_file_text(text, name)
    assert document.problems(NOW_MS) == ()
    return document.spec(NOW_MS)


def field(line: str) -> JobSpec:
    return spec_of(f"name: x\ncommand: [a]\n{line}\n")


def test_the_small_document_is_what_it_says() -> None:
    body = b'{"name":"x","tasks":1,"resources":{"cpu":0.1,"memory":"32MiB"},"command":["true"]}'
    assert native.decode_json(body, NOW_MS) == JobSpec(
        name="x", resources=Resources(cpu_milli=100, memory_bytes=2**25), command=("true",)
    )


def test_what_is_left_out_has_the_defaults_of_the_model() -> None:
    assert spec_of("name: x\nscript: date") == JobSpec(name="x", script="date")
    assert field("resources: {cpu: 2}").resources == Resources(2_000, 2**28)


@pytest.mark.parametrize(
    ("given", "cards_milli", "need"),
    [
        ("0", 0, None),
        ("2", 2_000, AcceleratorNeed()),
        ("0.5", 500, AcceleratorNeed()),
        ("a100-80gb:2", 2_000, AcceleratorNeed(model="A100-80")),
        ("Own Card", 1_000, AcceleratorNeed(model="Own Card")),
        ("{model: A100-80, count: 1}", 1_000, AcceleratorNeed(model="A100-80")),
        (
            '{count: 0.25, memory: ">=24GB", fp16: ">=100", fp64: 0.5}',
            250,
            AcceleratorNeed("", 24 * 10**9, 100_000, 500),
        ),
    ],
)
def test_accelerators(given: str, cards_milli: int, need: AcceleratorNeed | None) -> None:
    spec = field(f"resources: {{accelerators: {given}}}")
    assert (spec.resources.accelerator_milli, spec.accelerator) == (cards_milli, need)


@pytest.mark.parametrize(
    ("line", "attribute", "value"),
    [
        ("timeout: 01:30:00", "timeout_ms", 5_400_000),
        ("timeout: 90", "timeout_ms", 90_000),
        ("timeout: 1.001", "timeout_ms", 1_001),
        ("estimate: 2h30m", "estimate_ms", 9_000_000),
        ("deadline: 2h", "deadline_ms", NOW_MS + 7_200_000),
        ("deadline: 2033-05-18T11:33:20.125+08:00", "deadline_ms", 2_000_000_000_125),
        ("not_before: 2001-09-09T01:46:40Z", "not_before_ms", 1_000_000_000_000),
        ("tasks: {count: 9, concurrency: 3}", "concurrency", 3),
        ("env: {B: 1.10, A: 012, N: no, D: 2026-01-01, H: 0x1F}", "env",
         (("A", "012"), ("B", "1.10"), ("D", "2026-01-01"), ("H", "0x1F"), ("N", "no"))),
        ("secrets: {B: db, A: k.1}", "secrets", (("A", "k.1"), ("B", "db"))),
        ('env: {A: "a\\nb"}', "env", (("A", "a\nb"),)),
        ("labels: {v: 1.10}", "labels", (("v", "1.10"),)),
        ("priority: +5", "priority", 5),
        ("artifacts: [./out//*.png, out/*.png]", "artifacts", ("out/*.png",)),
        ("sites: [b, a, b]", "sites", ("b", "a")),
        ("regions: [cn-gz, cn-bj, cn-gz]", "regions", ("cn-bj", "cn-gz")),
        ("require: {tier: gold, cuda: 12.10}", "require", (("cuda", "12.10"), ("tier", "gold"))),
        ("topology: block", "topology", Topology.BLOCK),
        ("near: gz1", "near", "gz1"),
        ("near: gz1\nlatency: 20ms", "latency_ms", 20),
        ("data: [{name: b, size: 1GiB, sites: [y, x]}, {name: a, size: 2MiB, sites: [x]}]", "data",
         (DataNeed("a", 2**21, ("x",)), DataNeed("b", 2**30, ("x", "y")))),
        ("preemptible: true", "preemptible", True),
        ("mode: urgent", "mode", "urgent"),
        ("mode: spot", "preemptible", True),
        ("mode: spot\ncheckpoint: 10m", "checkpoint_ms", 600_000),
        ("preemptible: true\ncheckpoint: 10m", "checkpoint_ms", 600_000),
        ("workdir: /data", "workdir", "/data"),
        ("queue: ! 12", "queue", "12"),
        ("queue: !!str 12", "queue", "12"),
        ("queue: &q a\naccount: *q", "account", "a"),
    ],
)  # fmt: skip
def test_single_fields(line: str, attribute: str, value: object) -> None:
    assert getattr(field(line), attribute) == value


def test_artifacts_of_a_job_imply_that_it_must_end_well() -> None:
    line = "files: [{artifacts_of: j7, target: in}, {artifacts_of: j8, target: more}]"
    assert field(line).after == (Dependency("j7"), Dependency("j8"))
    kept = field(line + "\nafter: [{job: j8, condition: any}]").after
    assert kept == (Dependency("j8", AfterCondition.ANY), Dependency("j7"))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("name: x\ncommand: [a]", "job.yml"),
        ("\ufeffname: x\ncommand: [a]", "-"),
        ('{"name": "x", "command": ["a"]}', "-"),
        ('name = "x"\ncommand = ["a"]', "-"),
        ('# c\n\nname = "x"\r\ncommand = ["a"]\r\n', "job.toml"),
    ],
)
def test_the_format_comes_from_the_suffix_or_from_the_text(text: str, name: str) -> None:
    assert spec_of(text, name) == JobSpec(name="x", command=("a",))


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(InputError, match="unknown format 'xml'"):
        native.read_file_text("", "job", "xml")


def test_yaml_may_hold_several_jobs_and_empty_documents() -> None:
    documents = native.read_file_text("---\n---\nname: a\ncommand: [x]\n---\nname: b\n", "j.yaml")
    assert [(d.index, d.data["name"], dict(d.earlier)) for d in documents] == [
        (0, "a", {}),
        (1, "b", {"a": 1}),
    ]


PAIR = """
name: strips
command: [a]
---
name: assemble
command: [b]
after: [strips, {job: strips2, condition: any}, j5]
files: [{artifacts_of: strips, target: in}, tools/run.sh, {source: /abs/s.bin, executable: true}]
"""


def test_names_of_earlier_jobs_become_ids_and_local_files_become_uploads() -> None:
    _, second = native.read_file_text(PAIR.replace("strips2", "j6"), "pair.yaml")
    assert second.problems(NOW_MS) == ()
    with pytest.raises(InputProblems, match="4 problems"):
        second.spec(NOW_MS)
    assert references(second) == ("strips",)
    files = local_files(second)
    assert [(f.index, f.source, f.target, f.executable, f.line) for f in files] == [
        (1, "tools/run.sh", "tools/run.sh", None, 8),
        (2, "/abs/s.bin", "s.bin", True, 8),
    ]
    uploads = {
        1: [Upload("tools/run.sh", SHA, 3, executable=False)],
        2: [Upload("s.bin", SHA, 3, executable=True), Upload("t/u", SHA, 3, executable=False)],
    }
    sent = with_ids(with_uploads(second, uploads), {"strips": "j4"})
    spec = sent.spec(NOW_MS)
    assert [parent.job for parent in spec.after] == ["j4", "j6", "j5"]
    assert spec.files == (
        FileInput("in", artifacts_of="j4"),
        FileInput("tools/run.sh", SHA, 3),
        FileInput("s.bin", SHA, 3, executable=True),
        FileInput("t/u", SHA, 3),
    )
    assert second.data["after"] == ["strips", {"job": "j6", "condition": "any"}, "j5"]


def test_a_name_given_twice_above_is_ambiguous() -> None:
    text = (
        "name: a\ncommand: [x]\n---\nname: a\ncommand: [x]\n---\nname: b\ncommand: [x]\nafter: [a]"
    )
    (problem,) = native.read_file_text(text, "j.yaml")[2].problems(NOW_MS)
    assert problem.what == "2 earlier jobs of this file are named 'a'"


def test_a_document_of_a_spec_is_short_and_readable() -> None:
    spec = field("timeout: 2h\nresources: {cpu: 0.1, memory: 32MiB, accelerators: 0.5}")
    assert to_document(spec) == {
        "name": "x",
        "resources": {"cpu": 0.1, "memory": "32MiB", "accelerators": 0.5},
        "command": ["a"],
        "timeout": "7200s",
    }


@pytest.mark.parametrize(
    ("entry", "target"),
    [
        (".", "."),
        ("./", "."),
        ({"source": "/code", "target": "."}, "."),
        ({"source": "src", "target": "./"}, "."),
        ("src/lib", "src/lib"),
        ("/code/lib", "lib"),
    ],
)
def test_where_the_content_of_a_folder_goes(entry: object, target: str) -> None:
    text = json.dumps({"name": "a", "command": ["b"], "files": [entry]})
    (document,) = native.read_file_text(text, "a.json")
    assert document.problems(NOW_MS) == ()
    assert [file.target for file in local_files(document)] == [target]


def test_without_files_left_the_list_goes_too() -> None:
    (document,) = native.read_file_text("name: a\ncommand: [b]\nfiles: [empty]\n", "a.yaml")
    assert "files" not in with_uploads(document, {0: []}).data
