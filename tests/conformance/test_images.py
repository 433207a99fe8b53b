"""Sites of three kinds run the same tasks in the same image, each where its tasks are."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from tests.conformance.test_local import LocalHarness
from tests.conformance.test_slurm import SlurmHarness
from tests.conformance.test_ssh import SshHarness

from fenglin.drivers.local import driver
from fenglin.model.reason import Reason
from fenglin.testing.conformance.site import SiteHand
from fenglin.testing.servers.podman import IMAGE, PodmanStore
from fenglin.testing.servers.slurm import SlurmCluster, find_slurm
from fenglin.testing.servers.sshd import SshHosts, find_sshd

ENV = (("PATH", "/bin"), ("WORD", "two words"))


@pytest.fixture(scope="module")
def store():
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


@pytest.fixture(scope="module", params=["local", "ssh", "slurm"])
def kind(request):
    """Return what makes a harness of a kind of site; its servers run for the module."""
    if request.param == "local":
        yield lambda folder: LocalHarness(driver, folder)
        return
    why = find_sshd() if request.param == "ssh" else find_slurm()
    if why:
        pytest.skip(why)
    folder = Path(tempfile.mkdtemp(prefix="fl-img-"))
    server = SshHosts(2, clean=False) if request.param == "ssh" else SlurmCluster(folder / "s", "s")
    made = SshHarness if request.param == "ssh" else SlurmHarness
    try:
        with server as running:
            yield lambda own: made(running, own)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def site(kind, store, tmp_path):
    harness = kind(tmp_path / "site")
    harness.settings |= {"containers": "podman", "container_options": list(store.options)}
    hand = SiteHand(harness)
    yield hand
    hand.close()
    assert not store.containers(), "containers are left"


def test_it_runs_inside_with_what_a_task_has(site):
    setup = 'echo made > "$FENGLIN_SETUP_DIR/x"'
    script = """
        cat "$FENGLIN_SETUP_DIR/x"; echo $WORD $FENGLIN_TASK_INDEX; ls /
        echo kept > "$FENGLIN_ARTIFACTS_DIR/own"
    """
    order = site.array(2, script=script, setup=setup, image=IMAGE, env=ENV)
    ends, _ = site.run(order)
    assert [(end.exit_code, end.reason) for end in ends] == [(0, None)] * 2
    lines = site.text(order.key, 1).splitlines()
    assert lines[:2] == ["made", "two words 1"]
    assert "bin" in lines
    assert "etc" not in lines or "usr" not in lines
    assert (Path(order.artifacts_dir) / "1" / "own").read_text() == "kept\n"


def test_how_it_ends_is_told_as_outside(site):
    ends, _ = site.run(site.order(command=("sh", "-c", "exit 7"), image=IMAGE, env=ENV))
    assert [(end.exit_code, end.reason) for end in ends] == [(7, Reason.EXIT_CODE)]
    ends, _ = site.run(site.order(command=("no-such-program",), image=IMAGE))
    assert [end.reason for end in ends] == [Reason.COMMAND_NOT_FOUND]


def test_a_stop_ends_it(site):
    script = 'echo > "$FENGLIN_ARTIFACTS_DIR/on"; trap "" TERM; while :; do sleep 1; done'
    key = site.start(site.order(script=script, image=IMAGE, env=ENV))
    site.wait(lambda: site.look(key).started, "the start")
    site.stop(key, grace_ms=300)
    ends, _ = site.finish(key)
    assert {end.reason for end in ends} == {Reason.CANCELLED}
