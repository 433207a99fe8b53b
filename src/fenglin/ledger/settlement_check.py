"""Three-way reconciliation: what tenants paid is what providers, hub and taxes got.

    charged - vouchers = dues + taxes + fee + others - vouchers

Each side is read from legs of its own: `charged` from the tenants' legs, `dues` from the
providers', fee and taxes from those of the settlement's entry, and each posting's legs are held
against the charges it lists. Nothing here knows a deal. A voucher counts with the provider whose
posting it pays. One that names no posting is divided over the providers that charged the tenant,
by largest remainder; what was given to a tenant who was not charged stands in a row without a
provider. `others` is what a correction took from somebody else, such as the hub's own bank account;
mostly nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from fenglin.errors import FenglinError
from fenglin.ledger.accounts import FEE
from fenglin.ledger.entry import Entry, Head, Kind, imbalance, seal
from fenglin.ledger.moves import PERIOD
from fenglin.ledger.posting import charges_of
from fenglin.ledger.settlement import dues, settle_entry
from fenglin.quantities.split import largest_remainder

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fenglin.ledger.settlement import Settlement
    from fenglin.quantities.period import Period

FORMAT = "fenglin-three-way/1"
MOST_FAULTS = 1_000
KINDS = (Kind.POST, Kind.ADJUST, Kind.VOUCHER)
Place = tuple[str, str]


class Fault(Struct, frozen=True):
    """What does not fit.

    Attributes:
        seq: Of the entry; 0 where no single one is to blame.
        why: For people.
    """

    seq: int
    why: str


class Footing(Struct, frozen=True, kw_only=True):
    """One provider's month in one commodity, all in micro-units.

    Attributes:
        provider: Whose; empty for what concerns none.
        commodity: Of all amounts.
        entries: Postings, corrections and vouchers in it.
        charged_micro: What tenants were charged, corrections included.
        vouchers_micro: What vouchers paid of that.
        dues_micro: What stays the provider's.
        taxes_micro: Gone to authorities.
        fee_micro: Gone to the hub.
        others_micro: What corrections took from others.
        difference_micro: charged - dues - taxes - fee - others; zero when it foots.
        settled: Number of the settlement's entry; 0 while there is none.
    """

    provider: str
    commodity: str
    entries: int
    charged_micro: int
    vouchers_micro: int
    dues_micro: int
    taxes_micro: int
    fee_micro: int
    others_micro: int
    difference_micro: int
    settled: int


class TenantCharge(Struct, frozen=True):
    """What one tenant was charged for one provider's work, corrections included.

    No tenant is named for what a correction moved between providers.
    """

    provider: str
    commodity: str
    tenant: str
    charged_micro: int


class ThreeWay(Struct, frozen=True, kw_only=True):
    """A month's reconciliation.

    Attributes:
        format: `FORMAT`.
        period: `YYYY-MM`.
        grade: What the figures are; from the ledger's entries, so `live`.
        ok: Whether all rows foot and nothing is at fault.
        rows: By provider and commodity.
        charges: What the rows' `charged_micro` are the sums of, by provider, commodity and tenant.
        faults: By entry, at most `MOST_FAULTS`.
    """

    format: str = FORMAT
    period: str
    grade: str = "live"
    ok: bool
    rows: tuple[Footing, ...]
    charges: tuple[TenantCharge, ...]
    faults: tuple[Fault, ...]


class Posted(Struct, frozen=True):
    """A settlement as it was kept when it was posted, and the number of its entry."""

    settlement: Settlement
    seq: int


class _Sums:
    """What a provider's entries sum to."""

    def __init__(self) -> None:
        self.entries = self.charged = self.vouchers = self.dues = 0
        self.taxes = self.fee = self.others = self.settled = 0


class ThreeWayCheck:
    """Takes a month's entries one by one, then its settlements, and tells whether it foots."""

    def __init__(self, period: Period) -> None:
        """Take the month."""
        self._period = period
        self._sums: dict[Place, _Sums] = {}
        self._charges: dict[Place, dict[str, int]] = {}
        self._vouchers: dict[Place, int] = {}
        self._faults: list[Fault] = []

    def unreadable(self, seq: int, why: str) -> None:
        """Take in that a row cannot be read as an entry."""
        self._fault(seq, why)

    def add(self, entry: Entry, paid: Entry | None = None) -> None:
        """Take a posting, correction or voucher of the month; others are passed over.

        Args:
            entry: Of any kind.
            paid: The posting that a voucher pays; None where it names none.
        """
        inside = self._period.from_ms <= entry.time_ms < self._period.to_ms
        if entry.kind not in KINDS or not inside:
            return
        self._judge(entry)
        if entry.kind is Kind.VOUCHER:
            self._voucher(entry, paid)
        else:
            self._move(entry)

    def add_settle(self, entry: Entry) -> None:
        """Take the entry of a settlement; those of other months are passed over."""
        if entry.detail(PERIOD) != str(self._period):
            return
        self._judge(entry)
        for (provider, commodity), amount_micro in dues(entry).items():
            one = self._at((provider, commodity))
            if one.settled:
                self._fault(entry.seq, f"{provider} is settled by entry {one.settled} already")
            one.settled = entry.seq
            one.dues += amount_micro
            for leg in entry.legs:
                if leg.commodity != commodity:
                    continue
                if leg.account == FEE:
                    one.fee += leg.amount_micro
                elif leg.account.startswith("tax:"):
                    one.taxes += leg.amount_micro

    def compare(
        self, posted: Sequence[tuple[Posted, Entry | None]], made: Iterable[Settlement] | None
    ) -> None:
        """Hold what was kept of settlements against their entries, and against making them anew.

        Args:
            posted: Each kept settlement of the month with the entry of its number.
            made: Settlements made from the entries again, each by the deal that was kept; None
                where that is impossible, of which the entries themselves tell.
        """
        anew = {(one.provider, one.commodity): one for one in made or ()}
        kept: set[Place] = set()
        for one, entry in posted:
            was = one.settlement
            place = (was.provider, was.commodity)
            kept.add(place)
            if entry is None or settle_entry(was) != entry.draft:
                self._fault(one.seq, f"it is not the settlement of {was.provider} that was kept")
            now = anew.get(place)
            if made is None:
                continue
            if now is None or now.input_hash != was.input_hash:
                count = now.entries if now else 0
                self._fault(
                    0,
                    f"{was.provider} was settled from {was.entries} entries that are now {count},"
                    " or others",
                )
            elif now != was:
                self._fault(one.seq, f"the settlement of {was.provider} comes to something else")
        for place, sums in self._sums.items():
            if sums.settled and place not in kept:
                self._fault(sums.settled, f"nothing was kept of this settlement of {place[0]}")

    def finish(self) -> ThreeWay:
        """Return the reconciliation."""
        self._share_vouchers()
        rows = [
            Footing(
                provider=provider,
                commodity=commodity,
                entries=one.entries,
                charged_micro=one.charged,
                vouchers_micro=one.vouchers,
                dues_micro=one.dues,
                taxes_micro=one.taxes,
                fee_micro=one.fee,
                others_micro=one.others,
                difference_micro=one.charged - one.dues - one.taxes - one.fee - one.others,
                settled=one.settled,
            )
            for (provider, commodity), one in sorted(self._sums.items())
        ]
        faults = tuple(sorted(self._faults, key=lambda fault: (fault.seq, fault.why)))
        return ThreeWay(
            period=str(self._period),
            ok=not faults and not any(row.difference_micro for row in rows),
            rows=tuple(rows),
            charges=tuple(
                TenantCharge(*place, tenant, amount_micro)
                for place, charges in sorted(self._charges.items())
                for tenant, amount_micro in sorted(charges.items())
            ),
            faults=faults,
        )

    def _at(self, place: Place) -> _Sums:
        return self._sums.setdefault(place, _Sums())

    def _fault(self, seq: int, why: str) -> None:
        if len(self._faults) < MOST_FAULTS:
            self._faults.append(Fault(seq, why))

    def _judge(self, entry: Entry) -> None:
        """Look at an entry alone: its hash, its balance, its charges."""
        head = Head(entry.ledger_id, entry.seq - 1, entry.prev_hash)
        try:
            same = seal(head, entry.draft, entry.time_ms) == entry
            charges = charges_of(entry)
        except (FenglinError, ValueError, OverflowError) as error:
            self._fault(entry.seq, f"it cannot be read: {error}")
            return
        if not same:
            self._fault(entry.seq, "it is not what was entered: its hash is another's")
        off = imbalance(entry.legs)
        if off is not None:
            self._fault(entry.seq, f"its legs do not sum to zero, but to {off[1]} micro-{off[0]}")
        if entry.kind is Kind.POST:
            listed = sum(line.amount_micro for line in charges)
            paid = -sum(leg.amount_micro for leg in entry.legs if _is_tenant(leg.account))
            earned = sum(dues(entry).values())
            if not listed == paid == earned:
                self._fault(
                    entry.seq,
                    f"it lists charges of {listed}, takes {paid} from the tenant and gives {earned}"
                    " to the provider (micro-units)",
                )

    def _move(self, entry: Entry) -> None:
        """Add a posting or correction to the sums of the provider it concerns."""
        owed = dues(entry)
        for commodity in sorted({leg.commodity for leg in entry.legs}):
            mine = {place: owed[place] for place in sorted(owed) if place[1] == commodity}
            paid: dict[str, int] = {}
            others = 0
            for leg in entry.legs:
                if leg.commodity != commodity:
                    continue
                if _is_tenant(leg.account):
                    tenant = leg.account.split(":")[1]
                    paid[tenant] = paid.get(tenant, 0) - leg.amount_micro
                elif not leg.account.startswith("provider:"):
                    others += leg.amount_micro
            # What moves between providers, or past them, is counted where it arrives.
            home = next(iter(mine), ("", commodity))
            for place, amount_micro in mine.items():
                one = self._at(place)
                one.entries += 1
                one.dues += amount_micro
                if place != home:
                    self._charge(place, "", amount_micro)
                    self._charge(home, "", -amount_micro)
            one = self._at(home)
            one.entries += not mine
            one.others += others
            for tenant, amount_micro in paid.items():
                self._charge(home, tenant, amount_micro)

    def _charge(self, place: Place, tenant: str, amount_micro: int) -> None:
        """Add to what a tenant was charged; no tenant for what moved between providers."""
        self._at(place).charged += amount_micro
        charges = self._charges.setdefault(place, {})
        charges[tenant] = charges.get(tenant, 0) + amount_micro

    def _voucher(self, entry: Entry, paid: Entry | None) -> None:
        """Add what a voucher entry gave to a tenant, or took back."""
        homes = list(dues(paid)) if paid is not None else []
        for leg in entry.legs:
            if not _is_tenant(leg.account):
                continue
            home = next((place for place in homes if place[1] == leg.commodity), None)
            if home is not None:
                self._at(home).vouchers += leg.amount_micro
                continue
            place = (leg.account.split(":")[1], leg.commodity)
            self._vouchers[place] = self._vouchers.get(place, 0) + leg.amount_micro

    def _share_vouchers(self) -> None:
        """Divide each tenant's vouchers over the providers that charged it."""
        for (tenant, commodity), amount_micro in sorted(self._vouchers.items()):
            places = [
                place
                for place, charges in sorted(self._charges.items())
                if place[1] == commodity and place[0] and charges.get(tenant, 0) > 0
            ]
            if not places:
                self._at(("", commodity)).vouchers += amount_micro
                continue
            weights = [self._charges[place][tenant] for place in places]
            for place, part in zip(places, largest_remainder(amount_micro, weights), strict=True):
                self._at(place).vouchers += part
        self._vouchers.clear()


def _is_tenant(account: str) -> bool:
    return account.startswith("tenant:")
