"""Each wrong thing is told with its path, place and remedy, and all of them at once."""

from __future__ import annotations

import pytest

from fenglin.errors import InputProblems, LimitError, Problem
from fenglin.intake import native

NOW_MS = 1_700_000_000_000
HEAD = "name: x\ncommand: [a]\n"


def told(text: str, name: str = "job.yaml") -> tuple[Problem, ...]:
    try:
        documents = native.read_file_text(text, name)
        native.check_documents(documents, NOW_MS)
    except InputProblems as error:
        return error.problems
    return ()


def only(text: str, name: str = "job.yaml") -> Problem:
    problems = told(text, name)
    assert len(problems) == 1, problems
    return problems[0]


# line | path | line:column | what | hint
CASES = """
tasks: 1000000000              | tasks             | 3:8  | is out of range     | at most 10000000
tasks: 0                       | tasks             | 3:8  | out of range        | at least 1
tasks: 012                     | tasks             | 3:8  | the text '012'      | write 12,
tasks: 1_000                   | tasks             | 3:8  | the text '1_000'    |
tasks: 0x10                    | tasks             | 3:8  | the text '0x10'     |
tasks: 4.0                     | tasks             | 3:8  | found 4.0           | write 4
tasks: yes                     | tasks             | 3:8  | the text 'yes'      |
tasks: true                    | tasks             | 3:8  | found true          |
tasks: {count: 2, conc: 1}     | tasks.conc        | 3:19 | unknown field       | count
tasks: {concurrency: 1}        | tasks             | 3:8  | count is missing    | {count
concurrency: 0                 | concurrency       | 3:14 | start nothing       | leave it out
priority: 9223372036854775808  | priority          | 3:11 | out of range        | at most 1000
priority: -1001                | priority          | 3:11 | out of range        | at least -1000
nodes: 100001                  | nodes             | 3:8  | out of range        | at most 100000
queue: "a b"                   | queue             | 3:8  | not a name          | letters
resources: {cpu: 0}            | resources.cpu     | 3:18 | without CPU         | 0.1
resources: {cpu: -1}           | resources.cpu     | 3:18 | out of range        |
resources: {cpu: .nan}         | resources.cpu     | 3:18 | found nan           |
resources: {cpu: .inf}         | resources.cpu     | 3:18 | found inf           |
resources: {cpu: 1e999}        | resources.cpu     | 3:18 | found inf           |
resources: {cpu: 0.0001}       | resources.cpu     | 3:18 | thousandths         |
resources: {cpu: 999999999999m} | resources.cpu    | 3:18 | out of range        | at most
resources: {cpu: true}         | resources.cpu     | 3:18 | found true          |
resources: {memory: 4}         | resources.memory  | 3:21 | 4 is 4 bytes        | add a unit
resources: {memory: 4 GX}      | resources.memory  | 3:21 | not a size          | 4GiB
resources: {memory: -4GiB}     | resources.memory  | 3:21 | not a size          |
resources: {memory: 1.5}       | resources.memory  | 3:21 | found 1.5           | MiB
resources: {memory: 2EiB}      | resources.memory  | 3:21 | not a size          |
resources: {disk: 2000000000000000000} | resources.disk | 3:19 | expected a size | EiB
resources: {mem: 4GiB}         | resources.mem     | 3:13 | unknown field       | 'memory'
resources: {accelerators: A100-80:0} | resources.accelerators | 3:27 | model:count | A100-80:2
resources: {accelerators: 1.5} | resources.accelerators | 3:27 | cannot be given | 0.5
resources: {accelerators: -1}  | resources.accelerators | 3:27 | out of range   |
resources: {accelerators: {fp16: no}} | resources.accelerators.fp16 | 3:34 | TFLOPS | >=
resources: {accelerators: {count: 0}} | resources.accelerators.count | 3:35 | 0 cards | whole
resources: {accelerators: {memroy: 1GB}} | resources.accelerators.memroy | 3:28 | unknown | 'memory'
resources: {licences: {a: 0}}  | resources.licences.a | 3:27 | out of range     | at least 1
resources: []                  | resources         | 3:12 | found a list        | {cpu
timeot: 1s                     | timeot            | 3:1  | unknown field       | 'timeout'
walltime: 1s                   | walltime          | 3:1  | unknown field       | 'timeout'
depends_on: [j1]               | depends_on        | 3:1  | unknown field       | 'after'
<<: {tasks: 2}                 | <<                | 3:1  | unknown field       | merge keys
timeout: 1:30                  | timeout           | 3:10 | not a duration      | 2h30m
timeout: -5                    | timeout           | 3:10 | out of range        |
timeout: 0                     | timeout           | 3:10 | less than a milli   | leave it out
timeout: 11000000000           | timeout           | 3:10 | out of range        |
timeout: true                  | timeout           | 3:10 | found true          | 90s
deadline: 2020-01-01T00:00:00Z | deadline          | 3:11 | has passed          | later
deadline: 2027-01-01           | deadline          | 3:11 | time zone           | +08:00
deadline: 2027-13-01T00:00:00Z | deadline          | 3:11 | time zone           |
not_before: 2027-01-01T00:00:00 | not_before       | 3:13 | time zone           | 6h
env: {A b: 1}                  | env.A b           | 3:7  | name of a variable  | letters
env: {1A: 1}                   | env.1A            | 3:7  | name of a variable  |
env: {FENGLIN_SITE: here}      | env.FENGLIN_SITE  | 3:7  | set by Fenglin      | another
env: {A: true}                 | env.A             | 3:10 | found true          | "true"
env: {A: .nan}                 | env.A             | 3:10 | finite number       | quotes
env: {A: }                     | env.A             | 3:10 | nothing             | empty text
env: {A: [1]}                  | env.A             | 3:10 | a list              |
secrets: [a]                   | secrets           | 3:10 | a list              | DB_PASSWORD
secrets: {A b: c}              | secrets.A b       | 3:11 | name of a variable  | letters
secrets: {FENGLIN_A: c}        | secrets.FENGLIN_A | 3:11 | set by Fenglin      | another
secrets: {A: 1}                | secrets.A         | 3:14 | found 1             | secret set
secrets: {A: "pass word"}      | secrets.A         | 3:14 | no name of a secret | secret set
secret: {A: b}                 | secret            | 3:1  | unknown field       | 'secrets'
workdir: data                  | workdir           | 3:10 | not an absolute     | fresh
workdir: /a/../b               | workdir           | 3:10 | not an absolute     |
image: --privileged            | image             | 3:8  | not the name of a container | docker
image: debian 12               | image             | 3:8  | not the name        | debian:12
image: "a\\nb"                 | image             | 3:8  | not the name        |
image: ../a.sif                | image             | 3:8  | not the name        |
image: /i/../a.sif             | image             | 3:8  | not the name        |
image: a;b                     | image             | 3:8  | not the name        |
image: ""                      | image             | 3:8  | empty               | docker
image: {name: a}               | image             | 3:8  | found a mapping     | docker
container: debian              | container         | 3:1  | unknown field       | 'image'
setup: [a]                     | setup             | 3:8  | a list              |
files: a                       | files             | 3:8  | expected a list     | source
files: [3]                     | files[0]          | 3:9  | a path or a mapping |
files: [{}]                    | files[0]          | 3:9  | no origin           | source
files: [{source: a, sha256: b}] | files[0]         | 3:9  | together            | one of
files: [/]                     | files[0]          | 3:9  | names nothing       |
files: [a, ./a]                | files[1]          | 3:12 | same target         | own
files: [a, a/b]                | files[1]          | 3:12 | below another       | other
files: [{source: a, target: /etc/x}] | files[0].target | 3:29 | is absolute     | below the
files: [{source: a, target: b/../../c}] | files[0].target | 3:29 | leaves       |
files: [{source: a, target: 'b\\c'}] | files[0].target | 3:29 | backslash       |
files: [{source: a, mode: 755}] | files[0].mode    | 3:21 | unknown field       | 'executable'
files: [{artifacts_of: j1, target: a, size: 1}] | files[0].size | 3:45 | not go with | remove
files: [{artifacts_of: j1}]    | files[0]          | 3:9  | target is missing   | where
artifacts: [../x]              | artifacts[0]      | 3:13 | leaves              |
artifacts: [/x]                | artifacts[0]      | 3:13 | is absolute         |
retries: 101                   | retries           | 3:10 | out of range        | at most 100
retries: {exit_codes: [1]}     | retries           | 3:10 | limit is missing    | limit: 3
retries: {limit: 1, exit_codes: [0]} | retries.exit_codes[0] | 3:34 | out of range | at least 1
retries: {limit: 1, reasons: [oom]} | retries.reasons[0] | 3:31 | another try    | signal
retries: {limit: 1, reasons: [cancelled]} | retries.reasons[0] | 3:31 | another try |
after: j1                      | after             | 3:8  | expected a list     | [j12]
after: [j0]                    | after[0]          | 3:9  | not a job id        | j123
after: [render]                | after[0]          | 3:9  | no earlier job      | further up
after: [j1, {job: j1}]         | after[1]          | 3:13 | stands here twice   | remove
after: [{job: j1, condition: on}] | after[0].condition | 3:30 | one of ok, any  |
after: [{job: j1, per_task: yes}] | after[0].per_task | 3:29 | true or false    | without quotes
overlap: maybe                 | overlap           | 3:10 | one of never, allow |
class: gpu                     | class             | 3:8  | one of general, ai  |
sites: []                      | sites             | 3:8  | no site             | leave it out
regions: cn-gz                 | regions           | 3:10 | expected a list     | [cn-guizhou]
regions: []                    | regions           | 3:10 | no region           | leave it out
region: cn-gz                  | region            | 3:1  | unknown field       | 'regions'
require: [a]                   | require           | 3:10 | expected a mapping  | {tier: gold}
require: {-a: b}               | require.-a        | 3:11 | not a name          | letters
topology: rack                 | topology          | 3:11 | one of any, block   |
near: [gz1]                    | near              | 3:7  | expected a text     |
latency: 20ms                  | latency           | 3:1  | without near        | near
data: [scene]                  | data[0]           | 3:8  | expected a mapping  | {name
data: [{name: a, size: 1GiB}]  | data[0]           | 3:8  | sites is missing    | hold a copy
data: [{sites: [x]}]           | data[0]           | 3:8  | name and size are missing |
data: [{name: a, size: 5, sites: [x]}] | data[0].size | 3:24 | 5 is 5 bytes    | add a unit
data: [{name: a, size: 1GiB, sites: []}] | data[0].sites | 3:37 | no site is allowed |
data: [{name: a, size: 1GiB, at: [x]}] | data[0].at | 3:30 | unknown field  | 'sites'
preemptible: yes               | preemptible       | 3:14 | the text 'yes'      | without quotes
checkpoint: 10m                | checkpoint        | 3:1  | not preemptible     | preemptible: true
mode: fast                     | mode              | 3:7  | one of shared       |
labels: {-a: 1}                | labels.-a         | 3:10 | name of a label     | 63
labels: {a: "x\\ty"}           | labels.a          | 3:13 | U+0009              | remove
script: date                   | script            | 3:1  | command and script  | keep one
name: y                        | name              | 3:1  | stands twice        | line 1
x: !!python/object:os.system a | x                 | 3:4  | the tag             | not used
"""


@pytest.mark.parametrize(
    "case",
    CASES.strip().splitlines(),
    ids=lambda line: line.split(" | ")[0][:40],
)
def test_refused_with_path_place_and_remedy(case: str) -> None:
    line, path, place, what, hint = (part.strip() for part in case.split("|"))
    found = [problem for problem in told(HEAD + line + "\n") if problem.path == path]
    problem = found[-1]
    assert f"{problem.line}:{problem.column}" == place
    assert what in problem.what
    assert hint in problem.hint


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("name: x", "runs nothing"),
        ("command: [a]", "name is missing"),
        ("name: x\ncommand: []", "no program"),
        ("name: x\ncommand: ['']", "no program"),
        ("name: x\ncommand: true", "found true"),
        ("name: x\ncommand: [sleep, 10]", "found 10"),
        ("name: x\nscript: ' '", "script is empty"),
        ("name: x\nscript: a\nsetup: ' '", "setup is empty"),
        ('name: x\nscript: a\nsetup: "a\\r\\n"', "the setup has Windows line ends"),
        ('name: x\nscript: "a\\r\\n"', "Windows line ends"),
        ("name: ''\ncommand: [a]", "name is empty"),
        ("name: ' x'\ncommand: [a]", "blank"),
        (f"name: {'n' * 129}\ncommand: [a]", "129 characters"),
        ('name: "a\\nb"\ncommand: [a]', "U+000A"),
        ('name: "\\u202Ex"\ncommand: [a]', "U+202E"),
        ('name: x\ncommand: ["a\\0b"]', "NUL character at character 2"),
        (f"name: x\ncommand: [{'n' * 131_072}]", "131072 bytes"),
        (f"name: x\ncommand: [{', '.join(['n' * 102] * 9_900)}]", "need"),
        ("name: x\ncommand: [a]\nmode: spot\npreemptible: false", "may be interrupted"),
        ("name: x\ncommand: [a]\ndeadline: 1h\nnot_before: 2h", "not after not_before"),
        ("name: x\ncommand: [a]\ntasks: {count: 3, concurrency: 1}\nconcurrency: 2", "twice"),
        ("just words", "expected a mapping"),
        ("- a", "found a list"),
        ("", "holds no job"),
        ("---\n---\n", "holds no job"),
    ],
    ids=lambda text: text[:40],
)
def test_refused(text: str, what: str) -> None:
    assert what in only(text).what


def test_everything_wrong_is_told_at_once_in_the_order_of_the_text() -> None:
    text = (
        "nmae: x\nresources:\n  cpu: -1\n  cpu: 2\n  mem: 1\ntimeout: soon\nenv: {FENGLIN_A: 1}\n"
    )
    assert [(p.path, p.line) for p in told(text)] == [
        ("nmae", 1),
        ("", 1),
        ("", 1),
        ("resources.cpu", 3),
        ("resources.cpu", 4),
        ("resources.mem", 5),
        ("timeout", 6),
        ("env.FENGLIN_A", 7),
    ]


def test_the_documents_of_one_file_are_told_together() -> None:
    problems = told("name: a\ncommand: [x]\ntasks: 0\n---\nname: b\ncommand: [x]\nnodes: 0\n")
    assert [(p.path, p.line) for p in problems] == [("tasks", 3), ("nodes", 7)]


def test_json_files_have_places_too() -> None:
    problem = only('{\n  "name": "x", "command": ["a"],\n  "tasks": 0\n}', "job.json")
    assert (problem.path, problem.line, problem.column) == ("tasks", 3, 12)


@pytest.mark.parametrize(
    ("text", "path", "place"),
    [
        ('name = "x"\ncommand = ["a"]\n[resources]\nmem = 1\n', "resources.mem", (4, 1)),
        ('name = "x"\ncommand = ["a"]\nresources.cpu = inf\n', "resources.cpu", (3, 17)),
        ('name = "x"\ncommand = ["a"]\nenv = { A = true }\n', "env.A", (3, 7)),
        ('name = "x"\nscript = """\ntasks = 1\n"""\ntasks = 0\n', "tasks", (5, 9)),
        (
            'name = "x"\ncommand = ["a"]\n[[files]]\nsource = "a"\n[[files]]\nsource = "b"\nto = 1',
            "files[1].to",
            (7, 1),
        ),
        ("name = 'x'\nname = 'y'\n", "", (2, 11)),
        ("a = 1\na = 2", "", (2, 1)),
        ("name = x\n", "", (1, 8)),
    ],
)
def test_toml_files_have_places_too(text: str, path: str, place: tuple[int, int]) -> None:
    problem = only(text, "job.toml")
    assert (problem.path, (problem.line, problem.column)) == (path, place)


@pytest.mark.parametrize(
    ("text", "what", "hint"),
    [
        ("{'name': 1}", "expected a key", "double quotes"),
        ('{"name": "x",}', "expected a key", "comma too many"),
        ('{"name": "x"} {}', "follows the end", "remove"),
        ("{} // no", "follows the end", "remove"),
        ("// no\n{}", "expected a value", "no comments"),
        ('{"name": "a\nb"}', "not closed", "\\n"),
        ('{"name": "x"', "expected ','", ""),
        ("", "the end", "not closed"),
        ('{"a" 1}', "expected ':'", ""),
        ("[1 2]", "expected ','", ""),
        ("{1: 2}", "expected a key", ""),
        ("[01]", "expected a value", ""),
    ],
)
def test_broken_json_says_what_to_do(text: str, what: str, hint: str) -> None:
    problem = only(text, "job.json")
    assert what in problem.what
    assert hint in problem.hint


@pytest.mark.parametrize(
    ("text", "what", "line"),
    [
        ("name: [1,\n", "did not find expected node content", 2),
        ("name: x\n\tcommand: [a]", "", 2),
        ("name: a: b", "mapping values", 1),
        ("name: 'x", "unexpected end", 1),
        ("name: x\ncommand: [a]\nq: *nowhere", "'*nowhere' stands for nothing", 3),
        ("name: &a [*a]", "'*a' stands for nothing", 1),
        ("name: \x01", "U+0001", 1),
        ('name: "\\ud800"', "Unicode", 1),
        ("? [a]\n: 1", "a key that is a list", 1),
        ("name: x\n---\n- a: [\n", "", 4),
    ],
)
def test_broken_yaml_says_where(text: str, what: str, line: int) -> None:
    problem = only(text)
    assert what in problem.what
    assert problem.line == line


def test_bytes_that_are_not_utf8_are_told_by_place() -> None:
    with pytest.raises(InputProblems) as caught:
        native.read_file_text(b"name: x\ncommand: [\xff]", "job.yaml")
    (problem,) = caught.value.problems
    assert (problem.line, problem.column) == (2, 11)
    assert "0xff" in problem.what


def test_a_document_of_more_than_a_mebibyte_is_over_the_limit() -> None:
    with pytest.raises(LimitError, match="1048577 bytes"):
        native.read_file_text("#" * (2**20 + 1), "job.yaml")
    with pytest.raises(LimitError, match="1048577 bytes"):
        native.decode_json(b" " * (2**20 + 1), NOW_MS)


def test_the_hub_refuses_what_only_the_submitter_can_read() -> None:
    with pytest.raises(InputProblems) as caught:
        native.decode_json(
            b'{"name":"x","command":["a"],"files":["a",{"source":"b"}],"after":["render"]}', NOW_MS
        )
    assert [(p.path, p.line) for p in caught.value.problems] == [
        ("files[0]", 1),
        ("files[1].source", 1),
        ("after[0]", 1),
    ]


def test_a_batch_names_the_item_and_is_refused_whole() -> None:
    good, bad = b'{"name":"x","command":["a"]}', b'{"name":"x","command":["a"],"tasks":0,"tasks":1}'
    for body in (b"[" + good + b"," + bad + b"]", good + b"\n" + bad):
        with pytest.raises(InputProblems) as caught:
            native.decode_batch(body, NOW_MS)
        assert {p.path for p in caught.value.problems} == {"[1].tasks"}
    with pytest.raises(InputProblems) as caught:
        native.decode_batch(good + b"\n{\n" + good, NOW_MS)
    assert caught.value.problems[0].path == "[1]"


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"", "no job"),
        (b"[]", "no job"),
        (b"[{}", "truncated"),
        (b"[1]", "expected a mapping"),
        (b'{"name":"x","command":["a"]} {"name":"y","command":["a"]}', "follows the end"),
        (b'{\n"name":"x","command":["a"]} {"name":"y","command":["a"]}', "expected a key"),
        (b"[\xff]", ""),
    ],
)
def test_a_batch_that_is_none_is_refused(body: bytes, what: str) -> None:
    with pytest.raises(InputProblems) as caught:
        native.decode_batch(body, NOW_MS)
    assert what in caught.value.problems[0].what


def test_too_many_problems_are_counted_not_listed() -> None:
    problems = told(HEAD + "".join(f"k{i}: 1\n" for i in range(500)))
    assert len(problems) == 101
    assert problems[-1].what == "and 400 more problems"


def test_what_is_shown_is_short_and_cannot_spoil_a_terminal() -> None:
    problem = only(HEAD + 'queue: "' + "\\e[31m" + "x" * 10_000 + '"')
    assert len(problem.what) < 120
    assert problem.what.isprintable()


def test_a_variable_has_one_value():
    problem = only(HEAD + "env: {A: x}\nsecrets: {A: db}\n")

    assert (problem.path, problem.line, problem.column) == ("secrets.A", 4, 11)
    assert "stands in env too" in problem.what


def test_what_may_be_a_value_is_not_repeated():
    (problem,) = told(HEAD + 'secrets: {A: "s3cr3t, by mistake"}\n')

    assert "s3cr3t" not in f"{problem.what}{problem.hint}"


def test_a_job_has_not_too_many_secrets():
    names = ", ".join(f"A{number}: db" for number in range(17))

    assert only(f"{HEAD}secrets: {{{names}}}\n").hint == "at most 16"
