"""`fenglin squeue`: Slurm's columns, widths, states and exit codes, against a scripted hub."""

import getpass
import json
import time

import pytest

SPEC = {
    "name": "sky", "nodes": 2, "command": ["x"], "timeout": "93784s",
    "resources": {"cpu": "1.5", "memory": "100MiB", "accelerators": {"count": 2, "model": "A100"}},
    "after": [{"job": "j3"}],
}  # fmt: skip


def part(part_id="a1", **more):
    return {
        "id": part_id, "site": "ai", "flavor": "std", "tasks": "0", "slots": 1,
        "nodes": ["n1", "n2"], "state": "running", "attempt": 1, "started_ms": 2_000,
        "ended_ms": 0, "succeeded": 0, "failed": 0, "expected_finish_ms": 0, "held_micro": 0,
        "cost_micro": 0, **more,
    }  # fmt: skip


@pytest.fixture
def pool(hub, job):
    """Put jobs into the hub, in the listing without what a listing does not tell."""

    def put(*jobs):
        made = [job(**{"task_count": 1, "tasks": {"running": 1}, **one}) for one in jobs]
        listed = [{**one, "allocations": [], "spec": {}} for one in made]
        hub.on("GET", "/v1/jobs", {"items": listed, "next": "", "total": len(made)})
        hub.on("GET", "/v1/jobs?detail", {"items": made, "next": "", "total": len(made)})
        for one in made:
            hub.on("GET", f"/v1/jobs/{one['id']}", one)

    return put


@pytest.fixture
def running(pool):
    """Put one running job and one that waits into the hub."""
    started = time.time_ns() // 1_000_000 - 3_723_000
    pool(
        {"job_id": "j7", "name": "averylongjobname", "spec": SPEC,
         "allocations": [part(started_ms=started)]},
        {"job_id": "j12", "state": "pending", "reason": "cpu_busy", "tasks": {"pending": 1}},
    )  # fmt: skip


@pytest.mark.usefixtures("running")
def test_default_columns_are_slurms_and_the_site_stands_last(fenglin):
    done = fenglin("squeue")
    head = "             JOBID PARTITION     NAME     USER ST       TIME  NODES NODELIST(REASON)"
    lines = done.out.splitlines()
    assert (done.code, lines[0]) == (0, head + " CLUSTER")
    waiting = "                12   default      sky  default PD       0:00      1 (Resources) N/A"
    assert lines[1] == waiting
    assert lines[2].startswith("                 7   default averylon  default  R    1:02:0")
    assert lines[2].endswith("      2 n1,n2 ai")
    assert len(fenglin("squeue", "-h").out.splitlines()) == 2


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("%i", "7"), ("%A", "7"), ("%F", "7"), ("%K", "N/A"), ("%P", "default"),
        ("%.5j", "avery"), ("%20j|", "averylongjobname    |"), ("%.20j", "    averylongjobname"),
        ("%T", "RUNNING"), ("%l", "1-02:03:04"), ("%D", "2"), ("%C", "4"), ("%m", "100M"),
        ("%b", "gres/gpu:A100:2"), ("%R", "n1,n2"), ("%r", "None"), ("%N", "n1,n2"), ("%Q", "0"),
        ("%E", "afterok:3"), ("%Z", "(null)"), ("%o", "(null)"), ("a%tb%u!", "aRbdefault!"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("running")
def test_fields(fenglin, field, text):
    assert fenglin("squeue", "-hj7", "-o", field).out == f"{text}\n"


@pytest.mark.usefixtures("running")
def test_long_format_names(fenglin):
    out = fenglin("squeue", "-h", "-j", "7", "-O", "JobID:.4,name:5,state: ,cluster").out
    assert out == "   7averyRUNNING ai                  \n"
    assert "numcpus" in fenglin("squeue", "-O", "nosuch").err


@pytest.mark.usefixtures("running")
def test_fields_that_a_listing_tells_need_no_call_per_job(fenglin, hub):
    assert fenglin("squeue", "-h", "-o", "%i %t").out == "12 PD\n7 R\n"
    assert [one.path for one in hub.asked] == ["/v1/jobs"]


def test_array_runs_in_parts_and_waits_in_one(fenglin, pool):
    parts = [
        part("a1", tasks="0-1", slots=2, nodes=["n1"]),
        part("a2", tasks="2", state="ended", succeeded=1, ended="2", wall_ms=61_000),
        part("a3", tasks="3", site="far", nodes=["m1"], state="stopping"),
    ]
    pool({"job_id": "j5", "task_count": 6, "allocations": parts, "spec": {**SPEC, "tasks": 6},
          "task_sets": {"succeeded": "2", "running": "0-1,3", "pending": "4-5"},
          "tasks": {"running": 3, "succeeded": 1, "pending": 2}})  # fmt: skip
    words = ("squeue", "-h", "-o", "%i %t %D %C")
    assert fenglin(*words).out == "5_[4-5] PD 2 4\n5_[0-1] R 1 8\n5_3 CG 1 4\n"
    each = fenglin("squeue", "-h", "-r", "-o", "%i").out.split()
    assert each == ["5_4", "5_5", "5_0", "5_1", "5_3"]
    assert fenglin("squeue", "-h", "-j", "5_[1,4]", "-o", "%i").out == "5_4\n5_1\n"
    assert fenglin("squeue", "-h", "-j", "50000003", "-o", "%i %A").out == "5_3 50000003\n"
    by_site = fenglin("squeue", "-M", "all", "-o", "%i").out.split("\n")
    assert by_site == [
        "CLUSTER: N/A", "JOBID", "5_[4-5]", "CLUSTER: ai", "JOBID", "5_[0-1]",
        "CLUSTER: far", "JOBID", "5_3", "",
    ]  # fmt: skip


def test_tasks_of_one_array_have_their_own_states(fenglin, pool):
    parts = [part("a1", tasks="0-9", slots=2, nodes=["n1"], ended="0-3", wall_ms=244_000)]
    pool(
        {"job_id": "j5", "task_count": 10, "allocations": parts, "reason": "exit_code",
         "task_sets": {"succeeded": "0,2-3", "failed": "1", "running": "4-9"},
         "tasks": {"running": 6, "succeeded": 3, "failed": 1}},
        {"job_id": "j6"},
    )  # fmt: skip
    assert fenglin("squeue", "-h", "-o", "%i %t").out == "5_[6-9] PD\n5_[4-5] R\n6 R\n"
    words = ("squeue", "-hr", "-j5", "-t", "all", "-o", "%i %t %M", "-S", "K")
    assert [line for line in fenglin(*words).out.splitlines() if "PD" not in line][:4] == [
        "5_0 CD 1:01", "5_1 F 1:01", "5_2 CD 1:01", "5_3 CD 1:01",
    ]  # fmt: skip


def test_any_number_of_jobs_takes_one_call(fenglin, hub, pool):
    pool(*({"job_id": f"j{n}", "allocations": [part()], "spec": SPEC} for n in range(1, 300)))
    assert len(fenglin("squeue", "-h").out.splitlines()) == 299
    assert [one.path for one in hub.asked] == ["/v1/jobs"]
    assert ("detail", "true") in hub.asked[0].query


def test_the_user_is_who_submitted(fenglin, pool):
    pool({"job_id": "j5", "user": "ann"}, {"job_id": "j6"})
    assert fenglin("squeue", "-h", "-o", "%i %u").out == "5 ann\n6 default\n"


def test_array_keeps_the_indices_that_the_user_gave(fenglin, pool):
    labels = {"slurm.array": "1-9:4,20%2"}
    pool(
        {"job_id": "j5", "task_count": 4, "labels": labels, "tasks": {"running": 2, "pending": 2},
         "allocations": [part(tasks="1-2", slots=2)]},
        {"job_id": "j6", "task_count": 4, "labels": labels, "state": "pending", "tasks": {}},
    )  # fmt: skip
    out = fenglin("squeue", "-h", "-o", "%i").out
    assert out == "5_[1,20]\n6_[1-9:4,20%2]\n5_[5,9]\n"
    assert fenglin("squeue", "-h", "-j5_9", "-o", "%i %K").out == "5_9 9\n"
    gone = fenglin("squeue", "-h", "-j", "5_2")
    assert (gone.code, gone.out) == (1, "")


@pytest.mark.parametrize(
    ("reason", "code", "word"),
    [
        ("exit_code", "F", "(NonZeroExitCode)"), ("timeout", "TO", "(TimeLimit)"),
        ("memory_exceeded", "OOM", "(OutOfMemory)"), ("site_lost", "NF", "(NodeDown)"),
        ("preempted", "PR", "(preempted)"), ("from_tomorrow", "F", "(from_tomorrow)"),
    ],
)  # fmt: skip
def test_how_jobs_end(fenglin, pool, reason, code, word):
    pool({"job_id": "j5", "state": "failed", "reason": reason, "ended_ms": 5_000})
    assert fenglin("squeue", "-h", "-t", "all", "-o", "%t %R").out == f"{code} {word}\n"
    assert fenglin("squeue", "-h", "-j", "5").out == ""
    assert fenglin("squeue", "-h", "-t", "cd,ca", "-o", "%i").out == ""


def test_filters(fenglin, hub, pool):
    me = {"slurm.user": getpass.getuser()}
    pool({"job_id": "j5", "labels": me, "name": "a"}, {"job_id": "j6", "name": "ab"})
    assert fenglin("squeue", "-h", "-o%i", "--me").out == "5\n"
    assert fenglin("squeue", "-ho%i", "-u", "default").out == "6\n"
    assert fenglin("squeue", "-h", "-o%i", "-n", "a,b").out == "5\n"
    fenglin("squeue", "--noh", "--part=q1,q2", "-A", "acc", "-t", "R")
    cut = {("queue", "q1"), ("queue", "q2"), ("account", "acc"), ("state", "running")}
    assert cut <= set(hub.calls("GET", "/v1/jobs")[-1].query)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["-j", "999"], "Invalid job id specified"), (["-j", "abc"], "Invalid job id: abc"),
        (["-t", "XX"], "Invalid job state specified: XX"), (["--nosuch"], "--nosuch"),
        (["-o", "%["], "names no field"), (["-o", "%W"], "%W"), (["x"], "Unrecognized option: x"),
        (["-j"], "requires an argument"), (["--no"], "ambiguous"), (["-S", "?"], "cannot sort"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("running")
def test_mistakes_end_with_1(fenglin, words, text):
    done = fenglin("squeue", *words)
    assert (done.code, done.out) == (1, "")
    assert text in done.err
    assert done.err.startswith("squeue: error: ")


@pytest.mark.usefixtures("running")
def test_json_has_the_shape_of_slurms(fenglin):
    data = json.loads(fenglin("squeue", "--json", "-j", "7,999").out)
    (one,) = data["jobs"]
    assert data["errors"] == []
    assert one["job_id"] == 7
    assert (one["job_state"], one["nodes"], one["cluster"]) == ("RUNNING", "n1,n2", "ai")
    assert (one["time_limit"], one["memory_per_node"], one["array_task_id"]) == (1564, 100, None)


def test_nothing_can_command_the_terminal(fenglin, pool):
    pool({"job_id": "j5", "name": "a\x1b[2Jb"})
    assert fenglin("squeue", "-h", "-o", "%j").out == "a\\x1b[2Jb\n"


@pytest.mark.usefixtures("running")
def test_environment_gives_the_format_and_help_asks_no_hub(fenglin, monkeypatch):
    monkeypatch.setenv("SQUEUE_FORMAT", "%i")
    assert fenglin("squeue", "-h").out == "12\n7\n"
    done = fenglin("squeue", "--help")
    assert done.code == 0
    assert "--noheader" in done.out


def test_no_hub_ends_with_1(fenglin, no_hub):
    done = fenglin("squeue", "--hub", no_hub)
    assert done.code == 1
    assert done.err.startswith("squeue: error: ")
