"""The audit trail: one record with each change, and none that can be altered unseen."""

import contextlib
import sqlite3

import pytest
from msgspec.structs import replace

from fenglin.errors import ConflictError, FenglinError, InputError
from fenglin.model.job import Dependency
from fenglin.ports.acting import ACTING, Act
from fenglin.storage.audit import SqliteAudit
from fenglin.storage.identity import SqliteIdentity
from fenglin.testing.builders import a_job
from fenglin.wire.audit_views import AuditQuestion

ACT = Act(1_700_000_000_000, "ann", 7, "lab", "drainSite", "/v1/sites/site/drain")


@contextlib.contextmanager
def acting(**fields):
    mark = ACTING.set(replace(ACT, **fields))
    try:
        yield
    finally:
        ACTING.reset(mark)


async def drain(here, drained=True):
    await here.store.set_site(
        here.epoch, "site", drained=drained, reason="", actor="ann", now_ms=ACT.time_ms
    )


async def records(here, **asked):
    return await SqliteAudit(here.store).page(AuditQuestion(**asked))


def test_a_request_leaves_one_record_with_its_change(desk):
    async def scene(here):
        with acting():
            await drain(here)
        (one,) = await records(here)
        assert (one.seq, one.actor, one.token, one.account) == (1, "ann", "t7", "lab")
        assert (one.what, one.subject) == ("drainSite", "/v1/sites/site/drain")
        found = await SqliteAudit(here.store).check()
        assert (found.ok, found.records, found.head) == (True, 1, one.hash)

    desk(scene)


def test_what_the_hub_does_by_itself_leaves_none(desk):
    async def scene(here):
        await drain(here)
        assert await records(here) == []

    desk(scene)


def test_a_submit_names_its_jobs_and_a_repeated_one_nothing(desk):
    async def scene(here):
        with acting(what="submit", subject="/v1/jobs"):
            await here.submit(a_job(), a_job(), key="k", body=b"x")
            await here.submit(a_job(), a_job(), key="k", body=b"x")
            await here.submit(a_job())
        return [one.subject for one in await records(here)]

    assert desk(scene) == ["/v1/jobs j1-j2", "/v1/jobs j3"]


def test_what_fails_leaves_none(desk):
    def fail(conn):
        conn.execute("UPDATE meta SET value = '1' WHERE name = 'nothing'")
        raise ConflictError("no")

    async def scene(here):
        with acting():
            with pytest.raises(InputError):
                await here.submit(replace(a_job(), after=(Dependency("j99"),)))
            with pytest.raises(ConflictError):
                await here.store.write(here.epoch, fail)
            with pytest.raises(FenglinError):
                await SqliteIdentity(here.store).used(here.epoch - 1, 1, 5)
        assert await records(here) == []

    desk(scene)


def test_a_cancel_is_recorded_by_the_loops_own_commit(desk):
    async def scene(here):
        await here.store.commit(here.change(acts=[replace(ACT, what="cancel")]))
        return [one.what for one in await records(here)]

    assert desk(scene) == ["cancel"]


def test_pages_and_filters(desk):
    async def scene(here):
        for at, name in enumerate(("ann", "bo", "ann", "bo")):
            with acting(actor=name, time_ms=ACT.time_ms + at, what=f"w{at}"):
                await drain(here)
        assert [one.seq for one in await records(here, actor="ann")] == [1, 3]
        assert [one.seq for one in await records(here, after=1, limit=2)] == [2, 3]
        assert [one.seq for one in await records(here, what="w3")] == [4]
        assert [one.seq for one in await records(here, from_ms=ACT.time_ms + 2)] == [3, 4]

    desk(scene)


@pytest.mark.parametrize("statement", ["UPDATE audit SET actor = 'x'", "DELETE FROM audit"])
def test_the_database_refuses_to_change_it(desk, statement):
    async def scene(here):
        with acting():
            await drain(here)
        with pytest.raises(FenglinError):
            await here.store.write(here.epoch, lambda conn: conn.execute(statement))
        assert (await SqliteAudit(here.store).check()).ok

    desk(scene)


TAMPERS = {
    "actor": ("UPDATE audit SET actor = 'eve' WHERE seq = 3", 3),
    "time": ("UPDATE audit SET time_ms = time_ms + 1 WHERE seq = 2", 2),
    "token": ("UPDATE audit SET token = 1 WHERE seq = 5", 5),
    "account": ("UPDATE audit SET account = '' WHERE seq = 4", 4),
    "what": ("UPDATE audit SET what = '' WHERE seq = 1", 1),
    "subject": ("UPDATE audit SET subject = '' WHERE seq = 5", 5),
    "hash": ("UPDATE audit SET hash = zeroblob(32) WHERE seq = 2", 2),
    "removed": ("DELETE FROM audit WHERE seq = 3", 3),
    "first removed": ("DELETE FROM audit WHERE seq = 1", 1),
    "moved": ("UPDATE audit SET seq = CASE seq WHEN 2 THEN -3 ELSE -2 END WHERE seq IN (2, 3)", 2),
    "inserted": (
        """INSERT INTO audit SELECT 6, time_ms, actor, token, account, what, subject, hash
        FROM audit WHERE seq = 5""",
        6,
    ),
}


@pytest.mark.parametrize("name", TAMPERS)
def test_each_change_behind_the_stores_back_is_found(tmp_path, name):
    from fenglin.storage.audit import append, check  # noqa: PLC0415 - without a store
    from fenglin.storage.migrations.v2.audit import STATEMENTS  # noqa: PLC0415

    with contextlib.closing(sqlite3.connect(tmp_path / "x.db")) as conn:
        for statement in STATEMENTS[:2]:
            conn.execute(statement)
        for at in range(5):
            append(conn, replace(ACT, time_ms=at), f"n{at}")
        assert check(conn).ok
        statement, first_bad = TAMPERS[name]
        conn.execute(statement)
        conn.execute("UPDATE audit SET seq = -seq WHERE seq < 0")
        found = check(conn)
    assert (found.ok, found.first_bad) == (False, first_bad)
