"""What goes wrong in a run, drawn from its seed: every row of the fault matrix that a hub can meet.

Each fault strikes a place for a while and is undone. `CATALOGUE` names them all; the names stand
in reports, so that a soak can say which of them it has covered.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from fenglin.errors import FenglinError
from fenglin.ports.crashpoint import POINTS
from fenglin.testing.dst.users import ADMIN, persist

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fenglin.testing.dst.world import World

# Points on the drivers' side of a call are not passed here: these drivers are the world's.
HUB_POINTS = tuple(point for point in POINTS if point not in ("c4", "c8"))
HOUR_MS = 3_600_000


async def _line(world: World, seconds: float, site: str, **bad: object) -> None:
    weather = world.weather[site]
    for name, value in bad.items():
        setattr(weather, name, value)
    world.foul(site)
    await asyncio.sleep(seconds)
    fresh = type(weather)()
    for name in bad:
        setattr(weather, name, getattr(fresh, name))
    world.foul(site)


async def _lie(world: World, seconds: float, site: str, **bad: object) -> None:
    lies = world.truth[site].lies
    for name, value in bad.items():
        setattr(lies, name, value)
    world.foul(site)
    await asyncio.sleep(seconds)
    fresh = type(lies)()
    for name in bad:
        setattr(lies, name, getattr(fresh, name))
    world.foul(site)


def _of_line(longest_s: float, **bad: object) -> Callable[[World], Awaitable[None]]:
    async def strike(world: World) -> None:
        site = world.any_site()
        await _line(world, longest_s * world.random.uniform(0.1, 1.0), site, **bad)

    return strike


def _of_lie(longest_s: float, **bad: object) -> Callable[[World], Awaitable[None]]:
    async def strike(world: World) -> None:
        site = world.any_site()
        await _lie(world, longest_s * world.random.uniform(0.1, 1.0), site, **bad)

    return strike


async def _node_lost(world: World) -> None:
    truth = world.truth[world.any_site()]
    node = world.random.choice(truth.site.nodes).name
    truth.lose_node(node)
    await asyncio.sleep(world.random.random() * 3_600)
    truth.down_nodes.discard(node)


async def _reboot(world: World) -> None:
    world.truth[world.any_site()].reboot()


async def _runner_lost(world: World) -> None:
    world.truth[world.any_site()].lose_runner()


async def _memory_lost(world: World) -> None:
    world.truth[world.any_site()].lose_memory()


async def _site_clock(world: World) -> None:
    truth = world.truth[world.any_site()]
    truth.skew_ms = world.random.choice((-HOUR_MS, -5_000, 5_000, HOUR_MS))
    await asyncio.sleep(world.random.random() * 7_200)
    truth.skew_ms = 0


async def _hub_clock(world: World) -> None:
    world.hub_skew_ms = world.random.choice((-HOUR_MS, -5_000, 5_000, HOUR_MS))
    await asyncio.sleep(world.random.random() * 7_200)
    world.hub_skew_ms = 0


async def _kill(world: World) -> None:
    world.kill_leader("SIGKILL")


async def _kill_at_step(world: World) -> None:
    hub = world.leader
    hub.process.dies_at_step = hub.process.steps + 1 + int(world.random.random() ** 2 * 3_000)


async def _kill_at_point(world: World) -> None:
    world.crash_at = (world.random.choice(HUB_POINTS), world.random.randint(1, 3))
    await asyncio.sleep(1_800)
    world.crash_at = ("", 0)


async def _kill_in_start(world: World) -> None:
    """Kill the hub, and the next one as well while it comes up."""
    world.next_dies_at_step = 1 + int(world.random.random() * 150)
    world.kill_leader("SIGKILL, and the next one while it starts")


async def _pause(world: World) -> None:
    hub = world.leader
    world.trace.note(hub.name, "SIGSTOP")
    world.loop.pause(hub.process)
    for site in world.truth:
        world.foul(site)
    await asyncio.sleep(world.random.choice((0.5, 5.0, 60.0, 400.0)) * world.random.random())
    world.trace.note(hub.name, "SIGCONT")
    world.loop.go_on(hub.process)
    for site in world.truth:
        world.foul(site)


async def _takeover(world: World) -> None:
    """Stop the leader, let another one lead, and let the old one go on as if it still did."""
    old = world.leader
    world.trace.note(old.name, "SIGSTOP past its lease")
    world.loop.pause(old.process)
    world.start_hub()
    await asyncio.sleep(world.random.choice((0.005, 0.05, 5.0, 60.0)) * world.random.random())
    world.trace.note(old.name, "SIGCONT; it believes that it leads")
    world.loop.go_on(old.process)


async def _disk_full(world: World) -> None:
    world.disk.full = True
    await asyncio.sleep(world.random.random() * 600)
    world.disk.full = False


async def _commits_refused(world: World) -> None:
    world.disk.refuse_next += world.random.randint(1, 5)


async def _disk_slow(world: World) -> None:
    world.disk.slow_s = world.random.choice((0.2, 2.0, 10.0))
    for site in world.truth:
        world.foul(site)
    await asyncio.sleep(world.random.random() * 900)
    world.disk.slow_s = 0.0
    for site in world.truth:
        world.foul(site)


async def _replies_lost(world: World) -> None:
    world.lose_reply = 0.5
    await asyncio.sleep(world.random.random() * 1_800)
    world.lose_reply = 0.0


async def _restore(world: World) -> None:
    """Lose the database at some time after a backup."""
    # The day may end before.
    with contextlib.closing(world.disk.copy()) as kept:
        known = world.judge.remember()
        await asyncio.sleep(world.random.uniform(0.01, 1.0) * 1_800)
        world.restore(kept, known)


async def _drain(world: World) -> None:
    site = world.any_site()
    for drained in (True, False):
        try:
            await persist(
                world,
                lambda hub, drained=drained: hub.set_site(  # type: ignore[misc]
                    site, ADMIN, drained=drained, reason="tests"
                ),
            )
        except FenglinError as error:
            world.judge.complain("UP", f"a drain was refused: {error}")
        await asyncio.sleep(world.random.random() * 1_800 * drained)


CATALOGUE: dict[str, Callable[[World], Awaitable[None]]] = {
    "calls lost": _of_line(900, lose_call=0.4),
    "answers lost": _of_line(900, lose_answer=0.4),
    "requests twice": _of_line(1_800, repeat=0.5),
    "slow site": _of_line(1_800, latency_s=20.0),
    "hanging site": _of_line(900, hangs=True),
    "partition": _of_line(1_800, cut=True),
    "rate limit": _of_line(600, refuses=True),
    "driver fault": _of_line(300, broken=True),
    "wakes lost": _of_line(3_600, sleepy=True),
    "says absent": _of_lie(200, absent=True),
    "ends repeated": _of_lie(3_600, repeats=True),
    "says unknown": _of_lie(900, unknown=True),
    "deaf to stops": _of_lie(1_800, deaf=True),
    "garbage figures": _of_lie(1_800, garbage=True),
    "partial listing": _of_lie(900, partial=True),
    "late usage": _of_lie(1_800, late_s=120.0),
    "node lost": _node_lost,
    "site rebooted": _reboot,
    "runner lost": _runner_lost,
    "site lost its memory": _memory_lost,
    "site clock wrong": _site_clock,
    "hub date jumps": _hub_clock,
    "hub killed": _kill,
    "hub killed at a step": _kill_at_step,
    "hub killed at a point": _kill_at_point,
    "hub killed while it starts": _kill_in_start,
    "hub stopped for a while": _pause,
    "hub stopped past its lease": _takeover,
    "disk full": _disk_full,
    "commits refused": _commits_refused,
    "disk slow": _disk_slow,
    "replies lost": _replies_lost,
    "old backup restored": _restore,
    "site drained": _drain,
}
"""Name → what it does to the world, and how it is undone."""


async def strike(world: World, name: str, at_s: float) -> None:
    """Let a fault strike at its time, and note it."""
    await asyncio.sleep(at_s)
    world.struck.append(name)
    world.trace.note("FAULT", name)
    await CATALOGUE[name](world)
    world.trace.note("FAULT", f"{name}: over")
