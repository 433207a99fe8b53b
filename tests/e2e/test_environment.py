"""What a job brings along, through a real hub: a folder, a setup, an image that nobody can run."""

import pytest

from fenglin.testing import LocalSite, hub_file

pytestmark = pytest.mark.xdist_group("e2e-environment")

SMALL = {"resources": {"cpu": 0.1, "memory": "16MiB"}}


@pytest.fixture(scope="module")
def config():
    return hub_file([LocalSite("only", cpu=2)]) + '\n[site.only.settings]\ncontainers = "none"\n'


def blobs(hub):
    return {path.name for path in (hub.data / "blobs").glob("??/*")}


def test_a_folder_goes_along_and_only_what_changed_is_sent_again(hub, fenglin, job_file, tmp_path):
    work = tmp_path / "work"
    (work / "lib").mkdir(parents=True)
    (work / ".gitignore").write_text("*.log\n")
    (work / "noise.log").write_text("noise")
    (work / "run").write_text("#!/bin/sh\ncat lib/say\nls\n")
    (work / "run").chmod(0o755)
    (work / "lib" / "say").write_text("first\n")
    path = job_file({"name": "folder", "command": ["./run"], **SMALL})

    def submit():
        before = blobs(hub)
        done = fenglin("submit", path, "--workdir", work, "--wait", "-o", "json")
        assert done.code == 0, done.err
        return fenglin("job", "logs", done.json["id"]).out, len(blobs(hub) - before)

    assert submit() == ("first\nartifacts\nlib\nrun\n", 3)
    (work / "lib" / "say").write_text("second\n")
    assert submit() == ("second\nartifacts\nlib\nrun\n", 1)
    assert submit() == ("second\nartifacts\nlib\nrun\n", 0)


def test_a_setup_is_made_once_for_all_jobs(fenglin, job_file, tmp_path):
    made = tmp_path / "made"
    job = {
        "name": "setup", "tasks": 4, **SMALL,
        "setup": f'echo x >> {made}; echo there > "$FENGLIN_SETUP_DIR/x"',
        "script": 'cat "$FENGLIN_SETUP_DIR/x"',
    }  # fmt: skip
    for _ in range(2):
        done = fenglin("submit", job_file(job), "--wait", "-o", "json")
        assert done.code == 0, done.err
        assert fenglin("job", "logs", done.json["id"], "--task", "3").out == "there\n"
    assert made.read_text() == "x\n"


def test_a_setup_that_fails_fails_the_job_at_once(fenglin, job_file):
    job = {"name": "bad", "setup": "echo broken; exit 4", "command": ["true"], "retries": 5}
    done = fenglin("submit", job_file({**job, **SMALL}), "--wait", "-o", "json")
    assert done.code == 1
    shown = fenglin("job", "show", done.json["id"], "-o", "json").json
    assert (shown["state"], shown["reason"]) == ("failed", "setup_failed")
    assert len(shown["allocations"]) == 1
    assert (
        "broken\nfenglin: setup ended with exit code 4"
        in fenglin("job", "logs", done.json["id"]).out
    )


def test_an_image_that_no_site_can_run_is_refused_before_it_is_stored(fenglin, job_file):
    path = job_file({"name": "boxed", "image": "debian:12", "command": ["true"], **SMALL})
    done = fenglin("submit", path)
    assert done.code == 2
    assert "only/std: the site cannot run container images" in done.err
    assert fenglin("submit", path, "--image", "none", "--wait").code == 0
