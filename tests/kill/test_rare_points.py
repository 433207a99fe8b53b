"""Killed where a hub seldom is: starting, stopping, migrating, copying, after a restore."""

import contextlib
import os
import signal
import sqlite3
import time

import pytest

from fenglin.ports.crashpoint import RARE_POINTS
from fenglin.storage import migrations, schema
from fenglin.storage.carry import our_tables
from fenglin.storage.dialect import ddl

STATEMENTS = len([one for step in migrations.STEPS for one in step])
TABLES = len(our_tables())
# Without a lease none is renewed; in the midst of a migration or a copy hubs are killed below.
ON_FILE = sorted({*RARE_POINTS} - {"c13", "c14", "c15"})
WITHIN_S = 60
PATIENT_TRIES = 30


@pytest.fixture(params=["file", "postgres"])
def either(request):
    """Yield a campaign on each of the two databases."""
    name = {"file": "campaign", "postgres": "grown"}[request.param]
    return request.getfixturevalue(name)


def test_nothing_is_lost_or_doubled_at_what_a_file_passes_seldom(campaign, cycles, record_property):
    campaign.begin()
    rounds = max(1, cycles // 3)
    reached = [(point, campaign.die_at(point)) for _ in range(rounds) for point in ON_FILE]

    assert all(was for _, was in reached), f"not reached: {reached}"
    record_property("kill", {"point": "file", **campaign.judge()})


# --- in the midst of a migration ------------------------------------------------------------


@pytest.mark.parametrize("version", [0, 1])
def test_a_migration_is_made_whole_or_not_at_all(version, either, record_property):
    if version:
        first_version(either)
    # At its begin, in its midst, and when all but its commit is done.
    for turn in (1, STATEMENTS // 2, STATEMENTS):
        either.hub.start(crash_at=f"c14:{turn}", ready=False)
        assert either.hub.wait(WITHIN_S) == -signal.SIGKILL, either.hub.log()
        either.kills += 1
        assert version_of(either) == version
    either.begin()
    assert version_of(either) == migrations.SCHEMA_VERSION
    assert wishes_of(either) == [("ai", "kept")] * version
    either.hub.start()
    either.work()
    either.hub.client(tries=PATIENT_TRIES).resume("ai")
    either.hub.kill()
    record_property("kill", {"point": f"migration from {version}", **either.judge()})


def statement_of(either, query):
    """Ask the database itself."""
    if either.url:
        return either.server.sql(query, either.url.rpartition("/")[2])
    with contextlib.closing(sqlite3.connect(either.hub.data / "fenglin.db")) as conn:
        return conn.execute(query).fetchall()


def wishes_of(either):
    return statement_of(either, "SELECT site, reason FROM site_wish")


def version_of(either):
    if not either.url:
        return statement_of(either, "PRAGMA user_version")[0][0]
    if statement_of(either, "SELECT to_regclass('schema_version')") == [(None,)]:
        return 0
    return statement_of(either, "SELECT version FROM schema_version")[0][0]


def first_version(either):
    """Make the tables of version 1, with a row that a hub of that version has written."""
    from fenglin.storage.postgres.schema import OWN  # noqa: PLC0415 - an extra

    row = "INSERT INTO site_wish VALUES ('ai', 1, 'kept', 'ann', 1)"
    if either.url:
        parts = [part for one in schema.SCHEMA for part in ddl(one)]
        for one in (*OWN, *parts, row, "INSERT INTO schema_version (version) VALUES (1)"):
            statement_of(either, one)
        return
    either.hub.data.mkdir()
    with contextlib.closing(sqlite3.connect(either.hub.data / "fenglin.db")) as conn, conn:
        for one in (*schema.SCHEMA, row, "PRAGMA user_version = 1"):
            conn.execute(one)


# --- in the midst of a copy -----------------------------------------------------------------


def db(either, *words, crash_at=""):
    """Run `fenglin db` as a process of its own; return its exit status."""
    env = {**os.environ, "FENGLIN_CRASH_AT": crash_at}
    config = ("--config", str(either.hub.config))
    return either.forks.start(
        ["db", *words, *config], env=env, cwd=either.folder, log=either.folder / "db.log"
    ).wait(WITHIN_S)


def elsewhere(either):
    """Let the configuration name an empty place; return words that name it, and the way back."""
    here = either.url
    if not here:
        return ("--data", str(either.folder / "other")), lambda: None
    either.use_database(either.server.database())
    return (), lambda: either.use_database(here)


def test_a_copy_is_made_whole_or_not_at_all(either, record_property):
    either.begin()
    either.hub.start()
    either.work()
    copy = either.folder / "copy.db"
    for turn in (1, TABLES // 2, TABLES):
        assert db(either, "backup", str(copy), crash_at=f"c15:{turn}") == -signal.SIGKILL
        assert not copy.exists()
        either.kills += 1
    # The hub goes on beside all that.
    either.work()
    assert db(either, "backup", str(copy)) == 0
    either.work()
    either.hub.kill()
    there, back = elsewhere(either)
    for turn in (1, TABLES // 2, TABLES):
        assert db(either, "restore", str(copy), *there, crash_at=f"c15:{turn}") == -signal.SIGKILL
        either.kills += 1
    assert db(either, "restore", str(copy), *there) == 0, (either.folder / "db.log").read_text()
    assert db(either, "check", *there) == 0
    back()
    record_property("kill", {"point": "copies", **either.judge()})


def test_a_hub_that_dies_as_a_restored_pool_is_let_go_doubles_nothing(either):
    either.begin()
    copy = either.folder / "copy.db"
    assert db(either, "backup", str(copy)) == 0
    either.hub.start()
    client = either.hub.client(tries=PATIENT_TRIES)
    unknown = client.submit(either.truth.job("unknown", sleep_s=600, tasks=2)).id
    until(lambda: len(either.truth.runs(unknown)) == 2)
    either.hub.kill()
    if either.url:
        either.use_database(either.server.database())
    else:
        for path in either.hub.data.glob("fenglin.db*"):
            path.unlink()
    assert db(either, "restore", str(copy)) == 0

    # What runs is of no job that is known: it is stopped, and only then all is let go.
    either.hub.start(crash_at="c20", ready=False)
    assert either.hub.wait(WITHIN_S) == -signal.SIGKILL, either.hub.log()
    until(lambda: not either.hub.tasks())
    assert "unknown_attempt_stopped" in either.hub.log()
    either.hub.start()
    client = either.hub.client(tries=PATIENT_TRIES)
    known = client.submit(either.truth.job("known", tasks=2)).id
    assert client.wait(known, WITHIN_S).state == "succeeded"
    assert known != unknown
    assert either.truth.doubles() == []
    assert all(run.number == 1 for run in either.truth.runs())
    assert client.ledger_verify().ok
    assert either.hub.stop() == 0


def until(condition):
    end_s = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < end_s, "it did not happen in time"
        time.sleep(0.05)
