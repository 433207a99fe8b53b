"""A round: applications in the order of filing, decided together against one pool."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fenglin.errors import ConflictError
from fenglin.ledger.vouchers.claim import Decision, Reason, check_application, entitle
from fenglin.ledger.vouchers.scheme import UNIT_MICRO, Reservation
from fenglin.quantities.money import format_money
from fenglin.quantities.split import largest_remainder

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from fenglin.ledger.vouchers.claim import Application, Trail
    from fenglin.ledger.vouchers.pool import Pool


def decide(
    pool: Pool,
    applications: Sequence[Application],
    elsewhere: Collection[tuple[str, str]] = (),
) -> tuple[Decision, ...]:
    """Decide on applications; each is answered in its place.

    Caps, quotas and contracts count what earlier applications of the same round were given, so
    nobody gains by filing twice. A pool that was divided is not divided again within a round: what
    caps leave over stays free for the next.

    Args:
        pool: As it is now; expired vouchers should have lapsed.
        applications: In the order of filing.
        elsewhere: (seller, contract) that other pools have subsidised.

    Raises:
        InputError: an application cannot be judged.
        ConflictError: an id was decided on already.
    """
    seen: set[str] = set(pool.vouchers)
    for asked in applications:
        check_application(asked)
        if asked.id in seen:
            raise ConflictError("it was decided on already", where=f"application {asked.id}")
        seen.add(asked.id)
    trails = _Round(pool, set(elsewhere)).run(applications)
    if pool.rules.reservation is Reservation.PRO_RATA:
        _share_out(pool, trails)
    return tuple(
        Decision(asked, trail.amount_micro, tuple(trail.steps))
        for asked, trail in zip(applications, trails, strict=True)
    )


class _Round:
    """What has been promised so far, in the pool and in this round."""

    def __init__(self, pool: Pool, deals: set[tuple[str, str]]) -> None:
        self._rules = pool.rules
        self._free_micro = pool.free_micro
        self._deals = deals
        self._firms: dict[str, int] = {}
        self._accounts: dict[str, int] = {}
        for one in pool.vouchers.values():
            self._note(one.firm, one.account, one.deal, one.counted_micro)

    def run(self, applications: Sequence[Application]) -> list[Trail]:
        """Return each application's trail up to its share of the budget."""
        return [self._one(asked) for asked in applications]

    def _one(self, asked: Application) -> Trail:
        rules = self._rules
        trail = entitle(rules, asked, taken=asked.deal in self._deals)
        cap_micro = rules.firm_cap_micro - self._firms.get(asked.firm, 0)
        trail.at_most(cap_micro, Reason.FIRM_CAP, "the firm's cap of the year")
        if rules.reservation is Reservation.QUOTA:
            quota_micro = dict(rules.quotas).get(asked.account, 0)
            left_micro = quota_micro - self._accounts.get(asked.account, 0)
            trail.at_most(left_micro, Reason.QUOTA, f"the quota of {asked.account}")
        if rules.reservation is not Reservation.PRO_RATA:
            trail.at_most(self._free_micro, Reason.BUDGET, "the pool's budget")
        whole_micro = trail.amount_micro - trail.amount_micro % UNIT_MICRO
        trail.to(whole_micro, Reason.ROUNDED, "cut to whole fen")
        self._free_micro -= trail.amount_micro
        self._note(asked.firm, asked.account, asked.deal, trail.amount_micro)
        return trail

    def _note(self, firm: str, account: str, deal: tuple[str, str], amount_micro: int) -> None:
        if amount_micro:
            self._firms[firm] = self._firms.get(firm, 0) + amount_micro
            self._accounts[account] = self._accounts.get(account, 0) + amount_micro
            self._deals.add(deal)


def _share_out(pool: Pool, trails: Sequence[Trail]) -> None:
    """Give all the same fraction, in whole fen, when the budget does not reach for all."""
    weights = [trail.amount_micro // UNIT_MICRO for trail in trails]
    free = pool.free_micro // UNIT_MICRO
    if sum(weights) <= free:
        return
    # A share of less than the whole, rounded up, is never above the weight.
    wanted = format_money(sum(weights) * UNIT_MICRO, pool.rules.commodity)
    there = format_money(free * UNIT_MICRO, pool.rules.commodity)
    for trail, part in zip(trails, largest_remainder(free, weights), strict=True):
        trail.to(part * UNIT_MICRO, Reason.PRO_RATA, f"the round asks for {wanted} of {there}")
