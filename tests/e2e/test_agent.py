"""A site that dials in: a hub's process, an agent's process, and a line that breaks."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from urllib.parse import urlsplit

import pytest

from fenglin.client.requests import Filter
from fenglin.client.tokens import make_token
from fenglin.engine.tokens import digest_of, new_token
from fenglin.model.role import Role
from fenglin.testing import HubProcess, LocalSite, hub_file, processes
from fenglin.testing.servers.line import Line
from fenglin.wire.token_views import TokenAsk

# One hub and one agent serve the whole module.
pytestmark = pytest.mark.xdist_group("e2e-agent")

PATIENCE_S = 60
FENGLIN = [sys.executable, "-c", "from fenglin.cli import main; raise SystemExit(main())"]
CONFIG = hub_file([LocalSite("far", cpu=4)]).replace('driver = "local"', 'driver = "agent"')
SMALL = {"resources": {"cpu": 0.1, "memory": "16MiB"}}


class Site:
    """A hub, an agent, and the line from the agent to the hub."""

    def __init__(self, folder):
        self.hub = HubProcess(folder / "hub", CONFIG).start()
        self.folder = folder / "agent"
        self.folder.mkdir()
        (self.folder / "agent.toml").write_text('driver = "local"\ndata = "data"\n')
        self.token = self.make_token("agent", Role.AGENT, "far")
        self.line = Line("127.0.0.1", urlsplit(self.hub.url).port)
        self.process = None

    def make_token(self, name, role, party):
        text = new_token()
        ask = TokenAsk(name=name, role=role, party=party, digest=digest_of(text).hex())
        self.hub.client().call(make_token(ask))
        return text

    def command(self, *words, token=None):
        env = {name: text for name, text in os.environ.items() if not name.startswith("FENGLIN_")}
        env |= {"FENGLIN_TOKEN": token or self.token, "HOME": str(self.folder)}
        words = words or ("--config", str(self.folder / "agent.toml"))
        command = [*FENGLIN, "agent", "--hub", f"http://127.0.0.1:{self.line.port}", *words]
        return {"args": command, "env": env, "cwd": self.folder}

    def start_agent(self):
        with (self.folder / "agent.log").open("ab") as log:
            self.process = subprocess.Popen(
                **self.command("--site", "far", "--config", str(self.folder / "agent.toml")),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill_agent(self, number=signal.SIGKILL):
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)

    def restart_hub(self):
        self.hub.kill()
        self.hub.start()
        self.line._server = ("127.0.0.1", urlsplit(self.hub.url).port)

    def close(self):
        self.line.__exit__(None, None, None)
        if self.process is not None and self.process.poll() is None:
            self.kill_agent()
        processes.kill(self.folder)
        self.hub.cleanup()


@pytest.fixture(scope="module")
def far(tmp_path_factory):
    """Return the site, its agent running and seen."""
    site = Site(tmp_path_factory.mktemp("far"))
    try:
        site.line.__enter__()
        site.start_agent()
        yield site
    finally:
        sys.stderr.write(site.hub.log() + "\n--- agent\n")
        sys.stderr.write((site.folder / "agent.log").read_text()[-6_000:])
        site.close()


def done(far, job, tasks):
    """Return a job's view once it has succeeded with all tasks."""
    view = far.hub.client().wait(job, PATIENCE_S)
    assert (view.state, view.tasks.succeeded) == ("succeeded", tasks)
    return view


def billed_once(far, truth, job, tasks):
    """Check that each task ran once, and that the bill is what the site's records say."""
    runs = truth.runs(job)
    assert sorted(run.task for run in runs) == list(range(tasks))
    assert {run.number for run in runs} == {1}
    assert truth.doubles() == []
    view = far.hub.client().job(job)
    assert view.held_micro == 0
    assert view.cost_micro > 0
    with far.hub.client().ledger_export("jsonl") as pieces:
        entries = [json.loads(line) for line in b"".join(pieces).splitlines()]
    posts = [one for one in entries if (one["kind"], f"j{one['job']}") == ("post", job)]
    assert len({one["attempt"] for one in posts}) == len(posts)
    legs = [leg for one in posts for leg in one["legs"] if leg[0] == "provider:provider-far:due"]
    assert sum(micro for _, _, micro in legs) == view.cost_micro
    # 100 micro-yuan are a core's second; each task is charged for one at least, and for no other.
    cores = view.spec["resources"]["cpu"]
    ran_s = [max(1.0, run.ended_s - run.began_s) for run in runs]
    assert sum(ran_s) * 0.95 <= view.cost_micro / 100 / float(cores) < 2 * sum(ran_s) + 1
    check = far.hub.client().ledger_verify()
    assert check.ok


def test_inputs_logs_and_artifacts_go_both_ways(far, eventually):
    client = far.hub.client()
    eventually(lambda: client.sites(Filter()).items[0].seen_ms, PATIENCE_S)
    sha = hashlib.sha256(b"from the hub\n").hexdigest()
    client.put_blob(sha, b"from the hub\n")
    job = client.submit(
        {
            "name": "both",
            "tasks": 2,
            "script": 'cat in.txt; mkdir -p "out d"; cat in.txt > "out d/ü $FENGLIN_TASK_INDEX"',
            "files": [{"target": "in.txt", "sha256": sha, "size": 13}],
            "artifacts": ["out d/*"],
            **SMALL,
        }
    ).id

    done(far, job, 2)

    assert b"".join(client.log(job, 1)) == b"from the hub\n"
    with client.artifact(job, "1/out d/ü 1") as pieces:
        assert b"".join(pieces) == b"from the hub\n"
    assert len(client.artifacts(job)) == 2
    assert not list((far.folder / "data" / "artifacts").glob("*/*"))


def test_an_agent_that_was_killed_adopts_what_runs(far, truth, running):
    job = far.hub.client().submit(truth.job("adopted", tasks=2, sleep_s=2)).id
    running(job, 2)

    assert far.kill_agent() == -signal.SIGKILL
    far.start_agent()

    done(far, job, 2)
    billed_once(far, truth, job, 2)


def test_a_hub_that_was_killed_finds_what_ended_meanwhile(far, truth, running):
    job = far.hub.client().submit(truth.job("survivor", tasks=2, sleep_s=1)).id
    running(job, 2)

    far.restart_hub()

    done(far, job, 2)
    billed_once(far, truth, job, 2)


@pytest.mark.parametrize("how", ["cut", "hang"])
def test_a_line_that_breaks_for_a_while_loses_nothing(far, truth, running, how):
    job = far.hub.client().submit(truth.job(how, tasks=3, sleep_s=1)).id
    running(job, 3)

    getattr(far.line, how)()
    while not all(run.ended_s for run in truth.runs(job)):
        time.sleep(0.05)
    assert far.hub.client().job(job).state == "running"
    far.line.mend()

    done(far, job, 3)
    billed_once(far, truth, job, 3)


def test_work_that_waits_for_a_cut_site_starts_when_it_is_back(far, truth):
    far.line.cut()
    job = far.hub.client().submit(truth.job("late")).id
    time.sleep(1)
    assert truth.runs(job) == []
    far.line.mend()

    done(far, job, 1)
    billed_once(far, truth, job, 1)


def test_a_stop_ends_the_agent_and_no_task(far, truth, running):
    job = far.hub.client().submit(truth.job("on", sleep_s=2)).id
    running(job)

    assert far.kill_agent(signal.SIGTERM) == 0
    far.start_agent()

    done(far, job, 1)
    billed_once(far, truth, job, 1)


@pytest.mark.parametrize(
    ("words", "role", "party", "code", "said"),
    [
        (("--site", "far"), Role.AGENT, "near", 3, "no site 'far' that dials in"),
        (("--site", "nowhere"), Role.AGENT, "nowhere", 3, "no site 'nowhere' that dials in"),
        (("--site", "far"), Role.AUDITOR, "", 4, "this needs the scope agent"),
    ],
)
def test_an_agent_that_may_not_ends_and_says_why(far, words, role, party, code, said):
    token = far.make_token(f"{role}-{party or 'none'}", role, party)
    told = subprocess.run(
        **far.command(*words, "--data", "other", token=token),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert told.returncode == code
    assert said in told.stderr
