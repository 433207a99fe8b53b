"""A key file that is away: jobs wait for it and say so, and start when it is back."""

import time

import pytest

from fenglin.bootstrap.doctor import examine
from fenglin.cli.app import run
from fenglin.client.requests import Filter
from fenglin.client.vault import list_secrets, remove_secret, set_secret
from fenglin.errors import ConflictError, InputError
from fenglin.testing.builders import LocalSite, hub_file
from fenglin.testing.hub import HubProcess

VALUE = "s3cr3t-of-the-lab"
JOB = {"name": "keyed", "secrets": {"TOKEN": "db"}, "script": f'test "$TOKEN" = {VALUE}'}
PLAIN = {"name": "plain", "command": ["true"]}
LONG_S = 60


@pytest.fixture
def hub(tmp_path):
    with HubProcess(tmp_path, hub_file([LocalSite("a")])) as made:
        yield made.start()


def until(wanted):
    ends_s = time.monotonic() + LONG_S
    while not wanted():
        assert time.monotonic() < ends_s, "it never came"
        time.sleep(0.02)


def test_jobs_wait_for_a_key_and_lose_nothing(hub, monkeypatch, capsys):
    client = hub.client()
    client.call(set_secret("db", VALUE))
    (secret,) = client.call(list_secrets("")).items
    away = hub.folder / "away"
    (hub.data / "secrets.key").rename(away)

    first, second = client.submit(JOB).id, client.submit(JOB).id
    until(lambda: all(client.job(one).reason == "secret_key_missing" for one in (first, second)))
    # The site is not blamed, and whoever needs no key goes on.
    assert client.wait(client.submit(PLAIN).id, LONG_S).state == "succeeded"

    view = client.job(first)
    assert view.state == "pending"
    assert secret.key in view.detail
    told = client.explain(first)
    assert (told.receipt.reason, told.receipt.waiting) == ("secret_key_missing", 1)
    assert secret.key in told.receipt.change
    assert str(hub.data) not in repr(told)
    listed = client.jobs(Filter((("state", "pending"),), detail=True)).items
    assert [one.reason for one in listed] == ["secret_key_missing"] * 2
    named = [one for one in examine(hub.config, hub.data, None) if secret.key in one.what]
    assert [(one.check, one.level) for one in named] == [("secrets' keys", "bad")]
    for name, value in (("FENGLIN_HUB", hub.url), ("FENGLIN_TOKEN", hub.token)):
        monkeypatch.setenv(name, value)
    assert run(["doctor"]) == 1
    assert f"secrets' key {secret.key}" in capsys.readouterr().out
    assert run(["job", "explain", first]) == 0
    assert "secret_key_missing" in capsys.readouterr().out

    away.rename(hub.data / "secrets.key")
    for one in (first, second):
        assert client.wait(one, LONG_S).state == "succeeded"
    assert not any(event.kind == "task_failed" for event in client.explain(first).story)
    run(["doctor"])
    assert secret.key not in capsys.readouterr().out


def test_who_missed_the_answer_learns_it_though_the_secret_is_gone(hub):
    client = hub.client()
    client.call(set_secret("db", VALUE))
    job = client.submit(JOB, key="k").id
    client.wait(job, LONG_S)
    client.call(remove_secret("db"))
    again = client.submit(JOB, key="k")
    assert (again.id, again.repeated) == (job, True)
    with pytest.raises(ConflictError, match="used for another request"):
        client.submit({**JOB, "name": "other"}, key="k")
    for key in ("another", ""):
        with pytest.raises(InputError, match="no secret 'db'"):
            client.submit(JOB, key=key)
