"""A submit: all or none, once per key, and other accounts do not exist."""

import asyncio
import hashlib
import threading

import msgspec
import pytest

from fenglin.errors import ConflictError, InputError
from fenglin.model.job import Dependency
from fenglin.ports.store import SubmitRequest
from fenglin.testing.builders import a_job


def child(job, **need):
    return msgspec.structs.replace(a_job("child"), after=(Dependency(job, **need),))


def test_the_same_key_and_body_give_the_same_jobs(desk):
    async def scene(here):
        first, new = await here.submit(a_job(), a_job(), key="k", body=b"x")
        again, none = await here.submit(a_job(), a_job(), key="k", body=b"x")
        with pytest.raises(ConflictError):
            await here.submit(a_job(), key="k", body=b"y")
        other, _ = await here.submit(a_job(), key="k", body=b"y", actor="bob")
        free, _ = await here.submit(a_job(), body=b"x")
        return first, new, again, none, other, free, here.sql("SELECT count(*) FROM job")

    first, new, again, none, other, free, count = desk(scene)
    assert [answer.id for answer in again] == [answer.id for answer in first] == ["j1", "j2"]
    assert [answer.repeated for answer in again] == [True, True]
    assert (len(new), none) == (2, [])
    assert (other[0].id, free[0].id) == ("j3", "j4")
    assert count == [(4,)]


def test_what_a_key_was_answered_can_be_asked_alone(desk):
    async def scene(here):
        def asked(key, body):
            return SubmitRequest([a_job()], [b""], "ann", key, hashlib.sha256(body).digest(), 0)

        await here.submit(a_job(), key="k", body=b"x")
        answers = [await here.store.answered(asked(key, b"x")) for key in ("k", "l", "")]
        with pytest.raises(ConflictError):
            await here.store.answered(asked("k", b"y"))
        return answers, here.sql("SELECT count(*) FROM job")

    (again, unknown, without), count = desk(scene)
    assert [(one.id, one.repeated) for one in again] == [("j1", True)]
    assert (unknown, without, count) == (None, None, [(1,)])


def test_submits_that_share_a_commit_are_answered_each_for_itself(desk):
    async def scene(here):
        # All of them are queued before the writer's thread sees the first.
        begun, gate = threading.Event(), threading.Event()

        def hold_up(_conn):
            begun.set()
            gate.wait(30)

        held = asyncio.ensure_future(here.store.write(here.epoch, hold_up))
        await asyncio.to_thread(begun.wait, 30)
        asked = [
            here.submit(a_job(), a_job(), key="k", body=b"x"),
            here.submit(child("j99")),
            here.submit(a_job(), key="k", body=b"x"),
            here.submit(a_job(), key="k", body=b"y"),
            here.submit(a_job(), key="k", body=b"y", actor="bob"),
            here.submit(a_job()),
        ]
        found = [asyncio.ensure_future(one) for one in asked]
        await asyncio.sleep(0)
        gate.set()
        await held
        answers = await asyncio.gather(*found, return_exceptions=True)
        return (
            answers,
            here.sql("SELECT count(*) FROM job"),
            here.sql("SELECT actor, key, first_job, jobs FROM idempotency ORDER BY actor"),
        )

    (first, orphan, again, other, bobs, free), count, keys = desk(scene)
    assert [type(orphan), type(other)] == [InputError, ConflictError]
    assert [one.id for one in first[0]] == [one.id for one in again[0]] == ["j1", "j2"]
    assert [one.repeated for one in again[0]] == [True, True]
    assert (len(first[1]), again[1]) == (2, [])
    assert (bobs[0][0].id, free[0][0].id) == ("j3", "j4")
    assert count == [(4,)]
    assert keys == [("ann", "k", 1, 2), ("bob", "k", 3, 1)]


def test_one_bad_job_keeps_all_out(desk):
    async def scene(here):
        with pytest.raises(InputError):
            await here.submit(a_job(), child("j99"), key="k", body=b"x")
        after, _ = await here.submit(a_job(), key="k", body=b"other")  # the key is still free
        return after, here.sql("SELECT count(*) FROM job")

    after, count = desk(scene)
    assert not after[0].repeated
    assert count == [(1,)]


def test_another_accounts_parent_answers_as_a_missing_one(desk):
    async def scene(here):
        theirs = await here.job(account="lab")
        answers = []
        for parent in (f"j{theirs.number}", "j99"):
            with pytest.raises(InputError) as caught:
                await here.submit(child(parent))
            answers.append(str(caught.value).replace(parent, "jX"))
        return answers

    one, two = desk(scene)
    assert one == two


def test_per_task_needs_equal_arrays(desk):
    async def scene(here):
        parent = await here.job(tasks=3)
        with pytest.raises(InputError, match="3 tasks, this job has 1"):
            await here.submit(child(f"j{parent.number}", per_task=True))
        await here.submit(
            msgspec.structs.replace(child(f"j{parent.number}", per_task=True), tasks=3)
        )

    desk(scene)


def test_labels_and_sql_in_names_are_text(desk):
    nasty = "x'); DROP TABLE job; --"

    async def scene(here):
        job = await here.job(name=nasty, labels=(("a", nasty),))
        view = await here.store.job(job.number, "")
        return view.name, view.labels

    assert desk(scene) == (nasty, {"a": nasty})
