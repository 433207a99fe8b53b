"""Secrets of an attempt: in a file of their own, for its runner alone, until that has read it."""

import stat

import pytest

from fenglin.model.allocation import Share
from fenglin.model.secret import Secret
from fenglin.ports.driver import StartOrder
from fenglin.quantities.resources import Resources
from fenglin.runner.host import claim as claims
from fenglin.runner.host import proc
from fenglin.runner.host.attempts import Attempts
from fenglin.runner.host.container import Container
from fenglin.runner.host.order import ORDER, SECRETS, Order, decode, encode, read, split
from fenglin.runner.orders import order_lines, secret_lines

KEY = "hub-a1-1"
HARD = 'it\'s "hard" \\n\nsecret X=1\nend\n'
GIVEN = (("HARD", Secret(HARD)), ("TOKEN", Secret("s3cr3t-9f3a")))
PAIRS = [f"HARD={HARD}", "TOKEN=s3cr3t-9f3a"]


def an_order(**fields):
    plain = {
        "key": KEY, "epoch": 1, "hub": "hub", "job": "j1", "job_name": "x", "site": "s",
        "flavor": "f", "tasks": "0", "task_count": 1, "tries": (), "shares": (Share("n", 1),),
        "nodes": 1, "resources": Resources(cpu_milli=1, memory_bytes=1), "command": (),
        "script": "", "env": (), "workdir": "", "inputs": (), "artifacts": (),
        "artifacts_dir": "", "timeout_ms": 0,
    }  # fmt: skip
    return StartOrder(**{**plain, **fields})


def order_file(**fields):
    order = an_order(secrets=GIVEN, script="secret A=b\necho secret\n", **fields)
    return encode(order_lines(order, 2**20, 0))


@pytest.fixture
def attempts(tmp_path, monkeypatch):
    made = Attempts(tmp_path)
    monkeypatch.setattr(made, "_spawn", lambda _path: 10**9)
    monkeypatch.setattr(made, "unclaimed_pid", lambda _key: -1)
    return made


def test_an_order_comes_apart_and_together(tmp_path):
    plain, hidden = split(order_file())

    assert b"s3cr3t" not in plain
    assert b"quote" not in plain
    assert decode(plain)["secrets"] == ["2"]
    assert decode(hidden) == {"secret": PAIRS}
    (tmp_path / ORDER).write_bytes(plain)
    (tmp_path / SECRETS).write_bytes(hidden)
    values = read(str(tmp_path), last=False)
    assert Order(values).secrets == PAIRS
    assert Order(values).script == "secret A=b\necho secret\n"
    assert read(str(tmp_path), last=True) == values
    assert [one.name for one in tmp_path.iterdir()] == [ORDER]
    with pytest.raises(FileNotFoundError):
        read(str(tmp_path), last=True)


def test_an_order_without_secrets_is_as_ever():
    data = encode(order_lines(an_order(), 2**20, 0))

    assert split(data) == (data, b"")
    assert b"\nsecret" not in data


def test_secrets_can_join_an_order_that_is_written():
    plain = encode([("epoch", "1"), ("script", "x")])

    joined = plain.removesuffix(b"end\n") + encode(secret_lines(an_order(secrets=GIVEN)))

    assert decode(joined)["secret"] == PAIRS
    assert split(joined)[0] == encode([("epoch", "1"), ("script", "x"), ("secrets", "2")])


def test_lost_secrets_are_missed(tmp_path):
    plain, hidden = split(order_file())
    (tmp_path / ORDER).write_bytes(plain)
    (tmp_path / SECRETS).write_bytes(b"\n".join(hidden.split(b"\n")[1:]))

    with pytest.raises(ValueError, match="lacks some"):
        read(str(tmp_path), last=True)


def test_the_file_is_for_its_owner_and_beside_the_order(attempts):
    attempts.start(KEY, 1, order_file())
    folder = attempts.active / KEY

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / SECRETS).stat().st_mode) == 0o600
    assert b"s3cr3t" not in (folder / ORDER).read_bytes()
    assert read(str(folder), last=True)["secret"] == PAIRS


def test_a_start_that_is_repeated_brings_nothing_back(attempts):
    attempts.start(KEY, 1, order_file())
    folder = attempts.active / KEY
    claims.take(str(folder), claims.Claim(1, 1, "boot"))
    read(str(folder), last=True)

    attempts.start(KEY, 2, order_file())

    assert not (folder / SECRETS).exists()


def test_a_start_that_was_cut_off_is_made_whole(attempts):
    attempts.start(KEY, 1, order_file(), go=False)
    folder = attempts.active / KEY
    (folder / SECRETS).unlink()

    attempts.start(KEY, 2, order_file(), go=False)

    assert read(str(folder), last=False)["secret"] == PAIRS


def test_what_never_runs_keeps_none(attempts):
    attempts.start(KEY, 1, order_file(), go=False)
    attempts.stop(KEY, 0)

    assert not (attempts.active / KEY / SECRETS).exists()
    attempts.start(KEY, 1, order_file())
    assert not (attempts.active / KEY / SECRETS).exists()


def test_what_is_forgotten_keeps_none(attempts):
    attempts.start(KEY, 1, order_file(), go=False)
    (attempts.active / KEY / "claim").unlink(missing_ok=True)
    claims.take(str(attempts.active / KEY), claims.Claim(0, 0, "", "lost"))

    attempts.forget(KEY)

    assert not list(attempts.root.rglob(SECRETS))


def test_a_container_is_given_it_in_no_argument_and_no_file(tmp_path):
    """Podman passes on what its own environment holds, where an option names the variable."""
    inside = Container("/usr/bin/podman", "debian:12", [], KEY)
    inside.hidden = frozenset({"TOKEN"})
    variables = {"TOKEN": "s3cr3t-9f3a", "PLAIN": "p", proc.MARK_VARIABLE: "m"}

    words, own = inside.command(["true"], variables, "/", [], str(tmp_path / "note"), "")

    assert "s3cr3t" not in " ".join(words)
    assert "--env=TOKEN" in words
    assert own["TOKEN"] == "s3cr3t-9f3a"
    assert "PLAIN=p" in (tmp_path / "note.env").read_text().splitlines()
    assert "s3cr3t" not in (tmp_path / "note.env").read_text()
