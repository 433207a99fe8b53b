"""Listings: pages joined are the whole, in order, whatever comes between; text is only text."""

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fenglin.errors import InputError
from fenglin.ports.hub import Listing

NAMES = ("a", "A", "a%b", "a_b", "ab", "100%", "é", "x'y", "山")
SORTS = ("", "id", "-id", "name", "-name", "priority", "-priority", "submitted_ms", "-state")
ROWS = st.lists(
    st.tuples(st.sampled_from(NAMES), st.integers(-2, 2), st.sampled_from(["q", "r"])),
    min_size=1,
    max_size=12,
)


async def pages(here, listing, between=None):
    found, cursor = [], ""
    while True:
        page = await here.store.jobs(msgspec.structs.replace(listing, cursor=cursor), "")
        assert len(page.items) <= listing.limit
        found += page.items
        cursor = page.next
        if not cursor:
            return found
        if between is not None:
            await between()


@pytest.mark.slow
@settings(
    deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(ROWS, st.sampled_from(SORTS), st.integers(1, 4), st.sampled_from(NAMES))
def test_pages_joined_are_all_rows_that_match_in_order(desk, database, rows, sort, limit, part):
    database.anew()

    async def scene(here):
        for name, priority, queue in rows:
            await here.job(name=name, priority=priority, queue=queue)
        listing = Listing(limit=limit, sort=sort, filters=(("name", part), ("queue", "q")))
        every = await pages(here, Listing(limit=1000))
        return every, await pages(here, listing)

    every, found = desk(scene)
    field = (sort or "-id").removeprefix("-")
    fields = {"id": lambda v: int(v.id[1:])}
    key = fields.get(field, lambda v: getattr(v, field))
    wanted = [view for view in every if part in view.name and view.queue == "q"]
    # SQLite orders text by its UTF-8 bytes, as Python orders it by code points.
    wanted.sort(key=lambda v: (key(v), int(v.id[1:])), reverse=(sort or "-id").startswith("-"))
    assert [view.id for view in found] == [view.id for view in wanted]


@pytest.mark.parametrize("sort", ["-id", "name", "-priority"])
def test_new_rows_between_pages_neither_hide_nor_repeat_an_old_one(desk, sort):
    async def scene(here):
        for i in range(9):
            await here.job(name=f"n{i % 3}", priority=i % 2)
        old = {view.id for view in await pages(here, Listing())}

        async def between():
            await here.job(name="n1", priority=1)

        return old, [view.id for view in await pages(here, Listing(limit=2, sort=sort), between)]

    old, found = desk(scene)
    assert len(found) == len(set(found))
    assert old <= set(found)


def test_filters_of_one_field_are_alternatives_of_two_all_hold(desk):
    async def scene(here):
        await here.job(name="one", labels=(("env", "p"), ("t", "1")))
        await here.job(name="two", labels=(("env", "q"),))
        await here.job(name="three", account="lab")

        async def names(*filters, account=""):
            page = await here.store.jobs(Listing(filters=filters), account)
            return sorted(view.name for view in page.items)

        return (
            await names(("label", "env=p"), ("label", "env=q")),
            await names(("label", "env=p"), ("name", "two")),
            await names(("state", "pending"), ("state", "failed")),
            await names(("state", "failed")),
            await names(account="lab"),
            await names(("account", "default"), account="lab"),
        )

    assert desk(scene) == (
        ["one", "two"], [], ["one", "three", "two"], [], ["three"], [],
    )  # fmt: skip


BIG = "WyIxIiwxMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDBd"  # ["1",10**23]


@pytest.mark.slow
@pytest.mark.parametrize(
    "listing",
    [
        Listing(sort="spec"),
        Listing(sort="name; DROP TABLE job"),
        Listing(filters=(("spec", "x"),)),
        Listing(filters=(("state", "dancing"),)),
        Listing(filters=(("label", "novalue"),)),
        Listing(filters=(("name", "\ud800"),)),
        Listing(filters=(("name", "x"),) * 101),
        Listing(filters=(("id", "j1"),) * 901),
        Listing(filters=(("id", "7"),)),
        Listing(filters=(("id", "j" + "9" * 30),)),
        Listing(cursor="!"),
        Listing(cursor="山"),
        Listing(cursor="W10"),
        Listing(cursor="WzFd"),
        Listing(cursor=BIG),
        Listing(cursor=BIG, sort="name"),
        Listing(cursor="WyJhIiwxXQ"),  # a name's cursor for numbers
        Listing(cursor="WzEsMV0", sort="name"),  # and the other way round
    ],
)
def test_bad_requests_are_refused_in_words(desk, listing):
    async def scene(here):
        await here.job()
        with pytest.raises(InputError):
            await here.store.jobs(listing, "")

    desk(scene)


def test_another_accounts_job_is_a_missing_one(desk):
    async def scene(here):
        job = await here.job(account="lab")
        return [await here.store.job(job.number, who) for who in ("default", "", "lab")]

    theirs, admin, own = desk(scene)
    assert theirs is None
    assert admin == own
    assert own.account == "lab"


def test_a_job_shows_its_allocations_and_counts(desk):
    async def scene(here):
        job = await here.job(tasks=5)
        await here.start(here.unit(job, tasks=2))
        return await here.store.job(job.number, "")

    view = desk(scene)
    assert (view.tasks.pending, view.tasks.running) == (3, 2)
    assert [(a.tasks, a.slots, a.nodes) for a in view.allocations] == [("0-1", 2, ["n0"])]
    assert view.held_micro == 1_000


def test_detail_lists_jobs_as_each_alone_shows(desk):
    async def scene(here):
        first = await here.job(tasks=5, labels=(("env", "p"),))
        second = await here.job(name="plain")
        await here.start(here.unit(first, tasks=2))
        wanted = tuple(("id", f"j{job.number}") for job in (first, second))
        page = await here.store.jobs(Listing(filters=wanted, sort="id", detail=True), "")
        return page.items, [await here.store.job(job.number, "") for job in (first, second)]

    listed, alone = desk(scene)
    assert listed == alone
    assert (listed[0].task_sets.pending, listed[0].task_sets.running) == ("2-4", "0-1")
    assert listed[0].labels == {"env": "p"}
    assert [view.user for view in listed] == ["ann", "ann"]
