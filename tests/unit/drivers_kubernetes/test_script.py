"""The shell files, run by a real shell outside of any container."""

import os
import re
import shutil
import subprocess

import pytest
from kubernetes_samples import order

from fenglin.drivers.kubernetes import inputs, names, script
from fenglin.drivers.kubernetes.manifests import unwanted_text
from fenglin.errors import DriverError
from fenglin.ports.driver import StagedInput
from fenglin.quantities.taskset import TaskSet
from fenglin.testing.servers import packages


@pytest.fixture(params=["sh", "bash", "busybox"])
def shell(request, tmp_path):
    """Return a shell under the name `sh`, as images have it."""
    if shutil.which(request.param) is None and (why := packages.install(request.param)):
        pytest.skip(f"no {request.param}: {why}")
    program = shutil.which(request.param)
    link = tmp_path / "bin" / "sh"
    link.parent.mkdir()
    link.symlink_to(program)
    return str(link)


@pytest.fixture
def run(tmp_path, shell):
    """Return a function that runs one task and returns (status, last words, output)."""

    def task(
        given, *, index="0", lines=(), files=None, truthful=True, stop=False, place=None, cut=""
    ):
        room, end = tmp_path / "room", tmp_path / "end"
        for folder in ("job", "wish", "state", "scratch"):
            (room / folder).mkdir(parents=True, exist_ok=True)
        texts = {
            "run": script.run_file(given, lines, truthful=truthful),
            "start": script.start_file(given, "w"),
            "script": given.script,
        }
        for name, text in texts.items():
            own = text.replace(names.END, str(end)).replace(names.ROOM, str(room))
            own = own if name == "script" else own.replace("/bin/sh", shell)
            (room / "job" / name).write_text(own)
            (room / "job" / name).chmod(0o755)
        for name, data in (files or {}).items():
            (room / "job" / name).write_bytes(data)
        if stop:
            (room / "wish" / "stop").touch()
        (room / "wish" / "unwanted").write_text(unwanted_text(TaskSet.parse(cut)))
        words = [shell, str(room / "job" / "run"), *([index] if place is None else [])]
        env = {"PATH": os.defpath} | ({} if place is None else {"JOB_COMPLETION_INDEX": str(place)})
        done = subprocess.run(
            words, env=env, capture_output=True, text=True, timeout=20, check=False
        )
        return done.returncode, end.read_text().strip(), done.stdout + done.stderr

    return task


def words(text):
    return re.sub(r" \d+ ([01])$", r" T \1", text)


@pytest.mark.parametrize(
    ("command", "status", "said"),
    [
        (("true",), 0, "E 0 - T 0"),
        (("sh", "-c", "exit 42"), 42, "E 42 exit_code T 0"),
        (("sh", "-c", "exit 137"), 137, "E 137 exit_code T 0"),
        (("sh", "-c", "kill -KILL $$"), 137, "E 137 signal T 0"),
        (("sh", "-c", "kill -USR1 $$"), 138, "E 138 signal T 0"),
        (("sh", "-c", "kill -TERM $$"), 143, "E 143 signal T 0"),
        (("fenglin-has-no-such-command",), 127, "E 127 command_not_found T 0"),
        (("/no/such/command",), 127, "E 127 command_not_found T 0"),
        (("",), 127, "E 127 command_not_found T 0"),
    ],
)
def test_endings_are_told_apart(run, command, status, said):
    seen = run(order(command=command))
    assert (seen[0], words(seen[1])) == (status, said)


def test_a_job_that_may_not_fail_tells_the_end_all_the_same(run):
    code, said, _ = run(order(command=("sh", "-c", "exit 3")), truthful=False)
    assert (code, words(said)) == (0, "E 3 exit_code T 0")


@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_a_task_that_is_not_wanted_runs_nothing(run, place):
    given = order(tasks="3,7-8,12", command=("echo", "ran"))
    said = run(given, place=place, cut="0-3,8")
    unwanted = place in (0, 2)
    assert (said[0], said[1] == "V 0 - 0 1", said[2]) == (0, unwanted, "" if unwanted else "ran\n")


def test_a_wish_that_was_there_before(run):
    assert run(order(command=("echo", "ran")), stop=True) == (0, "V 0 - 0 1", "")


def test_a_time_limit(run):
    slow = order(command=("sleep", "60"), timeout_ms=100, grace_ms=100)
    assert words(run(slow)[1]) == "E 143 timeout T 0"


def test_places_of_an_index_set(run):
    given = order(
        tasks="3,7-8,400", tries=((8, 5),), script="echo $FENGLIN_TASK_INDEX $FENGLIN_ATTEMPT"
    )
    seen = [run(given, place=place)[2] for place in range(4)]
    assert seen == ["3 1\n", "7 1\n", "8 5\n", "400 1\n"]


@pytest.mark.parametrize("text", ["it's", "$(touch x) `y` $HOME", "a\n b\t", "*", "", "峰林", "-n"])
def test_values_arrive_as_they_are(run, text):
    given = order(command=("printf", "%s|%s", text, "x"), env=(("V", text),))
    assert run(given)[2] == f"{text}|x"
    given = order(command=("sh", "-c", 'printf %s "$V"'), env=(("V", text),))
    assert run(given)[2] == text


def test_variables_of_a_job_reach_no_shell_of_ours(run):
    env = (("PATH", "/nowhere"), ("IFS", "/"), ("FENGLIN_TASK_INDEX", "99"), ("UID", "5"))
    given = order(command=("/usr/bin/env",), env=env)
    code, said, output = run(given)
    assert (code, words(said)) == (0, "E 0 - T 0")
    lines = output.splitlines()
    assert {"PATH=/nowhere", "IFS=/", "FENGLIN_TASK_INDEX=0"} <= set(lines)


@pytest.mark.parametrize("fields", [{"command": ("a\0b",)}, {"env": (("A B", "x"),)}])
def test_what_no_system_can_run(fields):
    with pytest.raises(DriverError):
        script.start_file(order(**fields), "w")


def test_inputs_are_put_in_their_places(run, tmp_path):
    folder = tmp_path / "scene"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "it's").write_bytes(b"\xff\0x")
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\necho ran\n")
    given = (StagedInput("bin/tool", str(tool), executable=True), StagedInput("s", str(folder)))
    inputs.check(given)
    brought = inputs.by_secret(given, 1_000)
    task = order(script="bin/tool; od -An -tx1 s/deep/it*", inputs=given)
    assert run(task, lines=brought.lines, files=brought.files)[2] == "ran\n ff 00 78\n"


@pytest.mark.parametrize("way", ["by secret", "by claim"])
def test_links_in_a_folder_are_left_out(run, tmp_path, way):
    folder, room = tmp_path / "scene", tmp_path / "room"
    (folder / "empty").mkdir(parents=True)
    room.mkdir()
    (tmp_path / "hubs").write_text("of the hub")
    (folder / "mine").write_text("mine\n")
    (folder / "link").symlink_to(tmp_path / "hubs")
    (folder / "up").symlink_to(tmp_path)
    given = (StagedInput("s", str(folder)),)
    if way == "by secret":
        brought = inputs.by_secret(given, 1_000)
        assert list(brought.files.values()) == [b"mine\n"]
        task = order(script="cat s/mine; ls s", inputs=given)
        assert run(task, lines=brought.lines, files=brought.files)[2] == "mine\nempty\nmine\n"
        return
    inputs.by_claim(given, room)
    assert sorted(path.name for path in room.rglob("*")) == ["0", "empty", "mine"]
    assert (room / "0" / "mine").read_text() == "mine\n"


def test_inputs_by_claim_are_copied_once_and_whole(tmp_path):
    room, tool, folder = tmp_path / "room", tmp_path / "tool", tmp_path / "folder"
    room.mkdir()
    folder.mkdir()
    tool.write_text("#!/bin/sh\n")
    (folder / "run").write_text("#!/bin/sh\n")
    (folder / "run").chmod(0o755)
    (room / ".1").mkdir()
    (room / ".1" / "half").write_text("of an earlier try")
    given = (StagedInput("bin/tool", str(tool), executable=True), StagedInput("s", str(folder)))
    for _ in range(2):
        inputs.by_claim(given, room)
        assert sorted(path.name for path in room.iterdir()) == ["0", "1"]
        tool.write_text("changed")
    assert (room / "0").read_text() == "#!/bin/sh\n"
    assert [path.name for path in (room / "1").iterdir()] == ["run"]
    assert os.access(room / "1" / "run", os.X_OK)


def test_inputs_that_are_too_large(tmp_path):
    (tmp_path / "x").write_bytes(b"x" * 11)
    with pytest.raises(inputs.TooLargeError):
        inputs.by_secret((StagedInput("x", str(tmp_path / "x")),), 10)


@pytest.mark.parametrize("target", ["../x", "/x", "", "a/../../x", "..", "a\0b"])
def test_inputs_never_leave_the_folder(tmp_path, target):
    with pytest.raises(inputs.StagingError):
        inputs.check((StagedInput(target, str(tmp_path)),))
