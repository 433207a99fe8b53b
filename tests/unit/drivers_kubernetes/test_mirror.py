"""The copy of the cluster: resumed where the line broke, listed anew where it cannot be."""

import asyncio

import msgspec
import pytest
from kubernetes_samples import START

from fenglin.drivers.kubernetes import mirror as mirrors
from fenglin.drivers.kubernetes.api import ApiError
from fenglin.drivers.kubernetes.mirror import Mirror
from fenglin.drivers.kubernetes.names import ATTEMPT
from fenglin.drivers.kubernetes.views import Job, JobSpec, Metadata
from fenglin.errors import DriverError


def job(name, version, *, uid="", parallelism=1):
    labels = {ATTEMPT: "h1-a1-1"}
    meta = Metadata(name, uid or name, str(version), labels, {}, START)
    return Job(meta, JobSpec(parallelism))


def event(what, one):
    return what, msgspec.json.encode(one)


class FakeApi:
    """Answers listings and watches from scripts; the last watch never ends."""

    def __init__(self, listings, watches=()):
        self.listings = list(listings)
        self.watches = list(watches)
        self.asked = []

    async def pages(self, _path, _kind, _selector):
        self.asked.append("list")
        found = self.listings.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    async def watch(self, _path, _selector, version):
        self.asked.append(f"watch {version}")
        if not self.watches:
            await asyncio.Event().wait()
        for one in self.watches.pop(0):
            if isinstance(one, Exception):
                raise one
            yield one


@pytest.fixture
def follow(monkeypatch):
    """Return a function that runs a mirror until its api has been asked so often."""
    monkeypatch.setattr(mirrors, "RETRY_FIRST_S", 0)

    def run(api, asked):
        changes = []

        async def go():
            mirror = Mirror(api, "/jobs", Job, "s", changes.append)
            await mirror.ready()
            async with asyncio.timeout(5):
                while len(api.asked) < asked:  # noqa: ASYNC110 - a fake tells nobody
                    await asyncio.sleep(0)
            await mirror.close()
            return mirror

        return asyncio.run(go()), changes

    return run


def names(mirror):
    return {name: one.spec.parallelism for name, one in mirror.of("h1-a1-1").items()}


def test_one_listing_then_only_changes(follow):
    changes = [
        event("ADDED", job("b", 11)),
        event("MODIFIED", job("a", 12, parallelism=0)),
        event("DELETED", job("b", 13)),
        event("BOOKMARK", Job(Metadata(resource_version="20"))),
    ]
    api = FakeApi([([job("a", 5)], "10")], [changes])
    mirror, told = follow(api, 3)
    assert api.asked == ["list", "watch 10", "watch 20"]
    assert names(mirror) == {"a": 0}
    assert list(mirror.gone("h1-a1-1")) == ["b"]
    assert told == ["h1-a1-1"] * 4
    assert mirror.keys() == {"h1-a1-1"}


def test_a_line_that_breaks_is_taken_up_where_it_broke(follow):
    broken = [event("ADDED", job("b", 11)), DriverError("the line is broken")]
    api = FakeApi([([], "10")], [broken, [DriverError("still")], [event("ADDED", job("c", 12))]])
    mirror, _ = follow(api, 5)
    assert api.asked[:4] == ["list", "watch 10", "watch 11", "watch 11"]
    assert names(mirror) == {"b": 1, "c": 1}


def test_a_version_that_is_too_old_means_a_new_listing(follow):
    gone = ApiError("too old resource version", 410, where="")
    api = FakeApi([([job("a", 5)], "10"), ([job("c", 40)], "50")], [[gone]])
    mirror, _ = follow(api, 4)
    assert api.asked == ["list", "watch 10", "list", "watch 50"]
    assert names(mirror) == {"c": 1}
    assert list(mirror.gone("h1-a1-1")) == ["a"]


def test_a_listing_that_fails_changes_nothing():
    api = FakeApi([([job("a", 5)], "10"), DriverError("not complete")])

    async def go():
        mirror = Mirror(api, "/jobs", Job, "s", lambda _: None)
        await mirror.ready()
        with pytest.raises(DriverError):
            await mirror.relist()
        assert names(mirror) == {"a": 1}
        await mirror.close()

    asyncio.run(go())


def test_our_own_call_may_be_ahead_of_the_watch():
    api = FakeApi([([], "10")])

    async def go():
        mirror = Mirror(api, "/jobs", Job, "s", lambda _: None)
        await mirror.ready()
        mirror.put(msgspec.json.encode(job("a", 30, parallelism=0)))
        mirror.put(msgspec.json.encode(job("a", 20)))
        assert names(mirror) == {"a": 0}
        mirror.put(msgspec.json.encode(job("a", 40, uid="again")))
        assert list(mirror.gone("h1-a1-1")) == ["a"]
        await mirror.close()

    asyncio.run(go())


def test_a_listing_that_is_older_than_the_watch():
    """What was told before the listing arrived is told again, though nothing else happens."""
    later = event("MODIFIED", job("a", 30, parallelism=0))

    class SlowApi(FakeApi):
        """Its second listing was made before the change, and arrives after it."""

        async def watch(self, path, selector, version):
            if self.asked == ["list"]:
                self.asked.append("watch 10")
                yield later
                await asyncio.Event().wait()
            async for one in super().watch(path, selector, version):
                yield one

    api = SlowApi([([job("a", 5)], "10"), ([job("a", 5)], "20")], [[later]])

    async def until(parallelism):
        async with asyncio.timeout(5):
            while names(mirror) != {"a": parallelism}:  # noqa: ASYNC110 - a fake tells nobody
                await asyncio.sleep(0)

    async def go():
        await mirror.ready()
        await until(0)
        await mirror.relist()
        await until(0)
        assert api.asked[:4] == ["list", "watch 10", "list", "watch 20"]
        await mirror.close()

    mirror = Mirror(api, "/jobs", Job, "s", lambda _: None)
    asyncio.run(go())
