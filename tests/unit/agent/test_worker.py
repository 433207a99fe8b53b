"""What an agent does with orders: known and unknown, in their order, and under which epoch."""

import asyncio
import contextlib
from pathlib import Path

import msgspec
import pytest
from tests.conformance.agentsite import AT_ONCE, Line, agent_driver

from fenglin.agent.loop import Agent
from fenglin.agent.state import State
from fenglin.agent.worker import Worker
from fenglin.errors import ConflictError, DriverError, StaleEpochError
from fenglin.model.allocation import TaskEnd
from fenglin.ports.agent import KeyAsk, ObserveAsk, StartAsk
from fenglin.ports.driver import (
    Capability,
    DriverContext,
    Observation,
    Presence,
    SiteReport,
    StagedInput,
    StartOrder,
)
from fenglin.quantities.resources import Resources
from fenglin.wire.agent_views import Order

KEY = "hub-a1-1"
CAPABILITIES = frozenset({Capability.ARRAYS, Capability.SIGNAL})


def an_order(**more):
    plain = {
        "key": KEY, "epoch": 1, "hub": "hub", "job": "j1", "job_name": "", "site": "far",
        "flavor": "std", "tasks": "0", "task_count": 1, "tries": (), "shares": (), "nodes": 1,
        "resources": Resources(100, 2**20), "command": ("true",), "script": "", "env": (),
        "workdir": "", "inputs": (), "artifacts": (), "artifacts_dir": "", "timeout_ms": 0,
    }  # fmt: skip
    return StartOrder(**{**plain, **more})


class Memory:
    """A driver that only remembers; `gate` holds its starts up."""

    kind = "memory"
    capabilities = CAPABILITIES

    def __init__(self):
        self.started = {}
        self.ended = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.closed = False

    async def inventory(self):
        return SiteReport((), (), generation="boot")

    async def start(self, order):
        await self.gate.wait()
        if order.script == "refuse":
            raise DriverError("full", reason="start_failed")
        if order.script == "fault":
            raise RuntimeError("oh")
        self.started[order.key] = order

    async def observe(self, cursors):
        return [
            self.ended.get(key)
            or Observation(key, Presence.RUNNING if key in self.started else Presence.ABSENT)
            for key in cursors
        ]

    async def keys(self):
        return frozenset(self.started)

    async def forget(self, key):
        self.started.pop(key, None)

    async def close(self):
        self.closed = True


class Site:
    """A hub's driver, a line, and an agent that runs the driver above."""

    def __init__(self, folder, **more):
        self.folder = folder
        self.line = Line("hub", "far")
        (folder / "hub").mkdir()
        context = DriverContext("hub", "far", folder / "hub", lambda: None, lambda: 0)
        self.hub = agent_driver(context, {"flavors": (), "answer_within": "25s", **more})
        self.line.plug(self.hub.mailbox, ((), (), ()))
        self.memory = Memory()
        self.running = None

    async def __aenter__(self):
        place = self.folder / "agent"
        place.mkdir()
        self.agent = Agent(
            self.line,
            State(place),
            place,
            site="far",
            driver=("memory", lambda _context, _settings: self.memory),
            settings={},
            now_ms=lambda: 0,
            backoff=AT_ONCE,
        )
        self.running = asyncio.ensure_future(self.agent.run())
        return self

    async def __aexit__(self, *_error):
        self.running.cancel()
        with contextlib.suppress(asyncio.CancelledError, ConflictError):
            await self.running
        await self.agent.close()
        assert self.memory.closed


async def until(condition):
    """Let others go on until something holds."""
    while not condition():  # noqa: ASYNC110 - what is waited for knows nothing of us
        await asyncio.sleep(0.001)


def text_of(path):
    return Path(path).read_text()


def told(folder, story, **more):
    """Run a story with a site."""

    async def run():
        async with Site(folder, **more) as site:
            async with asyncio.timeout(30):
                await story(site)

    asyncio.run(run())


def test_only_what_both_sides_can_do_is_declared(tmp_path):
    async def story(site):
        report = await site.hub.inventory()
        assert report.capabilities == {Capability.ARRAYS}
        assert report.generation == f"boot@{State(tmp_path / 'agent').memory.agent}"

    told(tmp_path, story)


def test_an_unknown_order_is_answered_as_unsupported():
    async def run():
        worker = Worker(Memory(), None, "a")
        answer = await worker.carry_out(Order(3, "levitate", msgspec.Raw(b"{}")))
        assert (answer.id, answer.fault.code) == (3, "unsupported")
        answer = await worker.carry_out(Order(4, "forget", msgspec.Raw(b'{"keys": 1}')))
        assert (answer.fault.code, answer.fault.effect_unknown) == ("unsupported", False)

    asyncio.run(run())


@pytest.mark.parametrize(("script", "unknown"), [("refuse", False), ("fault", True)])
def test_what_a_driver_says_reaches_the_hub(tmp_path, script, unknown):
    async def story(site):
        with pytest.raises(DriverError) as caught:
            await site.hub.start(an_order(script=script, command=()))
        assert caught.value.effect_unknown is unknown
        assert caught.value.reason == ("" if unknown else "start_failed")

    told(tmp_path, story)


def test_a_start_that_is_under_way_is_not_absent(tmp_path):
    async def story(site):
        site.memory.gate.clear()
        starting = asyncio.ensure_future(site.hub.start(an_order()))
        await until(lambda: "start" in site.line.carried)
        (seen,) = await site.hub.observe({KEY: ""})
        assert seen.presence is Presence.UNKNOWN
        starting.cancel()
        (seen,) = await site.hub.observe({KEY: ""})
        assert seen.presence is Presence.UNKNOWN
        site.memory.gate.set()
        while seen.presence is Presence.UNKNOWN:
            (seen,) = await site.hub.observe({KEY: ""})
        assert seen.presence is Presence.RUNNING
        (other,) = await site.hub.observe({"hub-a2-1": ""})
        assert other.presence is Presence.ABSENT

    told(tmp_path, story)


def test_orders_of_a_lower_epoch_are_refused(tmp_path):
    async def story(site):
        assert await site.hub.keys() == frozenset()
        site.line.epoch -= 1
        with pytest.raises(DriverError, match="orders of epoch 6 are refused") as caught:
            await site.hub.start(an_order())
        assert not caught.value.effect_unknown
        assert not site.memory.started
        with pytest.raises(StaleEpochError):
            State(tmp_path / "agent").check("hub", "far", 6)
        site.line.epoch += 2
        await site.hub.start(an_order())
        assert set(site.memory.started) == {KEY}

    told(tmp_path, story)


def test_answers_survive_a_line_that_breaks(tmp_path):
    async def story(site):
        site.memory.gate.clear()
        starting = asyncio.ensure_future(site.hub.start(an_order()))
        await until(lambda: site.agent._tasks)
        site.line.whole.clear()
        site.line.break_off()
        site.memory.gate.set()
        await until(lambda: KEY in site.memory.started)
        assert not starting.done()
        site.line.whole.set()
        await starting

    told(tmp_path, story)


def test_inputs_come_by_content_and_go_with_the_last_attempt(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "a").write_text("same")
    (source / "b").write_text("same")
    (source / "link").symlink_to("/etc/passwd")

    async def story(site):
        inputs = (StagedInput("in", str(source)), StagedInput("gone", str(tmp_path / "no")))
        for number in (1, 2):
            await site.hub.start(an_order(key=f"hub-a{number}-1", inputs=inputs))
        contents = tmp_path / "agent" / "contents"
        got = site.memory.started["hub-a2-1"].inputs
        assert [one.target for one in got] == ["in/a", "in/b", "gone"]
        assert [text_of(one.source) for one in got[:2]] == ["same", "same"]
        assert not (tmp_path / got[2].source).exists()
        assert len(list(contents.iterdir())) == 1
        await site.hub.forget("hub-a1-1")
        assert len(list(contents.iterdir())) == 1
        await site.hub.forget("hub-a2-1")
        assert not list(contents.iterdir())

    told(tmp_path, story)


def test_ends_wait_until_the_hub_has_what_tasks_left(tmp_path):
    async def story(site):
        goal = tmp_path / "kept"
        await site.hub.start(an_order(artifacts=("*",), artifacts_dir=str(goal)))
        left = tmp_path / "agent" / "artifacts" / KEY / "0" / "deep"
        left.mkdir(parents=True)
        (left / "x y\n").write_text("data")
        (left / "x y\n").chmod(0o755)
        ends = (TaskEnd(0, 1, 2),)
        site.memory.ended[KEY] = Observation(KEY, Presence.ENDED, ends, 1, 1, "c9")
        (seen,) = await site.hub.observe({KEY: "c1"})
        assert (seen.presence, seen.ends, seen.cursor) == (Presence.RUNNING, (), "c1")
        while seen.presence is Presence.RUNNING:
            (seen,) = await site.hub.observe({KEY: "c1"})
        assert (seen.ends, seen.cursor) == (ends, "c9")
        kept = goal / "0" / "deep" / "x y\n"
        assert kept.read_text() == "data"
        assert kept.stat().st_mode & 0o100
        assert not left.exists()

    told(tmp_path, story)


def test_what_an_agent_reads_and_writes_is_its_own(tmp_path):
    """Names come from the site and are not trusted; nor are digests."""

    async def pieces():
        yield b"x"

    async def story(site):
        goal = tmp_path / "kept"
        (tmp_path / "secret").write_text("s")
        await site.hub.start(an_order(artifacts_dir=str(goal)))
        for path in ("", "/abs", "../up", "a/../../up", "a\0b", "."):
            with pytest.raises(Exception, match=r"refused|no such") as caught:
                await site.hub.keep((KEY, 0, path), pieces(), executable=False)
            assert caught.value.http_status == 400, path
        for key in ("hub-a9-1", "other-a1-1", "../hub-a1-1", "x"):
            with pytest.raises(Exception, match="no such attempt"):
                await site.hub.keep((key, 0, "a"), pieces(), executable=False)
            with pytest.raises(Exception, match="no such attempt"):
                await site.hub.input(key, "ab")
        with pytest.raises(Exception, match="no such input"):
            await site.hub.input(KEY, "../../secret")
        (goal / "1").mkdir(parents=True)
        (goal / "1" / "way").symlink_to(tmp_path)
        with pytest.raises(Exception, match="leads through a link"):
            await site.hub.keep((KEY, 1, "way/secret"), pieces(), executable=False)
        assert (tmp_path / "secret").read_text() == "s"
        assert sorted(one.name for one in tmp_path.iterdir()) == ["agent", "hub", "kept", "secret"]

    told(tmp_path, story)


def test_arguments_may_come_from_a_newer_hub():
    for body, kind in (
        (b'{"key": "k", "later": 1}', KeyAsk),
        (b'{"cursors": {}, "deep": true}', ObserveAsk),
    ):
        assert msgspec.json.decode(body, type=kind)
    order = msgspec.to_builtins(StartAsk(an_order()))
    order["order"]["later"] = 1
    assert msgspec.convert(order, StartAsk).order == an_order()
