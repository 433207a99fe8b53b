"""Users: they ask, ask again with the same key until they are answered, cancel, and look."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from msgspec.structs import replace

from fenglin.errors import (
    ConflictError,
    FenglinError,
    InputError,
    NotFoundError,
    UnavailableError,
)
from fenglin.model.ids import job_id, parse_job_id
from fenglin.model.job import Dependency
from fenglin.ports.hub import Principal
from fenglin.testing.dst.virtual import KilledError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from fenglin.engine.service import HubService
    from fenglin.testing.dst.hub import Hub
    from fenglin.testing.dst.workload import Wish
    from fenglin.testing.dst.world import World
    from fenglin.wire.views import JobView, Submitted

D = TypeVar("D")
T = TypeVar("T")
ADMIN = Principal("admin", frozenset({"admin"}))
# A client gives up waiting for one answer after this long, and asks again.
ANSWER_WITHIN_S = 30.0
MOST_PAUSE_S = 8.0
# A user whose secret is missing submits again after this time.
AGAIN_S = 60.0
# Where all is well, what was cancelled has ended by then: looks, stop, grace and looks again.
STOPPED_WITHIN_S = 110.0
# Accounts without means get some so many times in a run, for each job that users want.
GIFTS = 7
GIFT_PER_JOB_MICRO = 8_000


class LostError(Exception):
    """No answer came; what was asked may have happened."""


async def ask(world: World, hub: Hub, what: Callable[[HubService], Awaitable[T]]) -> T:
    """Have a hub serve one request, as its door does.

    Raises:
        LostError: it died, stood still for too long, or the answer was lost on its way.
        FenglinError: its answer.
    """
    loop, service = world.loop, hub.service
    if service is None or not hub.alive:
        raise LostError(f"{hub.name} does not listen")
    answer: asyncio.Future[T] = loop.create_future()

    async def serve() -> None:
        try:
            value = await what(service)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - handed to the client
            world.hear("an error", f"{error!r} {error}")
            reply(answer.set_exception, error)
        else:
            world.hear("an answer", value)
            reply(answer.set_result, value)

    def reply(give: Callable[..., None], value: object) -> None:
        if world.random.random() >= world.lose_reply:
            world.process_free(
                loop.call_later, world.random.random() * 0.01, _give, answer, give, value
            )

    task = hub.process.run(loop.create_task, serve())
    hub.requests[answer] = None
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S * (0.2 + world.random.random())):
            return await answer
    except TimeoutError:
        # The connection closes; a hub that sees it gives up serving.
        if hub.alive:
            hub.process.run(loop.call_soon, task.cancel)
        raise LostError(f"{hub.name} did not answer in time") from None
    finally:
        hub.requests.pop(answer, None)


def _give(answer: asyncio.Future[T], give: Callable[..., None], value: object) -> None:
    if not answer.done():
        give(value)


async def persist(world: World, what: Callable[[HubService], Awaitable[T]]) -> T:
    """Ask whoever leads until there is an answer that means something.

    Raises:
        FenglinError: an answer that asking again cannot change.
    """
    pause_s = 0.2
    while True:
        try:
            return await ask(world, world.leader, what)
        except (LostError, UnavailableError, KilledError):
            await asyncio.sleep(pause_s * (0.5 + world.random.random()))
            pause_s = min(MOST_PAUSE_S, pause_s * 2)


async def at_desk(
    world: World, of: Callable[[Hub], D | None], what: Callable[[D], Awaitable[T]]
) -> T:
    """Ask one of the desks of whoever leads until there is an answer that means something.

    Args:
        world: Whose hubs are asked.
        of: Takes the desk off a hub; None where it is not open.
        what: Is asked there.

    Raises:
        FenglinError: an answer that asking again cannot change.
    """

    async def enter(service: HubService) -> T:
        for hub in world.hubs:
            if hub.service is service and (desk := of(hub)) is not None:
                return await what(desk)
        raise UnavailableError("no desk is open")

    return await persist(world, enter)


async def want(world: World, wish: Wish, wishes: list[Wish]) -> None:
    """See one wish through: submit, perhaps again, perhaps cancel."""
    await asyncio.sleep(wish.at_s)
    spec = wish.spec
    after = []
    for parent, condition, per_task in wish.parents:
        other = wishes[parent]
        if other.number and other.spec.account == spec.account:
            after.append(Dependency(job_id(other.number), condition, per_task))
    spec = wish.spec = replace(spec, after=tuple(after))
    principal = Principal(f"user-{spec.account}", frozenset({"write"}), spec.account)
    body = spec.name.encode()
    try:
        for _ in range(1 + wish.again):
            answers = await _submitted(
                world, lambda hub: hub.submit([spec], principal, wish.key, body)
            )
            wish.answers.append(parse_job_id(answers[0].id))
            wish.number, wish.lost = wish.answers[0], False
    except InputError as error:
        wish.refused = str(error)
        world.trace.note("user", f"{wish.key} refused: {error}")
        return
    world.judge.must("J2", len(set(wish.answers)) < 2, f"{wish.key} became {wish.answers}")
    world.trace.note("user", f"{wish.key} is j{wish.number}")
    try:
        await _go_on(world, wish, principal)
    except NotFoundError:
        world.judge.must("J1", wish.lost, f"j{wish.number} was acknowledged and is not found")


async def _submitted(
    world: World, what: Callable[[HubService], Awaitable[Sequence[Submitted]]]
) -> Sequence[Submitted]:
    """Submit; where a secret is missing, again until its owner has set it."""
    while True:
        try:
            return await persist(world, what)
        except InputError as error:
            # For now: its owner sets it again.
            if not error.where.startswith("secrets."):
                raise
            await asyncio.sleep(AGAIN_S)


async def _go_on(world: World, wish: Wish, principal: Principal) -> None:
    """Do with an acknowledged job what its user has in mind."""
    if wish.again and not wish.lost:
        await _contradict(world, wish, principal)
    await _look(world, wish)
    if not wish.cancel_s:
        return
    await asyncio.sleep(max(0.0, wish.cancel_s - world.loop.time()))
    view = await _cancel(world, wish, principal)
    world.judge.must("J2", view.name == wish.spec.name, f"{wish.key} has cancelled {view.name}")
    wish.cancel_answer = view.state
    world.trace.note("user", f"cancel of j{wish.number} answered: {view.state}")
    await asyncio.sleep(STOPPED_WITHIN_S)
    living = [run.key for run in world.judge.running_of(wish.number) if world.is_well(run.site)]
    late = living if world.is_led() and wish.cancel_answer else []
    world.judge.must("J6", not late, f"j{wish.number} was cancelled and still runs as {late[:1]}")


async def _cancel(world: World, wish: Wish, principal: Principal) -> JobView:
    """Cancel; what is set aside is asked for again until it is let go."""
    while True:
        try:
            return await persist(world, lambda hub: hub.cancel(wish.number, principal))
        except ConflictError:
            if world.ward is None or wish.number not in world.ward.ever:
                raise
            await asyncio.sleep(60)


async def _contradict(world: World, wish: Wish, principal: Principal) -> None:
    """Send another body under the same key: it must be refused (J2)."""
    other = replace(wish.spec, name=f"not-{wish.spec.name}", secrets=())
    try:
        taken = await persist(world, lambda hub: hub.submit([other], principal, wish.key, b"other"))
    except ConflictError:
        world.judge.must("J2", good=True, what="")
    else:
        if wish.lost:
            wish.stray = parse_job_id(taken[0].id)
            return
        world.judge.complain("J2", f"{wish.key} was taken with another body")


async def _look(world: World, wish: Wish) -> None:
    """Look at the job as its owner, and as a stranger, who must see nothing (S1)."""
    if world.random.random() >= world.look_share:
        return
    owner = Principal("owner", frozenset({"read"}), wish.spec.account)
    view = await persist(world, lambda hub: hub.job(wish.number, owner))
    world.judge.must("J1", view.name == wish.spec.name, f"j{wish.number} is {view.name}")
    stranger = Principal("stranger", frozenset({"read"}), "nobody")
    told = []
    for number in (wish.number, 10**9):
        try:
            await persist(world, lambda hub, number=number: hub.job(number, stranger))  # type: ignore[misc]
            told.append("shown")
        except NotFoundError as error:
            told.append(str(error).replace(job_id(number), "ID"))
    world.judge.must("S1", told[0] == told[1] != "shown", f"a stranger was told {told}")


async def pay_in(world: World, account: str, amount_micro: int, key: str, hours: str = "") -> None:
    """Enter money or hours for an account, once, however often it has to be asked."""
    from fenglin.wire.account_views import MoneyMove  # noqa: PLC0415 - as the door imports it

    move = MoneyMove(amount_micro=amount_micro, key=key, hours=hours)
    try:
        await at_desk(
            world, lambda hub: hub.accounts, lambda desk: desk.deposit(account, move, ADMIN)
        )
        world.paid_in[f"{'grant' if hours else 'deposit'}:{key}"] = amount_micro
    except FenglinError as error:
        world.trace.note("user", f"deposit {key} refused: {error}")


async def sponsor(world: World) -> None:
    """Pay in for those who run dry, now and then, whatever goes wrong meanwhile."""
    for gift in range(1, GIFTS + 1):
        await asyncio.sleep(world.size.span_s / (GIFTS + 1))
        for account in ("lab", "poor"):
            await pay_in(world, account, GIFT_PER_JOB_MICRO * world.size.jobs, f"{gift}-{account}")
