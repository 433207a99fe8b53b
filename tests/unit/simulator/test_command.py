"""`fenglin simulate swf`, as its user meets it."""

import json
import subprocess
import sys

import pytest

from fenglin.cli import main

GOOD = """\
; MaxProcs: 5
1 0 -1 10 -1 -1 -1 3 10 -1 1 1 -1 -1 -1 -1 -1 -1
2 1 -1 5 -1 -1 -1 5 5 -1 1 1 -1 -1 -1 -1 -1 -1
3 2 -1 8 -1 -1 -1 2 8 -1 1 1 -1 -1 -1 -1 -1 -1
"""


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "log.swf"
    path.write_text(GOOD)
    return path


@pytest.fixture
def swf(log, capfd):
    """Run the command on the log; return its exit code, output and errors."""

    def run(*words, file=log):
        code = main(["simulate", "swf", str(file), *map(str, words)])
        return code, *capfd.readouterr()

    return run


def test_the_answer(swf, tmp_path):
    waits, nodes = tmp_path / "waits.csv", tmp_path / "nodes.csv"
    code, out, err = swf(
        "--procs", 5, "--policy", "easy", "--runtime", "actual", "--seed", 3,
        "--waits", waits, "--nodes", nodes, "-o", "json",
    )  # fmt: skip
    assert (code, err) == (0, "")
    answer = json.loads(out)
    assert answer["jobs"] == 3
    assert answer["mean_wait_s"] == 3.0
    assert answer["mean_bounded_slowdown"] == pytest.approx((1 + 14 / 10 + 1) / 3)
    assert answer["max_bounded_slowdown"] == 1.4
    assert answer["jobs_per_s"] > 0
    assert answer["problems"] == []
    assert waits.read_text() == "job_id,wait_s\n1,0\n2,9\n3,0\n"
    assert nodes.read_text() == "job_id,first,count\n1,0,3\n3,3,2\n2,0,5\n"


def test_the_policy_counts(swf):
    waits = {
        policy: json.loads(swf("--policy", policy, "-o", "json")[1])["mean_wait_s"]
        for policy in ("fcfs", "easy", "easy-sjbf", "conservative")
    }
    assert waits == {"fcfs": 22 / 3, "easy": 3.0, "easy-sjbf": 3.0, "conservative": 3.0}


def test_the_table_and_the_size_from_the_header(swf):
    code, out, _ = swf()
    assert code == 0
    assert "mean_wait_s            3.000\n" in out
    assert "procs                  5\n" in out


def test_lenient_goes_on_and_says_so(swf, log):
    log.write_text(GOOD + "broken\n")
    code, out, err = swf("-o", "json")
    assert code == 0
    assert "warning: log.swf: fewer than 18 fields, 1 × (lines 5): skipped" in err
    answer = json.loads(out)
    assert (answer["jobs"], answer["skipped"]) == (3, 1)
    assert answer["problems"] == [
        {"what": "fewer than 18 fields", "done": "skipped", "count": 1, "lines": [5]}
    ]


def test_strict_refuses_and_says_why(swf, log, tmp_path):
    log.write_text(GOOD + "broken\n")
    waits = tmp_path / "waits.csv"
    code, out, err = swf("--strict", "--waits", waits)
    assert (code, out) == (2, "")
    assert "(lines 5)" in err
    assert "1 faults found; nothing was simulated" in err
    assert not waits.exists()


def test_jobs_larger_than_the_machine(swf):
    code, out, err = swf("--procs", 4, "-o", "json")
    assert code == 0
    assert "more processors than the machine's 4, 1 × (lines 3)" in err
    assert json.loads(out)["jobs"] == 2


@pytest.mark.parametrize(
    ("text", "words", "said"),
    [
        ("", [], "the file does not say how many processors"),
        ("", ["--procs", "5"], "no job is left to simulate"),
        (GOOD, ["--policy", "magic"], "'magic' is none of fcfs, easy"),
        (GOOD, ["--runtime", "guessed"], "'guessed' is none of actual, requested"),
        (GOOD, ["--procs", "-3"], "--procs"),
    ],
)
def test_mistakes(swf, log, text, words, said):
    log.write_text(text)
    code, out, err = swf(*words)
    assert (code, out) == (2, "")
    assert said in err
    assert "Traceback" not in err


def test_no_such_file(swf, tmp_path):
    code, _, err = swf(file=tmp_path / "none.swf")
    assert code == 3
    assert "there is no such file" in err


def test_nodes_of_jobs_that_outlive_their_request(swf, log, tmp_path):
    log.write_text(
        "1 0 -1 100 -1 -1 -1 5 10 -1 1 1 -1 -1 -1 -1 -1 -1\n"
        "2 20 -1 1 -1 -1 -1 5 5 -1 1 1 -1 -1 -1 -1 -1 -1\n"
    )
    words = ("--procs", 5, "--runtime", "requested", "-o", "json")
    code, out, err = swf(*words)
    assert code == 0
    assert json.loads(out)["past_request"] == 1
    assert "1 jobs run past their requested time" in err
    code, _, err = swf(*words, "--nodes", tmp_path / "nodes.csv")
    assert code == 2
    assert "outlive their requested time" in err


def test_without_the_extra_it_is_slower_and_the_same(log):
    """A base install has neither Numba nor Polars."""
    program = (
        "import sys\n"
        "sys.modules['numba'] = sys.modules['polars'] = None\n"
        "from fenglin.cli import main\n"
        f"sys.exit(main(['simulate', 'swf', {str(log)!r}, '-o', 'json']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(done.stdout)
    assert (answer["compiled"], answer["mean_wait_s"]) == (False, 3.0)


def test_parquet_without_the_extra(tmp_path):
    path = tmp_path / "log.parquet"
    path.write_bytes(b"PAR1")
    program = (
        "import sys\n"
        "sys.modules['polars'] = None\n"
        "from fenglin.cli import main\n"
        f"sys.exit(main(['simulate', 'swf', {str(path)!r}]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "install fenglin[simulate]" in done.stderr
