"""Directives are found, cut into words and options as sbatch does, and none goes unsaid."""

from __future__ import annotations

import pytest

from fenglin.errors import InputProblems
from fenglin.intake.dialects.notes import Level
from fenglin.intake.dialects.registry import read_jobs
from fenglin.intake.dialects.sbatch.lines import split
from fenglin.intake.dialects.sbatch.losses import REFUSED
from fenglin.intake.dialects.sbatch.options import SYNONYMS, TAKES

NOW_MS = 1_800_000_000_000
# A value that differs from the default, for options whose value is read.
VALUES = {
    "account": "a", "array": "1-3", "begin": "now+1", "chdir": "/w", "clusters": "c",
    "comment": "c", "constraint": "f", "cpus-per-gpu": "3", "cpus-per-task": "3",
    "deadline": "now+9hours", "dependency": "afterok:j4", "export": "A=1", "gpus": "2",
    "gpus-per-node": "2", "gpus-per-task": "2", "gres": "gpu:2", "input": "in.txt",
    "job-name": "n", "licenses": "l:2", "mem": "7G", "mem-per-cpu": "7G", "mem-per-gpu": "7G",
    "mincpus": "5", "nodes": "2", "ntasks": "2", "ntasks-per-node": "2", "partition": "p",
    "switches": "1", "time": "5", "tmp": "5G", "wckey": "w",
}  # fmt: skip


def convert(*lines, options=""):
    """Read a script with these directives; the job and its notes."""
    text = "#!/bin/sh\n" + "".join(f"#SBATCH {line}\n" for line in lines) + "true\n"
    read = read_jobs(text, "job.sh", NOW_MS, options=options)
    return read.jobs[0]


def spec(*lines, options=""):
    """Return the job that directives make."""
    return convert(*lines, options=options).document.spec(NOW_MS)


def problems(*lines, options=""):
    """Return what is refused, as one text."""
    with pytest.raises(InputProblems) as caught:
        spec(*lines, options=options)
    return " ".join(f"{p.line}:{p.path}: {p.what} ({p.hint})" for p in caught.value.problems)


def notes(*lines, options=""):
    """Return (line, field, level) of all notes but that on memory."""
    found = convert(*lines, options=options).notes
    return [(n.line, n.field, n.level.value) for n in found if n.field != "--mem" or n.line]


@pytest.mark.parametrize("name", TAKES)
def test_no_option_goes_unsaid(name):
    option = f"--{name}"
    if TAKES[name] == "=":
        option += f"={VALUES.get(SYNONYMS.get(name, name), '1')}"
    job = convert(option)
    if name in REFUSED:
        assert [one.path for one in job.document.reading] == [f"--{name}"]
        return
    changed = job.document.spec(NOW_MS) != spec()
    shown = f"--{SYNONYMS.get(name, name)}"
    assert changed or any(note.field == shown for note in job.notes)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--a=b c", ["--a=b", "c"]),
        ("""--a="b c" 'd "e'""", ["--a=b c", 'd "e']),
        (r"a\ b \"c", ["a", "b", '"c']),
        (r"'a\'b' 'c\d' e\f", ["a'b", "cd", "ef"]),
        (r'a"\ "b a\#b', ["a b", "a#b"]),
        ("--time=1 # two", ["--time=1"]),
        ("--x=1#2", ["--x=1"]),
        ("'#' \"#\" \\#", ["#", "#", "#"]),
        ("''", [""]),
        ("", []),
        ("a\\", ["a"]),
        ('"a\\"b"', ['a"b']),
    ],
)
def test_words(line, words):
    assert [word.text for word in split(line, 1)] == words


@pytest.mark.parametrize("line", ["'", '"', 'a"b', '"\\"'])
def test_open_quotes(line):
    assert split(line, 1) is None
    assert "a quote is not closed" in problems(f"--comment={line}")


def test_columns_of_words():
    assert [word.place for word in split("#SBATCH  -n 2", 3, 7)] == [(3, 10), (3, 13)]


@pytest.mark.parametrize("line", ["-n4", "-n 4", "--ntasks=4", "--ntasks 4", "-Qn4", "-s -n 4"])
def test_spellings_of_an_option(line):
    assert spec(line).resources.cpu_milli == 4_000


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--job-name --time=5", "looks like an option"),
        ("-J -n 4", "looks like an option"),
        ("-J", "the value is missing"),
        ("--time=", "the value is empty"),
        ("--ntasks-per=2", "ambiguous"),
        ("--tme=10", "did you mean --time?"),
        ("--job_name=x", "did you mean --job-name?"),
        ("--hold", "a job cannot be submitted held"),
        ("--requeue=3", "takes no value"),
        ("--wrap=ls", "a command instead of the script"),
        ("--test-only", "--dry-run"),
        ("ntasks=4", "is no option"),
        ("-Z", "no option -Z"),
        ("hetjob", "a heterogeneous job"),
        ("--time=soon", "is not a time limit"),
        ("--time=1:2:3:4", "is not a time limit"),
        ("--mem=lots", "is not a size"),
        ("--mem=-1", "is not a size"),
        ("--array=5-1", "an empty range"),
        ("--array=1-", "is not a list of array indices"),
        ("--array=1-4000001", "is too large"),
        ("--array=1%x", "is not a list of array indices"),
        ("--nodes=0", "is not a number of nodes"),
        ("--nodes=4-2", "is not a number of nodes"),
        ("--ntasks=0", "is not a number"),
        ("--gres=gpu:a:b:c", "are no cards"),
        ("--gpus=many:x", "are no cards"),
        ("--dependency=afterok", "is not a dependency"),
        ("--dependency=afterok:x", "is no job"),
        ("--begin=someday", "is not a time"),
        ("--begin=2027-02-31", "is not a time"),
        ("--nice=low", "is not a number"),
        ("--export=FENGLIN_SITE=x", "is set by Fenglin"),
        ("--account='a b'", "is not a name"),
        ("--partition=--wrap=x", "is not a name"),
        ("--chdir=/a/../b", "is not an absolute directory"),
    ],
)
def test_refusals_name_the_line(line, said):
    found = problems(line)
    assert said in found
    assert found.startswith("2:")


def test_windows_line_ends_and_no_interpreter_are_refused():
    with pytest.raises(InputProblems) as caught:
        read_jobs("#!/bin/sh\n#SBATCH -n 1\r\n", "job.sh", NOW_MS)
    assert (caught.value.problems[0].line, caught.value.problems[0].what) == (
        2, "Windows line ends",
    )  # fmt: skip
    with pytest.raises(InputProblems) as caught:
        read_jobs("#SBATCH -n 1\n", "job.sh", NOW_MS).jobs[0].document.spec(NOW_MS)
    assert "#!/bin/bash" in caught.value.problems[0].hint


def test_everything_wrong_is_said_at_once():
    found = problems("--time=soon", "--mem=lots", "--hold")
    assert all(place in found for place in ("2:--time", "3:--mem", "4:--hold"))


def test_the_last_of_contradictory_options_counts_and_the_others_are_said():
    given = ("--time=1", "--time=2", "--mem=4G", "--mem-per-cpu=1G")
    assert spec(*given).timeout_ms == 120_000
    assert spec(*given).resources.memory_bytes == 2**30
    assert notes(*given) == [(2, "--time", "ignored"), (4, "--mem", "ignored")]
    assert notes("--time=1", "--time=1") == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("-n 4", "-N 1", "--ntasks-per-node=3"), [(4, "--ntasks-per-node", "ignored")]),
        (("-n 3", "-N 1", "--ntasks-per-node=3"), []),
        (("--gres=gpu:2", "--gpus=3"), [(2, "--gres", "approximated")]),
        (
            ("--requeue", "--no-requeue"),
            [(2, "--requeue", "ignored"), (3, "--no-requeue", "ignored")],
        ),
    ],
)
def test_directives_that_contradict_each_other_are_said(given, said):
    assert notes(*given) == said


def test_a_directive_after_the_first_command_is_not_read_but_said():
    script = "#!/bin/sh\n#SBATCH --mem=1G\necho\n#SBATCH --time=5\n"
    (made,) = read_jobs(script, "job.sh", NOW_MS).jobs
    assert made.document.spec(NOW_MS).timeout_ms == 0
    (note,) = made.notes
    assert (note.line, note.field, note.level) == (4, "--time=5", "ignored")
    assert "after the first command" in note.text


def test_options_of_the_command_line_win_without_a_word():
    assert spec("--time=1", "-n 2", options="-t 3 --mem='2G'").timeout_ms == 180_000
    assert notes("--time=1", options="--time=3 --mem-per-cpu=1G") == []


def test_options_of_plugins_are_lost_with_their_values():
    assert notes("--own-thing", "--scratch-tier nvme --time=5", "-n 1") == [
        (2, "--own-thing", "lost"),
        (3, "--scratch-tier", "lost"),
    ]


@pytest.mark.parametrize(
    ("line", "seconds"),
    [
        ("5", 300), ("5:30", 330), ("1:00:00", 3_600), ("1-2", 93_600), ("1-2:03", 93_780),
        ("1-02:03:04", 93_784), ("UNLIMITED", 0), ("0", 0),
    ],
)  # fmt: skip
def test_times(line, seconds):
    assert spec(f"--time={line}").timeout_ms == seconds * 1_000


@pytest.mark.parametrize(
    ("lines", "cpu", "memory_mib", "cards", "nodes"),
    [
        (["-c 4 --mem=1000"], 4, 1_000, 0, 1),
        (["-n 4 --mem-per-cpu=2G"], 4, 8_192, 0, 1),
        (["-n 8 --ntasks-per-node=4 -c 2 --mem=1T"], 8, 2**20, 0, 2),
        (["-N 2 --ntasks-per-node=3 --mem=10K"], 3, 1, 0, 2),
        (["-N 2 -n 5 --mem=1G"], 3, 1_024, 0, 2),
        (["-N 2 --gpus=4 --cpus-per-gpu=8 --mem-per-gpu=10G"], 16, 20_480, 2, 2),
        (["--gres=gpu:2(S:0-1),gpu:1 --mem=1G"], 1, 1_024, 3, 1),
        (["-n 2 --gpus-per-task=2 --gpus-per-node=1 --mem=1G"], 2, 1_024, 4, 1),
        (["--gres=none --mem=1G --mincpus=6"], 6, 1_024, 0, 1),
        (["-c 3"], 3, 6_144, 0, 1),
    ],
)
def test_shapes(lines, cpu, memory_mib, cards, nodes):
    job = spec(*lines)
    need = job.resources
    assert (need.cpu_milli, need.memory_bytes) == (cpu * 1_000, memory_mib * 2**20)
    assert (need.accelerator_milli, job.nodes) == (cards * 1_000, nodes)


@pytest.mark.parametrize(
    ("line", "after"),
    [
        ("afterok:12", [("j12", "ok", False)]),
        ("afterany:j3:4,afternotok:5", [("j3", "any", False), ("j4", "any", False),
                                        ("j5", "fail", False)]),
        ("aftercorr:7", [("j7", "ok", True)]),
        ("8", [("j8", "any", False)]),
    ],
)  # fmt: skip
def test_dependencies(line, after):
    parents = spec(f"--dependency={line}").after
    assert [(one.job, one.condition.value, one.per_task) for one in parents] == after


@pytest.mark.parametrize(
    ("line", "levels"),
    [
        ("afterok:j1?afterok:j2", ["approximated"]),
        ("afterok:j1,afterany:j1", ["approximated"]),
        ("afterok:j1_4", ["approximated"]),
        ("singleton", ["lost"]),
        ("after:j1+5", ["lost"]),
    ],
)
def test_dependencies_that_are_not_exact(line, levels):
    assert [level for _, _, level in notes(f"--dependency={line}")] == levels


def test_begin_is_local_time_or_from_now(monkeypatch):
    monkeypatch.setenv("TZ", "UTC-8")
    import time  # noqa: PLC0415

    time.tzset()
    try:
        for value, wanted in (
            ("now+2hours", 7_200), ("now+30", 30), ("now+1day", 86_400),
            ("2027-01-15T17:00:00", 3_600), ("17:00", 3_600), ("5:00 pm", 3_600),
            ("15:59", 86_340), ("01/16/27", 28_800), ("midnight", 28_800), ("tomorrow", 86_400),
        ):  # fmt: skip
            job = spec(f"--begin='{value}'")
            assert job.not_before_ms == NOW_MS + wanted * 1_000, value
    finally:
        monkeypatch.undo()
        time.tzset()
    assert notes("--begin=now+5") == []
    assert notes("--begin=16:00") == [(2, "--begin", "approximated")]


def test_ignored_levels_alone_pass_strict():
    assert all(level == Level.IGNORED for _, _, level in notes("--quiet", "--hint=x", "-W"))
