"""One run of one seed, and what it has shown."""

from __future__ import annotations

import contextlib
import gc
import traceback
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

import structlog

from fenglin.errors import FenglinError
from fenglin.ports import crashpoint
from fenglin.testing.dst.knobs import turned
from fenglin.testing.dst.sick import wrapped
from fenglin.testing.dst.virtual import StuckError, this_process
from fenglin.testing.dst.world import FULL, SMALL, World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, MutableMapping, Sequence

    from fenglin.testing.dst.judge import ViolationError
    from fenglin.testing.dst.world import Size

# Of the small runs every so many turns no knob: it looks as often as hubs do, which costs most.
SHIPPED_EVERY = 8
# Lines shown before a violation.
STORY_LINES = 40


@dataclass(slots=True)
class Outcome:
    """What a run has shown.

    Attributes:
        seed, size: Which run it was.
        violation: The first broken promise; None for a good run.
        digest: Hash of the whole trace and of the final database.
        story: Last lines of the trace.
        struck: Faults, in order.
        checks: How often each rule was looked at.
        more: Faults that were asked for besides.
        plain: Whether all of `EXTRAS` were left out.
        figures: Jobs that a hub has acknowledged (a restored backup may know nothing of some),
            runs of tasks, commits, hubs, and steps of the loop.
        virtual_s: How much time has passed in it.
    """

    seed: int
    size: Size
    violation: ViolationError | None
    digest: str
    story: list[str]
    struck: list[str]
    checks: dict[str, int]
    more: tuple[str, ...] = ()
    plain: bool = False
    figures: dict[str, int] = field(default_factory=dict)
    virtual_s: float = 0.0


@contextlib.contextmanager
def _logs_to(world: World) -> Iterator[None]:
    """Let the hubs' log lines stand in the trace; nothing that must be hidden stands in them."""

    def note(
        _logger: object, _name: str, line: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        process = this_process()
        event = line.pop("event")
        cause = _traceback(line.pop("exc_info", None))
        told = f"log {event} {dict(line)}"
        world.hear("the log", told + cause)
        world.trace.note(process.name if process else "-", told)
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[note], cache_logger_on_first_use=False)
    try:
        yield
    finally:
        structlog.configure(**before)


def _traceback(given: object) -> str:
    """Return what a line's `exc_info` would print."""
    if isinstance(given, BaseException):
        return "".join(traceback.format_exception(given))
    return traceback.format_exc() if given else ""


def run_seed(
    seed: int,
    size: Size = FULL,
    sink: Callable[[str], None] | None = None,
    more: Sequence[str] = (),
    *,
    plain: bool = False,
) -> Outcome:
    """Run one seed.

    Args:
        seed: Every choice follows from it.
        size: How large.
        sink: Hears each line of the trace.
        more: Faults that strike besides those that the seed has drawn.
        plain: Leave out all of `EXTRAS`, whatever the seed has drawn.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        return _run(World(seed, size, more, plain=plain), sink)
    finally:
        # What a run leaves behind is all young; the next one shall not carry it along.
        gc.collect(0)
        if collecting:
            gc.enable()


def _run(world: World, sink: Callable[[str], None] | None) -> Outcome:
    seed = world.seed
    world.trace.sink = sink
    knobs = Random(f"{seed}/knobs")  # noqa: S311 - a simulation
    as_shipped = world.size is SMALL and seed % SHIPPED_EVERY == 0
    crashpoint.WATCHERS.append(world.crash_point)
    try:
        with _logs_to(world), turned(knobs, as_shipped=as_shipped), wrapped(world.ward):
            try:
                world.loop.run(world.live())
            except (StuckError, FenglinError) as error:
                world.judge.complain("UP", f"{type(error).__name__}: {error}")
            outcome = _outcome(world)
            world.close()
            return outcome
    finally:
        crashpoint.WATCHERS.remove(world.crash_point)


def _outcome(world: World) -> Outcome:
    story = world.trace.last()
    for complaint in world.loop.complaints:
        world.hear("a complaint", complaint)
        if "KilledError" not in complaint:
            world.judge.complain("UP", complaint)
    for hub in world.hubs:
        if hub.alive and world.judge.broken is None:
            for error in hub.process.unread():
                world.judge.complain("UP", f"nobody has heard that {hub.name} failed: {error!r}")
    for line in world.disk.conn.iterdump():
        world.hear("a row", line)
        world.trace.note("db", line)
    return Outcome(
        seed=world.seed,
        size=world.size,
        violation=world.judge.broken,
        digest=world.trace.digest(),
        story=story,
        struck=world.struck,
        checks=world.judge.checks,
        more=tuple(world.more),
        plain=world.plain,
        figures={
            "jobs": sum(wish.number > 0 for wish in world.wishes),
            "tasks": sum(len(truth.runs) for truth in world.truth.values()),
            "commits": world.disk.commits,
            "hubs": len(world.hubs),
            "steps": world.loop.steps,
        },
        virtual_s=world.loop.time(),
    )


def report(outcome: Outcome) -> str:
    """Return what a person needs who meets a violation: what, where, and how to see it again."""
    figures = ", ".join(f"{name} {count}" for name, count in outcome.figures.items())
    head = f"seed {outcome.seed} ({outcome.size.name}): {figures}, digest {outcome.digest}"
    if outcome.violation is None:
        return f"{head}: every promise was kept"
    again = f"python -m fenglin.testing.dst replay {outcome.seed} --size {outcome.size.name}"
    again += "".join(f" --more '{name}'" for name in outcome.more)
    again += " --plain" * outcome.plain
    story = "\n".join(outcome.story[-STORY_LINES:])
    return f"{head}\nVIOLATION {outcome.violation}\n{story}\nreplay: {again}"
