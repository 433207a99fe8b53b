"""`fenglin sinfo`, `sacct` and `compat`."""

import json
import subprocess

import pytest

SITE = {
    "name": "ai", "provider": "us", "driver": "local", "placement": "node", "state": "active",
    "state_reason": "", "nodes": 2, "nodes_up": 2, "cpu_milli": 0, "cpu_used_milli": 0,
    "memory_bytes": 0, "memory_used_bytes": 0, "accelerator_milli": 0,
    "accelerator_used_milli": 0, "running_tasks": 0, "seen_ms": 1_000,
}  # fmt: skip
QUEUE = {
    "name": "default", "weight_milli": 1_000, "cohort": "", "pending_jobs": 0,
    "pending_tasks": 0, "running_tasks": 0, "cpu_used_milli": 0, "memory_used_bytes": 0,
    "accelerator_used_milli": 0, "dominant_share": 0.0,
}  # fmt: skip


def node(name, used=0, *, up=True, site="ai"):
    return {
        "site": site, "name": name, "flavor": "std", "up": up, "cpu_milli": 8_000,
        "cpu_used_milli": used, "memory_bytes": 2**34, "memory_used_bytes": 0, "disk_bytes": 0,
        "disk_used_bytes": 0, "accelerator_milli": 2_000, "accelerator_used_milli": 0,
    }  # fmt: skip


@pytest.fixture
def nodes(hub):
    """Put two sites with nodes in all states into the hub."""
    drained = {**SITE, "name": "far", "state": "drained", "state_reason": "repair"}
    listed = [
        node("n1"), node("n2"), node("n3", 2_500), node("n4", 8_000), node("n5", up=False),
        node("m1", site="far"), node("m2", 1_000, site="far"),
    ]  # fmt: skip
    for path, items in (
        ("sites", [SITE, drained]),
        ("nodes", listed),
        ("queues", [QUEUE, {**QUEUE, "name": "fast"}]),
    ):
        hub.on("GET", f"/v1/{path}", {"items": items, "next": "", "total": len(items)})


@pytest.mark.usefixtures("nodes")
def test_sinfo_default(fenglin):
    done = fenglin("sinfo", "-p", "default")
    assert done.out.splitlines() == [
        "PARTITION AVAIL  TIMELIMIT  NODES  STATE NODELIST CLUSTER",
        "default*     up   infinite      2   idle n1,n2 ai",
        "default*     up   infinite      1    mix n3 ai",
        "default*     up   infinite      1  alloc n4 ai",
        "default*     up   infinite      1   down n5 ai",
        "default*     up   infinite      1  drain m1 far",
        "default*     up   infinite      1   drng m2 far",
    ]
    assert len(fenglin("sinfo", "-h").out.splitlines()) == 12


@pytest.mark.usefixtures("nodes")
@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (["-s", "-p", "fast"], ["fast         up   infinite          2/2/1/5 n1,n2,n3,n4,n5 ai",
                                "fast         up   infinite          1/0/1/2 m1,m2 far"]),
        (["-pfast", "-o", "%R %D %C %V"], ["fast 5 11/21/8/40 ai", "fast 2 1/0/15/16 far"]),
        (["-pfast", "-N", "-n", "n3,m2", "-o", "%N|%T|%c|%m|%G|%f|%E"],
         ["n3|mixed|8|16384|gpu:2|std|none", "m2|draining|8|16384|gpu:2|std|repair"]),
        (["-pfast", "-t", "idle,mixed", "-O", "nodelist:8,nodes:.3"], ["n1,n2,n3  3"]),
        (["-pfast", "-M", "far", "-t", "DRNG", "-o", "%t %A"], ["drng 1/0"]),
    ],
)  # fmt: skip
def test_sinfo(fenglin, words, lines):
    done = fenglin("sinfo", "-h", *words)
    assert (done.code, done.out.splitlines()) == (0, lines)


@pytest.mark.usefixtures("nodes")
def test_sinfo_json_and_mistakes(fenglin):
    data = json.loads(fenglin("sinfo", "--json").out)
    assert len(data["nodes"]) == 7
    assert data["nodes"][2]["partitions"] == ["default", "fast"]
    assert (data["nodes"][2]["state"], data["nodes"][2]["alloc_cpus"]) == ("mixed", 3)
    assert fenglin("sinfo", "-t", "odd").code == 1


@pytest.fixture
def past(hub, job):
    """Put a failed job, an array that succeeded and one of mixed fate into the hub."""
    ended = {"submitted_ms": 1_000, "started_ms": 2_000, "ended_ms": 3_725_000}
    jobs = [
        job("j7", "failed", task_count=1, detail="task 0: exit code 3", reason="exit_code",
            name="averylongname", **ended),
        job("j8", "succeeded", task_count=3, tasks={"succeeded": 3}, **ended),
        job("j9", "failed", tasks={"succeeded": 3, "failed": 1}, detail="task 1: signal 9",
            task_sets={"succeeded": "0,2-3", "failed": "1"}, reason="signal", **ended),
    ]  # fmt: skip
    hub.on("GET", "/v1/jobs", {"items": jobs, "next": "", "total": 3})
    for one in jobs:
        hub.on("GET", f"/v1/jobs/{one['id']}", one)


@pytest.mark.usefixtures("past")
def test_sacct_default(fenglin):
    lines = fenglin("sacct", "-j", "7").out.splitlines()
    assert lines == [
        "JobID           JobName  Partition    Account  AllocCPUS      State ExitCode    Cluster ",
        "------------ ---------- ---------- ---------- ---------- ---------- -------- ---------- ",
        "7            averylong+    default    default          1     FAILED      3:0        N/A ",
    ]


@pytest.mark.usefixtures("past")
@pytest.mark.parametrize(
    ("words", "out"),
    [
        (["-nXP", "-S1970-01-01", "--format=jobid,state,exitcode"],
         "".join(f"{line}\n" for line in (
            "7|FAILED|3:0", "8_0|COMPLETED|0:0", "8_1|COMPLETED|0:0", "8_2|COMPLETED|0:0",
            "9_0|COMPLETED|0:0", "9_1|FAILED|0:9", "9_2|COMPLETED|0:0", "9_3|COMPLETED|0:0",
        ))),
        (["-p", "-j7", "-o", "JobID,Elapsed,ElapsedRaw"],
         "JobID|Elapsed|ElapsedRaw|\n7|01:02:03|3723|\n"),
        (["-nP", "-j7,8_1", "-s", "CD", "-o", "jobid"], "8_1\n"),
        (["-nP", "-o", "jobid"], ""),
        (["-nP", "-S", "now-1hour", "-o", "jobid"], ""),
        (["-nP", "--delimiter=;", "-j7", "-ojobid,user"], "7;default\n"),
        (["-n", "-j7", "-o", "jobid%-4,state%4"], "7    FAI+ \n"),
    ],
)  # fmt: skip
def test_sacct(fenglin, words, out):
    done = fenglin("sacct", *words)
    assert (done.code, done.out) == (0, out)


@pytest.mark.usefixtures("past")
@pytest.mark.parametrize("words", [["-o", "nosuch"], ["-S", "soon"], ["-j", "x"], ["-o", ""]])
def test_sacct_mistakes(fenglin, words):
    done = fenglin("sacct", *words)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("sacct: error: ")


def test_compat_puts_commands_on_the_path_and_takes_them_away(fenglin, tmp_path):
    folder = tmp_path / "a folder"
    done = fenglin("compat", "install", folder)
    assert done.code == 0, done.err
    names = {"sacct", "sbatch", "scancel", "sinfo", "squeue"}
    assert {path.name for path in folder.iterdir()} == names
    shown = subprocess.run(
        [folder / "squeue", "--help"], capture_output=True, text=True, check=True
    )
    assert shown.stdout.startswith("Usage: fenglin squeue")
    (folder / "mine").touch()
    assert fenglin("compat", "install", folder).code == 0  # ours may be made anew
    assert fenglin("compat", "uninstall", folder).code == 0
    assert [path.name for path in folder.iterdir()] == ["mine"]


def test_compat_never_touches_what_is_not_ours(fenglin, tmp_path):
    real = tmp_path / "squeue"
    real.write_text("#!/bin/sh\necho real\n")
    done = fenglin("compat", "install", tmp_path)
    assert done.code == 5
    assert "squeue" in done.err
    assert not (tmp_path / "sbatch").exists()
    (tmp_path / "sinfo").symlink_to(real)
    fenglin("compat", "uninstall", tmp_path)
    assert real.read_text() == "#!/bin/sh\necho real\n"
    assert (tmp_path / "sinfo").is_symlink()
