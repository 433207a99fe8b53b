"""Voucher pools in the store: the ledger and the events say the same, and nothing goes twice."""

import asyncio
import random

import pytest
from tests.unit.storage.voucherbench import DAY_MS, NOW_MS, POOL, YUAN, asks, played

from fenglin.errors import ConflictError, InputError, NotFoundError, StaleEpochError
from fenglin.ledger.accounts import available
from fenglin.ledger.vouchers.claim import Reason
from fenglin.ledger.vouchers.scheme import Reservation


@pytest.fixture
def play(desk):
    return lambda scene: played(desk, scene)


def test_money_goes_from_the_budget_to_a_promise_to_a_charge_and_back(play):
    async def scene(bench):
        await bench.open()
        assert bench.balances() == (1_000, 0, 0)
        (filed,) = await bench.file(asks("a", 300))
        assert (filed.decision.granted_micro, filed.voucher.approved) == (300 * YUAN, False)
        assert bench.balances() == (700, 300, 0)
        assert await bench.charge(50) == 0  # nobody has approved it yet
        await bench.approve("a")
        assert await bench.charge(100) == 100
        assert bench.balances() == (700, 200, 100)
        # 150 were charged and 100 paid by the voucher.
        assert bench.balance(available("ann")) == -50
        back = await bench.take("a", used=True)
        assert (back.voucher.revoked_micro, back.voucher.clawed_micro) == (200 * YUAN, 100 * YUAN)
        assert bench.balances() == (1_000, 0, 0)
        assert bench.balance(available("ann")) == -150

    play(scene)


def test_the_soonest_of_all_pools_pays_first_and_money_the_rest(play):
    async def scene(bench):
        await bench.open("late", valid_days=90)
        await bench.open("soon", valid_days=30)
        await bench.give(asks("a", 50), pool="late")
        await bench.give(asks("b", 50), pool="soon")
        assert await bench.charge(60) == 60
        assert (bench.balances("soon")[1], bench.balances("late")[1]) == (0, 40)
        assert await bench.charge(60, commodity="USD") == 0
        assert await bench.charge(60, item="egress_gb") == 0  # no scheme pays for network
        assert await bench.charge(60, account="bob") == 0
        assert await bench.charge(60) == 40

    play(scene)


def test_each_credit_names_the_charge_that_it_pays(play):
    async def scene(bench):
        await bench.open()
        await bench.give(asks("a", 50))
        await bench.charge(20)
        rows = bench.here.sql(
            "SELECT job, memo, details FROM ledger_entry WHERE kind = 'voucher' ORDER BY seq DESC"
        )
        job, memo, details = rows[0]
        assert (job, memo) == (7, "voucher gz-2023/a")
        assert '["pays","post:x/1"]' in details

    play(scene)


def test_charges_before_the_approval_are_paid_when_somebody_says_so(play):
    async def scene(bench):
        await bench.open()
        for yuan in (30, 40, 50):
            await bench.charge(yuan)
        await bench.give(asks("a", 100))
        assert await bench.use(60, key="k") == 60
        assert await bench.use(60, key="k") == 60
        assert bench.balances() == (900, 40, 60)
        with pytest.raises(ConflictError, match="something else"):
            await bench.use(59, key="k")
        with pytest.raises(ConflictError, match=r"can pay 40\.00 CNY .* not 41\.00 CNY"):
            await bench.use(41)
        assert await bench.use() == 40
        assert await bench.use() == 0
        assert bench.balances() == (900, 0, 100)

    play(scene)


def test_no_more_is_paid_than_was_charged_and_nothing_twice(play):
    async def scene(bench):
        await bench.open()
        await bench.charge(30)
        await bench.give(asks("a", 100))
        await bench.charge(20)
        assert bench.balances() == (900, 80, 20)
        with pytest.raises(ConflictError):
            await bench.use(31)
        assert await asyncio.gather(*(bench.use() for _ in range(4))) == [30, 0, 0, 0]
        assert bench.balances() == (900, 50, 50)

    play(scene)


def test_a_voucher_that_is_named_must_be_usable_and_the_accounts_own(play):
    async def scene(bench):
        await bench.open()
        await bench.charge(500)
        await bench.file(asks("new", 10))
        await bench.give(asks("a", 10), asks("b", 10), asks("bobs", 10, account="bob"))
        for name, error, what in (
            ("new", ConflictError, "not approved"),
            ("bobs", NotFoundError, "no voucher 'bobs'"),
            ("none", NotFoundError, "no voucher 'none'"),
        ):
            with pytest.raises(error, match=what):
                await bench.use(voucher=(POOL, name))
        assert await bench.use(voucher=(POOL, "b")) == 10
        with pytest.raises(ConflictError, match="nothing of it is left"):
            await bench.use(voucher=(POOL, "b"))
        with pytest.raises(ConflictError, match="expired"):
            await bench.use(voucher=(POOL, "a"), now_ms=NOW_MS + 90 * DAY_MS)

    play(scene)


def test_applications_at_once_are_promised_no_more_than_there_is(play):
    async def scene(bench):
        await bench.open()
        asked = (bench.file(asks(f"a{n}", 300)) for n in range(5))
        rows = await asyncio.gather(*asked)
        granted = [row[0].decision.granted_micro // YUAN for row in rows]
        assert sorted(granted) == [0, 100, 300, 300, 300]
        assert bench.balances() == (0, 1_000, 0)

    play(scene)


def test_charges_uses_and_clawbacks_at_once_overdraw_nothing(play):
    async def scene(bench):
        await bench.open()
        await bench.give(*(asks(f"a{n}", 40) for n in range(3)))
        work = [bench.charge(15) for _ in range(10)]
        work += [bench.use(5) for _ in range(5)]
        work += [bench.take("a1", used=True), bench.take("a2")]
        results = await asyncio.gather(*work, return_exceptions=True)
        wrong = [one for one in results if isinstance(one, BaseException)]
        assert all(isinstance(one, ConflictError) for one in wrong), wrong
        free, reserved, paid = bench.balances()
        assert free + reserved + paid == 1_000
        assert min(free, reserved, paid) >= 0

    play(scene)


def test_an_application_is_filed_once_and_never_changed(play):
    async def scene(bench):
        await bench.open()
        first = await bench.file(asks("a", 10))
        assert await bench.file(asks("a", 10)) == first
        with pytest.raises(ConflictError, match="another content"):
            await bench.file(asks("b", 1), asks("a", 11))
        assert len(await bench.rooms.records([], "", 0, 9)) == 1
        assert bench.balances() == (990, 10, 0)

    play(scene)


def test_a_pool_that_is_divided_pro_rata_waits_for_its_round(play):
    async def scene(bench):
        await bench.open(reservation=Reservation.PRO_RATA)
        for name, yuan in (("a", 1_500), ("b", 500)):
            (filed,) = await bench.file(asks(name, yuan))
            assert filed.decision is None
        with pytest.raises(NotFoundError):
            await bench.approve("a")
        assert (await bench.rooms.pools(POOL))[0].waiting == 2
        rows = await bench.rooms.round(bench.here.epoch, POOL, "bo", NOW_MS)
        assert [row.decision.granted_micro // YUAN for row in rows] == [750, 250]
        assert await bench.rooms.round(bench.here.epoch, POOL, "bo", NOW_MS) == ()
        audit = await bench.rooms.audit(POOL, "", "")
        assert {one.who for one in audit.decisions} == {"bo"}

    play(scene)


def test_what_has_expired_is_free_for_the_next_application(play):
    async def scene(bench):
        await bench.open()
        await bench.give(asks("a", 1_000))
        later = NOW_MS + 90 * DAY_MS
        assert await bench.rooms.lapse(bench.here.epoch, later - 1) == 0
        assert await bench.charge(1, now_ms=later) == 0
        (row,) = await bench.file(asks("b", 700), now_ms=later)
        assert (row.decision.granted_micro, bench.balances()) == (700 * YUAN, (300, 700, 0))
        assert await bench.rooms.lapse(bench.here.epoch, later) == 0

    play(scene)


def test_the_clock_frees_what_has_expired(play):
    async def scene(bench):
        await bench.open()
        await bench.open("other")
        await bench.give(asks("a", 10))
        await bench.give(asks("b", 20), pool="other")
        assert await bench.rooms.lapse(bench.here.epoch, NOW_MS + 90 * DAY_MS) == 2
        assert (bench.balances()[0], bench.balances("other")[0]) == (1_000, 1_000)

    play(scene)


def test_a_contract_is_subsidised_once_over_all_pools(play):
    async def scene(bench):
        await bench.open()
        await bench.open("other")
        await bench.file(asks("a", 10))
        (row,) = await bench.file(asks("b", 10, contract="a"), pool="other")
        assert row.decision.reasons == (Reason.SUBSIDISED_ALREADY,)
        await bench.take("a")
        (row,) = await bench.file(asks("c", 10, contract="a"), pool="other")
        assert row.decision.granted_micro == 10 * YUAN

    play(scene)


def test_a_pool_keeps_its_rules(play):
    async def scene(bench):
        first = await bench.open()
        await bench.file(asks("a", 10))
        again = await bench.open()
        assert (first.free_micro, again.free_micro) == (1_000 * YUAN, 990 * YUAN)
        with pytest.raises(ConflictError, match="other rules"):
            await bench.open(valid_days=91)
        with pytest.raises(InputError, match="does not say: valid_days"):
            await bench.open("new", valid_days=None)
        for wrong in (
            bench.file(asks("x", 1), pool="none"),
            bench.take("a", pool="none"),
            bench.rooms.audit("none", "", ""),
            bench.rooms.audit(POOL, "none", ""),
            bench.rooms.audit(POOL, "a", "bob"),
            bench.rooms.pools("none"),
        ):
            with pytest.raises(NotFoundError):
                await wrong

    play(scene)


def test_what_fails_leaves_nothing_behind(play):
    async def scene(bench):
        await bench.open()
        with pytest.raises(InputError):
            await bench.file(asks("a", 10), asks("b", 10, account="a\tb"))
        await bench.give(asks("c", 10))
        await bench.charge(4)
        with pytest.raises(InputError, match="not printable"):
            await bench.take("c", why="\x1b[2J")
        with pytest.raises(ConflictError, match=r"exceeds the 4\.00 CNY used"):
            await bench.take("c", 5, used=True)
        with pytest.raises(StaleEpochError):
            await bench.rooms.file(bench.here.epoch - 1, POOL, [asks("d", 10)], "bo", NOW_MS)
        assert [one.application.id for one in await bench.rooms.records([], "", 0, 9)] == ["c"]
        assert bench.balances() == (990, 6, 4)

    play(scene)


def test_taking_back_under_one_key_takes_once(play):
    async def scene(bench):
        await bench.open()
        await bench.give(asks("a", 10))
        await bench.charge(8)
        for _ in range(2):
            await bench.take("a", 3, used=True, key="k")
        assert bench.balances() == (993, 2, 5)
        with pytest.raises(ConflictError, match="something else"):
            await bench.take("a", 4, used=True, key="k")

    play(scene)


def test_a_tenant_sees_its_own_and_pages_go_on(play):
    async def scene(bench):
        await bench.open()
        await bench.file(asks("a", 1), asks("b", 1, account="bob"), asks("c", 1))
        seen = bench.rooms.records
        assert [one.application.id for one in await seen([], "ann", 0, 9)] == ["a", "c"]
        assert await seen([("account", "bob")], "ann", 0, 9) == []
        assert [one.application.id for one in await seen([("account", "ann")], "ann", 0, 9)] == [
            "a",
            "c",
        ]
        first = await seen([], "", 0, 2)
        rest = await seen([], "", first[-1].number, 2)
        assert [one.application.id for one in (*first, *rest)] == ["a", "b", "c"]
        audit = await bench.rooms.audit(POOL, "", "bob")
        assert {one.event.voucher for one in audit.events} == {"b"}
        assert {one.decision.application.id for one in audit.decisions} == {"b"}

    play(scene)


@pytest.mark.parametrize("seed", range(4))
def test_after_any_history_budget_is_free_reserved_and_paid(play, seed):
    dice = random.Random(seed)

    async def scene(bench):
        await bench.open(reservation=dice.choice([Reservation.FIFO, Reservation.PRO_RATA]))
        now_ms = NOW_MS
        for n in range(20):
            now_ms += dice.randrange(20) * DAY_MS
            what = dice.choice(["give", "charge", "use", "lapse", "revoke", "claw", "file"])
            found = await bench.rooms.records([], "", 0, 100)
            live = [one.voucher for one in found if one.voucher is not None]
            try:
                if what in {"give", "file"}:
                    asked = [asks(f"a{n}.{i}", dice.randrange(1, 400)) for i in range(2)]
                    await getattr(bench, what)(*asked, now_ms=now_ms)
                elif what == "charge":
                    await bench.charge(dice.randrange(1, 300), now_ms=now_ms)
                elif what == "use":
                    await bench.use(dice.randrange(60), now_ms=now_ms)
                elif what == "lapse":
                    await bench.rooms.lapse(bench.here.epoch, now_ms)
                elif live:
                    yuan = dice.choice([0, 0, 5]) if what == "claw" else 0
                    name = dice.choice(live).id
                    await bench.take(name, yuan, used=what == "claw", now_ms=now_ms)
            except ConflictError:
                pass
            found = await bench.rooms.records([], "", 0, 100)
            live = [one.voucher for one in found if one.voucher is not None]
            used = sum(one.used_micro - one.clawed_micro for one in live)
            reserved = sum(one.left_micro for one in live)
            parts = (1_000 * YUAN - reserved - used, reserved, used)
            assert bench.balances() == tuple(part / YUAN for part in parts)
            assert parts[0] >= 0

    play(scene)
