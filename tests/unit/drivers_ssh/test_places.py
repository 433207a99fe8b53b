"""What hosts tell of container runtimes, and how much of what was brought they keep."""

from __future__ import annotations

import os
import time

import pytest

from fenglin.drivers.ssh.inventory import NodeFacts, run_images
from fenglin.runner.host import agent, machine


@pytest.mark.parametrize(
    ("hosts", "wanted", "can"),
    [
        ((("podman",), ("apptainer",)), "auto", True),
        ((("podman",), ()), "auto", False),
        ((("podman",), ("apptainer",)), "podman", False),
        ((("apptainer", "podman"), ("podman",)), "podman", True),
        ((("podman",),), "none", False),
    ],
)
def test_a_site_runs_images_when_all_of_its_hosts_do(hosts, wanted, can):
    facts = [NodeFacts(f"n{at}", "h", containers=has) for at, has in enumerate(hosts)]
    assert run_images(facts, wanted) is can


def test_a_host_that_is_out_is_not_asked():
    facts = [NodeFacts("a", "h", containers=("podman",)), NodeFacts("b", "h", problem="no answer")]
    assert run_images(facts, "auto")


def test_a_machine_tells_its_runtimes(monkeypatch, tmp_path):
    (tmp_path / "singularity").touch(mode=0o755)
    (tmp_path / "podman").touch(mode=0o644)  # not to be run
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine.facts(str(tmp_path))["containers"] == ["singularity"]


@pytest.fixture
def cache(tmp_path):
    """Ten files of 100 bytes, the first used 20 hours ago, the last 11; the fifth is in use."""
    blobs = tmp_path / "blobs"
    blobs.mkdir()
    for number in range(10):
        path = blobs / f"{number:064x}"
        path.write_bytes(b"x" * 100)
        used_s = time.time() - (20 - number) * 3_600
        os.utime(path, (used_s, used_s))
    os.link(blobs / f"{4:064x}", tmp_path / "held")
    return blobs


def left(cache):
    return sorted(int(path.name, 16) for path in cache.iterdir())


def test_the_oldest_go_when_there_is_too_much(cache):
    assert agent._sweep(str(cache), 10**6, 450) == 400
    assert left(cache) == [4, 7, 8, 9]


def test_what_was_asked_for_just_now_stays(cache):
    for path in cache.iterdir():
        os.utime(path)
    assert agent._sweep(str(cache), 10**6, 450) == 1_000


def test_without_a_limit_only_age_counts(cache):
    assert agent._sweep(str(cache), 15.5 * 3_600) == 600
    assert left(cache) == [4, 5, 6, 7, 8, 9]
