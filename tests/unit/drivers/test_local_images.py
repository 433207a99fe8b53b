"""Tasks in container images, in a real podman; what apptainer is told, by its command line."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from fenglin.errors import InputError
from fenglin.model.reason import Reason
from fenglin.ports.driver import Capability, StagedInput
from fenglin.runner.host import container, proc
from fenglin.testing.servers.podman import IMAGE, PodmanStore


@pytest.fixture(scope="session")
def store():
    """A podman whose store holds `IMAGE`."""
    # A short path: podman allows its folder of state 50 characters.
    folder = Path(tempfile.mkdtemp(prefix="fl-podman-"))
    made = PodmanStore(folder)
    try:
        why = made.make()
        if why:
            pytest.skip(why)
        yield made
        made.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def boxed(site, store):
    """The site, with containers."""
    site.hub(containers="podman", container_options=store.options)
    yield site
    assert not store.containers(), "containers are left"


@pytest.mark.slow
def test_a_task_runs_in_its_image_with_folder_variables_and_artifacts(boxed, tmp_path):
    (tmp_path / "in.txt").write_text("input\n")
    script = """
        cat in.txt; echo $GREETING; echo "$LINES_" ; id -u; echo out > out.txt
        [ -e /work ] || echo alone; echo $FENGLIN_TASK_INDEX
        echo kept > "$FENGLIN_ARTIFACTS_DIR/own"
    """
    order = boxed.order(
        script=script, image=IMAGE, artifacts=("out.txt",), artifacts_dir=str(tmp_path / "kept"),
        env=(("GREETING", "hello world"), ("LINES_", "a\nb"), ("PATH", "/bin")),
        inputs=(StagedInput("in.txt", str(tmp_path / "in.txt")),),
    )  # fmt: skip
    ends, _ = boxed.run(order)
    assert boxed.text() == "input\nhello world\na\nb\n0\nalone\n0\n"
    assert [(end.exit_code, end.reason) for end in ends] == [(0, None)]
    assert (tmp_path / "kept" / "0" / "out.txt").read_text() == "out\n"
    assert (tmp_path / "kept" / "0" / "own").read_text() == "kept\n"
    assert (tmp_path / "kept" / "0" / "out.txt").stat().st_uid == os.geteuid()


def test_secrets_stand_on_no_command_line(boxed):
    boxed.start(boxed.order("sleep", "60", image=IMAGE, env=(("TOKEN", "hunter2"),)))
    boxed.wait(lambda: list(boxed.attempt().glob("c0.0.pid")), "the container")
    told = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if _readable(path)]
    assert any(b"sleep" in one for one in told)
    assert not any(b"hunter2" in one for one in told)
    assert (boxed.attempt() / "c0.0.env").stat().st_mode & 0o777 == 0o600
    boxed.stop(grace_ms=0)
    boxed.finish()
    assert not list(boxed.attempt().glob("c0.0.*"))


def test_an_exit_code_is_the_payloads(boxed):
    ends, _ = boxed.run(
        boxed.order("sh", "-c", "echo no; exit 7", image=IMAGE, env=(("PATH", "/bin"),))
    )
    assert [(end.exit_code, end.reason) for end in ends] == [(7, Reason.EXIT_CODE)]
    ends, _ = boxed.run(
        boxed.order("sh", "-c", "exit 125", image=IMAGE, key="h1-a2-1", env=(("PATH", "/bin"),))
    )
    assert [(end.exit_code, end.reason) for end in ends] == [(125, Reason.EXIT_CODE)]


def test_a_command_that_the_image_lacks(boxed):
    ends, _ = boxed.run(boxed.order("no-such-program", image=IMAGE))
    assert [end.reason for end in ends] == [Reason.COMMAND_NOT_FOUND]
    assert "no-such-program" in boxed.text()


@pytest.mark.slow
def test_an_image_that_is_nowhere(boxed):
    order = boxed.order("true", image="localhost/nowhere:1", tasks="0-2", task_count=3)
    ends, _ = boxed.run(order)
    assert {end.reason for end in ends} == {Reason.IMAGE_FAILED}
    assert len(ends) == 3
    assert "the image localhost/nowhere:1 cannot be pulled" in boxed.text(2)


def test_a_stop_reaches_what_runs_inside_and_nothing_stays(boxed):
    """Polite first: the trap runs; a child that has left its group ends as well."""
    script = """
        trap 'echo saved; exit 3' TERM
        sleep 61 & sleep 62 &
        echo ready > "$FENGLIN_ARTIFACTS_DIR/ready"
        wait
    """
    order = boxed.order(script=script, image=IMAGE, env=(("PATH", "/bin"), ("WHO", "stopme")))
    boxed.start(order)
    boxed.wait(lambda: list(boxed.attempt().glob("w0/artifacts/ready")), "its begin")
    boxed.stop(grace_ms=5_000)
    ends, _ = boxed.finish()
    assert [end.reason for end in ends] == [Reason.CANCELLED]
    assert boxed.text() == "saved\n"
    boxed.wait(lambda: not _carrying(b"WHO=stopme"), "the end of all of it")


def test_what_heeds_no_signal_is_killed_after_the_grace(boxed):
    script = "trap '' TERM; echo > $FENGLIN_ARTIFACTS_DIR/on; while :; do sleep 1; done"
    order = boxed.order(script=script, image=IMAGE, env=(("PATH", "/bin"), ("WHO", "deaf")))
    boxed.start(order)
    boxed.wait(lambda: list(boxed.attempt().glob("w0/artifacts/on")), "its begin")
    boxed.stop(grace_ms=200)
    ends, _ = boxed.finish()
    assert [end.reason for end in ends] == [Reason.CANCELLED]
    boxed.wait(lambda: not _carrying(b"WHO=deaf"), "the end of all of it")


@pytest.mark.slow
def test_a_timeout_ends_a_container(boxed):
    ends, _ = boxed.run(
        boxed.order("sleep", "60", image=IMAGE, timeout_ms=1_500, env=(("WHO", "late"),))
    )
    assert [end.reason for end in ends] == [Reason.TIMEOUT]
    assert not _carrying(b"WHO=late")


def test_a_dead_runners_container_is_found_and_ended(boxed, store):
    boxed.start(boxed.order("sleep", "60", image=IMAGE, env=(("WHO", "orphan"),)))
    boxed.wait(lambda: _carrying(b"WHO=orphan"), "the container")
    boxed.kill_runner()
    _, last = boxed.finish()
    assert last.reason is Reason.RUNNER_LOST
    assert not _carrying(b"WHO=orphan")
    # Its keeper tidies up by itself, a moment later.
    boxed.wait(lambda: not store.containers(), "the container's own end")


@pytest.mark.slow
def test_setup_runs_in_the_image_too(boxed):
    setup = 'id -u > "$FENGLIN_SETUP_DIR/who"; ls / > "$FENGLIN_SETUP_DIR/root"'
    script = 'cat "$FENGLIN_SETUP_DIR/who"; touch "$FENGLIN_SETUP_DIR/x" 2>/dev/null || echo ro'
    order = boxed.order(script=script, setup=setup, image=IMAGE, env=(("PATH", "/bin"),))
    boxed.run(order)
    assert boxed.text() == "0\nro\n"
    (seen,) = (boxed.directory / "envs").glob("*/dir/root")
    assert "srv" not in seen.read_text().split()


def test_a_container_is_metered_and_held_to_its_memory(boxed):
    # Filling the memory takes less than the 10 ms in which the kernel counts processor time.
    counts = "i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done"
    script = f"{counts}; x=0123456789abcdef; while :; do x=$x$x; done"
    fields = {"image": IMAGE, "env": (("PATH", "/bin"),)}
    order = boxed.order(script=script, **fields)
    ends, _ = boxed.run(
        type(order)(**{**_fields(order), "resources": type(order.resources)(500, 2**25)})
    )
    assert [end.reason for end in ends] == [Reason.MEMORY_EXCEEDED]
    assert ends[0].peak_memory_bytes > 2**25
    assert ends[0].cpu_ms > 0


def _fields(order):
    return {name: getattr(order, name) for name in order.__struct_fields__}


def _readable(path: Path) -> bool:
    return path.exists() and os.access(path, os.R_OK)


def _carrying(pair: bytes) -> list[str]:
    """Return processes that were started with a variable."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if pair in path.read_bytes().split(b"\0"):
                found.append(path.parent.name)
        except OSError:
            continue
    return found


# --- without a runtime --------------------------------------------------------------------------


def test_a_site_declares_images_only_where_a_runtime_is(site, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Capability.IMAGES not in site.hub().capabilities
    (tmp_path / "apptainer").touch(mode=0o755)
    assert Capability.IMAGES in site.hub().capabilities
    assert Capability.IMAGES in site.hub(containers="apptainer").capabilities
    assert Capability.IMAGES not in site.hub(containers="podman").capabilities
    assert Capability.IMAGES not in site.hub(containers="none").capabilities


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"containers": "docker"}, "containers cannot be 'docker'"),
        ({"containers": 1}, "containers cannot be '1'"),
        ({"container_options": "--privileged"}, "not a list of options"),
        ({"container_options": ["-v", "/:/x"]}, "not a list of options"),
        ({"container_options": ["--net=host\n"]}, "not a list of options"),
        ({"container_options": ["--"]}, "not a list of options"),
    ],
)
def test_settings_are_checked(site, settings, what):
    with pytest.raises(InputError, match=what):
        site.hub(**settings)


def test_what_apptainer_is_told(tmp_path):
    """Recorded, not run: Debian has no apptainer."""
    told = container.Container("/usr/bin/apptainer", "/images/a.sif", ["--fakeroot"], "h1-a1-1")
    variables = {"A": "b\nc", "PATH": "/bin", proc.MARK_VARIABLE: "k:1:2"}
    words, env = told.command(
        ["run", "--x"],
        variables,
        "/w",
        ["/w", "/in:ro"],
        str(tmp_path / "c"),
        "CUDA_VISIBLE_DEVICES",
    )
    assert words == [
        "/usr/bin/apptainer", "exec", "--cleanenv", "--no-home", "--writable-tmpfs", "--nv",
        "--bind=/w:/w", "--bind=/in:/in:ro", "--pwd=/w", "--fakeroot", "/images/a.sif",
        "run", "--x",
    ]  # fmt: skip
    assert env["APPTAINERENV_A"] == "b\nc"
    assert env["APPTAINERENV_PATH"] == "/bin"
    assert env["PATH"] == os.environ["PATH"]
    assert env[proc.MARK_VARIABLE] == "k:1:2"


def test_options_of_a_site_replace_ours(tmp_path):
    site = ["--network=none", "--userns=keep-id", "--device=/dev/davinci0", "--root=/s"]
    told = container.Container("/usr/bin/podman", "i", site, "k")
    words, _ = told.command(
        ["x"], {proc.MARK_VARIABLE: ""}, "/w", ["/w"], str(tmp_path / "c"), "CUDA_VISIBLE_DEVICES"
    )
    assert [word for word in words if word.startswith(("--net", "--user", "--device"))] == site[:3]
    assert words[-3:] == ["--", "i", "x"]
    assert container.global_options(site) == ["--root=/s"]


@pytest.mark.parametrize(
    ("image", "full"),
    [
        ("debian", "docker.io/library/debian"),
        ("debian:12", "docker.io/library/debian:12"),
        ("org/tool@sha256:0", "docker.io/org/tool@sha256:0"),
        ("localhost/x:1", "localhost/x:1"),
        ("registry.example:5000/a/b", "registry.example:5000/a/b"),
        ("nvcr.io/nvidia/pytorch:24.01-py3", "nvcr.io/nvidia/pytorch:24.01-py3"),
        ("docker://debian", "docker://debian"),
        ("/images/a.sif", "/images/a.sif"),
    ],
)
def test_short_names_are_those_of_docker(image, full):
    assert container.docker_name(image) == full


def test_a_path_with_a_colon_cannot_be_mounted(tmp_path):
    told = container.Container("/usr/bin/podman", "i", [], "k")
    with pytest.raises(ValueError, match="holds a colon"):
        told.command(["x"], {proc.MARK_VARIABLE: ""}, "/w", ["/a:b:ro"], str(tmp_path / "c"), "")
