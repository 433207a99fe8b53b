"""The audit trail: one record with each change, and none that can be altered unseen."""

import contextlib

import pytest
from msgspec.structs import replace

from fenglin.errors import ConflictError, FenglinError, InputError
from fenglin.ledger.moves import audited
from fenglin.ledger.note import new_key
from fenglin.model.job import Dependency
from fenglin.ports.acting import ACTING, Act
from fenglin.storage import audit_seals, books, ledger
from fenglin.storage.audit import SqliteAudit, append, check
from fenglin.storage.identity import SqliteIdentity
from fenglin.storage.proofs import SqliteProofs
from fenglin.storage.schema import connect, ensure_schema
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


@pytest.fixture
def trail(tmp_path):
    """Return a database with five records and without guards."""
    path = tmp_path / "x.db"
    with contextlib.closing(connect(path)) as conn:
        ensure_schema(conn, path)
        guards = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit'"
        for (name,) in conn.execute(guards).fetchall():
            conn.execute(f"DROP TRIGGER {name}")
        conn.execute("INSERT INTO meta (name, value) VALUES ('ledger', 'x')")
        conn.execute("BEGIN IMMEDIATE")
        books.found(conn, 1)
        append_records(conn, 5)
        conn.execute("COMMIT")
        yield conn


def append_records(conn, count, actor="ann"):
    for at in range(count):
        append(conn, replace(ACT, time_ms=at, actor=actor), f"n{at}")


def seal(conn):
    """Enter what the trail is into the ledger, as a checkpoint does; return the entries."""
    conn.execute("BEGIN IMMEDIATE")
    entered = books.append(conn, audit_seals.due(conn), 9)
    conn.execute("COMMIT")
    return entered


@pytest.mark.parametrize("name", TAMPERS)
def test_each_change_behind_the_stores_back_is_found(trail, name):
    assert check(trail).ok
    statement, first_bad = TAMPERS[name]
    trail.execute(statement)
    trail.execute("UPDATE audit SET seq = -seq WHERE seq < 0")
    found = check(trail)
    assert (found.ok, found.first_bad) == (False, first_bad)


def test_the_ledger_names_the_trail_once_for_each_length(trail):
    assert check(trail).sealed == 0
    (entry,) = seal(trail)
    assert entry.key == "audit:5"
    assert seal(trail) == []
    append_records(trail, 2)
    assert (check(trail).records, check(trail).sealed) == (7, 5)
    (entry,) = seal(trail)
    assert dict(entry.details) == {"records": "7", "head": check(trail).head}
    assert (check(trail).sealed, audit_seals.problem(trail)) == (7, "")


@pytest.mark.parametrize("left", [0, 1, 5, 6])
def test_an_end_that_was_cut_off_is_found(trail, left):
    seal(trail)
    append_records(trail, 2)
    seal(trail)
    trail.execute("DELETE FROM audit WHERE seq > ?", (left,))
    found = check(trail)
    assert (found.ok, found.first_bad) == (False, left + 1)
    assert "names 7 records" in found.why
    assert "audit trail" in audit_seals.problem(trail)
    with pytest.raises(ConflictError, match="7 records"):
        audit_seals.due(trail)


def test_a_trail_that_was_written_anew_is_found(trail):
    seal(trail)
    append_records(trail, 3)
    seal(trail)
    trail.execute("DELETE FROM audit WHERE seq > 6")
    append_records(trail, 4, "eve")
    found = check(trail)
    assert (found.ok, found.first_bad) == (False, 6)
    assert "up to 8 was written anew" in found.why
    assert "8 records" in audit_seals.problem(trail)
    trail.execute("DELETE FROM audit")
    append_records(trail, 9, "eve")
    assert check(trail).first_bad == 1


def test_a_checkpoint_covers_the_trail_and_the_ledger_verifies_with_it(desk):
    async def scene(here):
        proofs = SqliteProofs(here.store, new_key("hub.test", bytes(32)))
        await proofs.check_point(here.epoch, 5)
        with acting():
            await drain(here)
        note, fresh = await proofs.check_point(here.epoch, 6)
        assert fresh
        assert await proofs.check_point(here.epoch, 7) == (note, False)
        assert (await SqliteAudit(here.store).check()).sealed == 1
        check = await here.store.ledger_verify()
        assert (check.ok, check.problem) == (True, "")

        def forget(conn):
            head = ledger.head(conn)
            books.append(conn, [audited(2, bytes(32).hex())], head.seq)

        await here.store.write(here.epoch, forget)
        check = await here.store.ledger_verify()
        assert (check.ok, "2 records" in check.problem) == (False, True)
        with pytest.raises(ConflictError, match="audit trail"):
            await proofs.check_point(here.epoch, 8)

    desk(scene)
