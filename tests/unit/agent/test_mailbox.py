"""Orders are numbered, sent again until answered, and withdrawn when nobody waits any more."""

import asyncio

import msgspec
import pytest

from fenglin.drivers.agent.mailbox import SILENCE_S, Letters
from fenglin.errors import ConflictError, DriverError, InputError, UnavailableError
from fenglin.wire.agent_views import Answer, Answers, Fault, Hello, OrdersAsk

LONG_S = 60.0


class Clock:
    now_s = 100.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def wakes():
    return []


@pytest.fixture
def box(clock, wakes):
    return Letters("far", lambda: wakes.append(1), clock)


def answer(session, number, value=None, *, fault=None):
    return Answers(session, (Answer(number, msgspec.Raw(msgspec.json.encode(value)), fault),))


async def begun(box, kind, within_s=LONG_S):
    call = asyncio.ensure_future(box.call(kind, {"x": kind}, within_s))
    await asyncio.sleep(0)
    return call


def test_an_order_is_answered(box):
    async def story():
        session = box.hello(Hello(1, "a"))
        call = await begun(box, "keys")
        (order,) = await box.orders(OrdersAsk(session), LONG_S)
        assert (order.id, order.kind, bytes(order.body)) == (1, "keys", b'{"x":"keys"}')
        box.take(answer(session, 1, ["k"]))
        assert await call == b'["k"]'
        assert await box.orders(OrdersAsk(session), 0) == ()

    asyncio.run(story())


def test_a_poll_waits_for_an_order(box):
    async def story():
        session = box.hello(Hello(1, "a"))
        polls = [asyncio.ensure_future(box.orders(OrdersAsk(session), LONG_S)) for _ in range(2)]
        await asyncio.sleep(0)
        call = await begun(box, "keys")
        assert [[order.id for order in found] for found in await asyncio.gather(*polls)] == [
            [1]
        ] * 2
        box.take(answer(session, 1))
        await call

    asyncio.run(story())


def test_orders_that_were_lost_on_their_way_are_sent_again_in_their_order(box):
    async def story():
        session = box.hello(Hello(1, "a"))
        calls = [await begun(box, kind) for kind in ("start", "observe")]
        first = await box.orders(OrdersAsk(session), 0)
        again = await box.orders(OrdersAsk(session), 0)
        assert [order.kind for order in first] == ["start", "observe"]
        assert again == first
        assert [o.id for o in await box.orders(OrdersAsk(session, after=1), 0)] == [2]
        # An agent that has died asks from the beginning: what was answered is gone.
        box.take(answer(session, 2))
        session = box.hello(Hello(1, "a"))
        assert [o.id for o in await box.orders(OrdersAsk(session), 0)] == [1]
        box.take(answer(session, 1))
        await asyncio.gather(*calls)

    asyncio.run(story())


def test_no_answer_is_unknown_only_when_the_order_was_handed_out(box):
    async def story():
        session = box.hello(Hello(1, "a"))
        unheard = await begun(box, "start", 0.01)
        with pytest.raises(DriverError) as caught:
            await unheard
        assert not caught.value.effect_unknown
        assert await box.orders(OrdersAsk(session), 0) == ()

        heard = await begun(box, "start", 0.01)
        assert len(await box.orders(OrdersAsk(session), 0)) == 1
        with pytest.raises(DriverError) as caught:
            await heard
        assert caught.value.effect_unknown
        assert await box.orders(OrdersAsk(session), 0) == ()
        box.take(answer(session, 2))  # too late, and no error

    asyncio.run(story())


def test_a_call_that_is_given_up_is_withdrawn(box):
    async def story():
        session = box.hello(Hello(1, "a"))
        call = await begun(box, "start")
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        assert await box.orders(OrdersAsk(session), 0) == ()

    asyncio.run(story())


@pytest.mark.parametrize(
    ("fault", "kind", "hint"),
    [
        (Fault("site_error", "full", effect_unknown=True, reason="start_failed"), DriverError, ""),
        (Fault("bad_input", "no key"), InputError, ""),
        (Fault("unsupported", "what?"), DriverError, "upgrade the agent"),
        (Fault("stale_epoch", "old", hint="stop it"), DriverError, "stop it"),
    ],
)
def test_faults_are_raised(box, fault, kind, hint):
    async def story():
        session = box.hello(Hello(1, "a"))
        call = await begun(box, "start")
        await box.orders(OrdersAsk(session), 0)
        box.take(answer(session, 1, fault=fault))
        with pytest.raises(kind) as caught:
            await call
        assert (caught.value.what, caught.value.hint) == (fault.what, hint)
        if kind is DriverError:
            told = (caught.value.effect_unknown, caught.value.reason)
            assert told == (fault.effect_unknown, fault.reason)

    asyncio.run(story())


def test_a_session_ends_with_the_next_hello(box):
    async def story():
        with pytest.raises(ConflictError):
            await box.orders(OrdersAsk(""), 0)
        first = box.hello(Hello(1, "a"))
        poll = asyncio.ensure_future(box.orders(OrdersAsk(first), LONG_S))
        await asyncio.sleep(0)
        second = box.hello(Hello(1, "a"))
        with pytest.raises(ConflictError):
            await poll
        with pytest.raises(ConflictError):
            box.take(Answers(first))
        box.take(Answers(second))

    asyncio.run(story())


def test_a_second_agent_waits_until_the_first_is_silent(box, clock):
    box.hello(Hello(1, "first"))
    clock.now_s += SILENCE_S - 1
    with pytest.raises(UnavailableError, match="another agent"):
        box.hello(Hello(1, "second"))
    box.hello(Hello(1, "first"))
    clock.now_s += SILENCE_S + 1
    box.hello(Hello(1, "second"))
    with pytest.raises(UnavailableError):
        box.hello(Hello(1, "first"))


def test_news_wake_the_hub(box, wakes):
    session = box.hello(Hello(1, "a"))
    assert len(wakes) == 1
    box.take(Answers(session))
    assert len(wakes) == 1
    box.take(Answers(session, news=True))
    assert len(wakes) == 2


def test_a_hub_that_was_just_started_does_not_wait_long(box):
    async def story():
        with pytest.raises(DriverError, match="no agent has called yet"):
            await box.met(0.01)
        box.hello(Hello(1, "a"))
        await box.met(0.01)

    asyncio.run(story())
