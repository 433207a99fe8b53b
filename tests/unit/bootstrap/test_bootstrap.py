"""The wiring: doors that stay shut, one hub per folder, a first token that no crash loses."""

import asyncio
import socket
import stat

import pytest
from msgspec.structs import replace

from fenglin import bootstrap
from fenglin.bootstrap import SystemClock, run_hub
from fenglin.bootstrap.tokens import TOKEN_FILE
from fenglin.bootstrap.tokens import first_token as first_operator
from fenglin.daemon import owned
from fenglin.engine.tokens import Tokens
from fenglin.errors import (
    ConflictError,
    DeniedError,
    InputError,
    InputProblems,
    UnavailableError,
)
from fenglin.intake.hubfile import read_hub_file
from fenglin.model.job import FileInput
from fenglin.planner.policy import BALANCED
from fenglin.ports.hub import Principal
from fenglin.storage.identity import SqliteIdentity
from fenglin.storage.store import SqliteStore
from fenglin.testing.builders import LocalSite, a_job, hub_file
from fenglin.wire.token_text import well_formed


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Start a hub up to the point where it would run; returns what would be run."""
    ran = []

    def run(coroutine):
        coroutine.close()
        ran.append(True)

    monkeypatch.setattr(bootstrap.uvloop, "run", run)

    def begin(hub="", **options):
        path = tmp_path / "fenglin.toml"
        path.write_text(hub_file(hub=hub))
        ran.clear()
        run_hub(path, options.get("data"), options.get("listen"))
        return bool(ran)

    return begin


def test_it_starts_and_owns_its_folder(start, tmp_path):
    assert start()
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "10.0.0.1:0", "0:0", "example.org:0"])
def test_no_door_without_a_lock(start, listen):
    with pytest.raises(DeniedError, match="without authentication"):
        start("auth = false", listen=listen)


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "localhost:0", ":0"])
def test_on_this_machine_it_may_be_open(start, listen):
    assert start("auth = false", listen=listen)


def test_a_name_that_leads_elsewhere_is_found_out(start, monkeypatch):
    def elsewhere(_host, _port):
        bound = socket.socket()
        bound.bind(("0.0.0.0", 0))  # noqa: S104
        return bound

    monkeypatch.setattr(bootstrap, "bind", elsewhere)
    with pytest.raises(DeniedError):
        start("auth = false", listen="localhost:0")


@pytest.mark.parametrize(
    "listen", ["", "127.0.0.1", "127.0.0.1:", "h:x", "h:65536", "h:-1", "h:٣", "h:" + "9" * 5000]
)
def test_no_address(start, listen):
    if not listen:
        assert start(listen=listen)  # nothing given: the configuration's
        return
    with pytest.raises(InputError):
        start(listen=listen)


def test_a_taken_address_is_said(start):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UnavailableError, match="cannot listen"):
            start(listen=f"127.0.0.1:{taken.getsockname()[1]}")


def test_a_second_hub_on_the_folder_is_refused(start, tmp_path):
    with owned(tmp_path / "data", "hub"), pytest.raises(ConflictError, match="another hub"):
        start()
    assert start()


def test_a_folder_that_cannot_be(start, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UnavailableError):
        start(data=tmp_path / "file" / "x")


def test_a_disk_error_on_the_way_is_said(start, monkeypatch):
    def full(coroutine):
        coroutine.close()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bootstrap.uvloop, "run", full)
    with pytest.raises(UnavailableError, match="No space left"):
        start()


@pytest.mark.parametrize("text", [b"\xff\xfe", None])
def test_a_configuration_that_cannot_be_read(tmp_path, text):
    path = tmp_path / "x.toml"
    if text:
        path.write_bytes(text)
    with pytest.raises(InputError) as caught:
        run_hub(path, None, None)
    assert caught.value.where == str(path)


def test_an_unknown_log_level_is_refused(start):
    with pytest.raises(InputError, match="log level"):
        start('log = "loud"')


@pytest.fixture
def first_token(tmp_path):
    """Open the store as a start does; returns the token file after it."""

    def begin(*, crash=False):
        async def inner():
            store = SqliteStore(tmp_path / "fenglin.db")
            loaded = await store.load((), 1)
            identity = SqliteIdentity(store)
            tokens = Tokens(identity, SystemClock(), lambda: loaded.epoch)
            if crash:
                tokens.first = None  # dies between file and database
            try:
                await first_operator(identity, tokens, tmp_path)
                text = path.read_text().strip()
                return (await tokens.holder(text)).scopes
            finally:
                await store.close()

        return asyncio.run(inner())

    path = tmp_path / TOKEN_FILE
    begin.path = path
    return begin


def test_the_first_token_is_its_owners_and_works(first_token):
    assert first_token() == {"admin"}
    assert stat.S_IMODE(first_token.path.stat().st_mode) == 0o600
    text = first_token.path.read_text()
    assert well_formed(text.strip())
    assert first_token() == {"admin"}  # a second start makes none
    assert first_token.path.read_text() == text


def test_a_crash_between_file_and_database_loses_no_token(first_token):
    with pytest.raises(TypeError):
        first_token(crash=True)
    text = first_token.path.read_text()
    first_token.path.chmod(0o644)
    assert first_token() == {"admin"}
    assert first_token.path.read_text() == text
    assert stat.S_IMODE(first_token.path.stat().st_mode) == 0o600


@pytest.mark.parametrize("left", [b"", b"fgl_half", b"\xff\xfe"])
def test_a_torn_token_file_is_made_anew(first_token, left):
    first_token.path.write_bytes(left)
    assert first_token() == {"admin"}


def test_the_clocks():
    clock = SystemClock()
    assert clock.now_ms() > 1_700_000_000_000
    assert clock.monotonic_ms() <= clock.monotonic_ms()


def test_an_unknown_policy_is_refused_before_the_folder_is_taken(start, tmp_path):
    with pytest.raises(InputError, match="no policy is named 'cheapest'") as caught:
        start('policy = "cheapest"')
    assert caught.value.where == "hub.policy"
    assert not (tmp_path / "data").exists()


def test_a_policy_file_lies_beside_the_configuration(start, tmp_path):
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "night.toml").write_text('base = "green"\n')
    assert start('policy = "policies/night.toml"')


def test_a_wrong_policy_file_is_told_before_the_folder_is_taken(start, tmp_path):
    (tmp_path / "night.toml").write_text("fair = 1\n")
    with pytest.raises(InputProblems) as caught:
        start('policy = "night.toml"')
    assert caught.value.problems[0].line == 1
    assert not (tmp_path / "data").exists()


def test_the_planner_learns_what_each_driver_can_do(tmp_path):
    """The mock driver brings no files: a job with some is refused before it is stored."""
    settings = read_hub_file(
        hub_file([LocalSite("far")]).replace('"local"', '"mock"'), "fenglin.toml"
    )
    spec = replace(a_job(), files=(FileInput("a", "0" * 64, 1),))

    async def ask():
        async with bootstrap._hub(settings, BALANCED, tmp_path) as (service, background):
            for work in background:
                work.close()
            with pytest.raises(InputError, match="can ever hold") as caught:
                await service.dry_run(spec, Principal("admin", frozenset({"admin"})))
            return caught.value.hint

    assert "far/std: the site cannot be brought files" in asyncio.run(ask())
