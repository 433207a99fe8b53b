"""Logging in for real: a hub, an OpenID provider, the command, and a browser played by hand."""

import json
import os
import re
import stat
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from fenglin.testing import HubProcess, LocalSite, hub_file
from fenglin.testing.servers.machines import free_port

pytestmark = pytest.mark.xdist_group("e2e-login")

FENGLIN = Path(sys.executable).with_name("fenglin")
PEOPLE = (
    {"sub": "ann", "preferred_username": "ann", "groups": ["lab"], "email": "ann@lab"},
    {"sub": "eve", "preferred_username": "eve", "groups": ["street"]},
)
LOGIN = """
[login]
issuer = "{issuer}"
client_secret = "shown"
session = "1h"

[[login.role]]
claim = "groups"
value = "lab"
role = "member"
account = "default"
"""


@pytest.fixture(scope="module")
def provider(tmp_path_factory):
    """Return the address of a real OpenID provider that knows some people."""
    port = free_port()
    url = f"http://localhost:{port}"
    people = [word for one in PEOPLE for word in ("--user-claims", json.dumps(one))]
    log = tmp_path_factory.mktemp("provider") / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock",
             "--port", str(port), "--require-nonce", *people],
            stdout=out, stderr=out,
        )  # fmt: skip

    ends_s = time.monotonic() + 60

    def answers():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < ends_s, log.read_text()
        try:
            with httpx.stream("GET", f"{url}/.well-known/openid-configuration"):
                return True
        except httpx.TransportError:
            return False

    try:
        while not answers():
            time.sleep(0.1)
        yield url
    finally:
        end(process)


def end(process):
    """End a process that may have ended."""
    process.kill()
    process.wait(20)
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


@pytest.fixture(scope="module")
def hub(tmp_path_factory, provider):
    config = hub_file([LocalSite("only")]) + LOGIN.format(issuer=provider)
    with HubProcess(tmp_path_factory.mktemp("hub"), config) as process:
        process.start()
        yield process


def consent(address, who):
    """Do what a person does in a browser; return where the provider sends it back to."""
    answer = httpx.post(address, data={"sub": who}, timeout=20)
    assert answer.status_code in (302, 303), answer.text
    return answer.headers["Location"]


@pytest.fixture
def login(hub, tmp_path):
    """Return a function: log in as somebody; `change` alters where the browser goes back to."""

    def run(who, change=lambda back: back):
        env = {
            **{k: v for k, v in os.environ.items() if not k.startswith("FENGLIN_")},
            "HOME": str(tmp_path), "FENGLIN_HUB": hub.url,
        }  # fmt: skip
        process = subprocess.Popen(
            [FENGLIN, "login", "--no-browser", "--patience", "60s"],
            env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            line = process.stderr.readline()
            address = re.search(r"http://\S+", line)
            assert address, line + process.stderr.read()
            back = change(consent(address[0], who))
            assert "close this page" in httpx.get(back, timeout=20).text
            out, err = process.communicate(timeout=60)
        finally:
            end(process)
        return process.returncode, out, err, address[0]

    run.home = tmp_path
    return run


def fenglin(home, *words):
    env = {k: v for k, v in os.environ.items() if not k.startswith("FENGLIN_")}
    return subprocess.run(
        [FENGLIN, *words], env={**env, "HOME": str(home)}, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip


def test_a_person_logs_in_and_works(login, hub):
    code, out, err, address = login("ann")
    assert (code, "you are ann (member)" in out) == (0, True), err
    asked = parse_qs(urlsplit(address).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["nonce"]
    assert asked["state"]
    folder = login.home / ".config" / "fenglin"
    kept = folder / "login.token"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert kept.read_text().strip() not in out + err
    own = fenglin(login.home, "token", "own", "-o", "json")
    assert own.returncode == 0, own.stderr
    told = json.loads(own.stdout)
    assert (told["role"], told["account"], told["maker"]) == ("member", "default", "login:ann")
    assert told["expires_ms"] - told["created_ms"] == 3_600_000
    assert fenglin(login.home, "job", "list").returncode == 0
    assert fenglin(login.home, "token", "list").returncode == 4
    assert hub.client().jobs is not None


def test_somebody_whom_no_rule_admits(login):
    code, out, err, _ = login("eve")
    assert (code, out) == (4, "")
    assert "nothing here is open to you" in err
    assert not (login.home / ".config" / "fenglin" / "login.token").exists()


def test_the_answer_to_another_login_is_refused(login):
    """A browser that was sent here by somebody else carries another state."""

    def change(back):
        return re.sub(r"state=[^&]+", "state=stolen", back)

    code, _, err, _ = login("ann", change)
    assert code == 4
    assert "another login" in err


def test_a_code_that_was_made_up(login):
    def change(back):
        return re.sub(r"code=[^&]+", "code=made-up", back)

    code, _, err, _ = login("ann", change)
    assert code in (4, 6)
    assert "the provider" in err


def test_a_hub_without_a_provider_says_so(tmp_path):
    with HubProcess(tmp_path / "hub", hub_file([LocalSite("only")])) as process:
        process.start()
        env = {**os.environ, "FENGLIN_HUB": process.url}
        done = subprocess.run(
            [FENGLIN, "login", "--no-browser"], env=env, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 3
    assert "no OpenID provider" in done.stderr
