"""Metering, as the store keeps it, and as the door asks for it."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fenglin.ledger.entry import Entry
    from fenglin.ledger.metering.items import Finding, State
    from fenglin.ledger.metering.metered import MeteredFile, MeteredUse
    from fenglin.ledger.metering.reconcile import Told, Tolerance, Used
    from fenglin.ledger.metering.records import ProviderRecord, UseRecord
    from fenglin.ports.hub import Listing, Principal
    from fenglin.quantities.period import Period
    from fenglin.wire.metering_views import (
        BackView,
        CheckReport,
        EnergyReport,
        GiveBack,
        Imported,
        ItemView,
        JobMetering,
        Recorded,
    )
    from fenglin.wire.views import JobView, Page


# Form of what drivers tell of energy: no accounting that use is compared with.
ENERGY = "energy"


class ImportHead(Struct, frozen=True):
    """What is being imported.

    Attributes:
        site: Whose provider accounts.
        source: Name of the series in which its lines are unique.
        form: See `ledger.metering.forms`, or `driver`, `energy`, `charges`.
        file: Its name, for people.
        actor: Who imports.
        begun_ms: Unix time.
    """

    site: str
    source: str
    form: str
    file: str
    actor: str
    begun_ms: int


class ImportCounts(Struct, frozen=True, kw_only=True):
    """What an import held.

    Attributes:
        added: Lines that are new.
        unchanged: Lines that were there, the same.
        contradicting: Lines that were there with another body; told, not entered.
        passed: Rows that are no records.
        from_ms: Least start; 0 for none.
        to_ms: Last end.
    """

    added: int = 0
    unchanged: int = 0
    contradicting: int = 0
    passed: int = 0
    from_ms: int = 0
    to_ms: int = 0


class Taken(Struct, frozen=True, kw_only=True):
    """What became of records of use.

    Attributes:
        new: Records that were not there.
        repeated: Records that were there, the same.
        contradicting: Records that were there with another body.
        foreign: Of no attempt, or no task, of this hub.
        billed: Adjustments that were entered now, of earlier records that waited too.
    """

    new: int = 0
    repeated: int = 0
    contradicting: int = 0
    foreign: int = 0
    billed: int = 0


class Seller(Struct, frozen=True):
    """Who sold what a file tells of, and to whom.

    Attributes:
        provider: Whose the site is.
        region: Where it stands.
        classes: Class of user, by account that may be charged.
    """

    provider: str
    region: str
    classes: Mapping[str, str]


class Charged(Struct, frozen=True):
    """What became of lines of metered use.

    Attributes:
        charged: Lines that were charged now.
        unchanged: Lines that were charged before.
        charged_micro: What was charged now, in the hub's currency.
    """

    charged: int = 0
    unchanged: int = 0
    charged_micro: int = 0


class BackAsk(Struct, frozen=True):
    """How much of a charged line is to be given back.

    Attributes:
        place: Site, series and name of the line.
        quantity: As the line tells it; None for all that is left.
        held_bytes: Of storage instead: bytes that were not held from start to end; None unsaid.
        key: The client's own.
        why: For people.
    """

    place: tuple[str, str, str]
    quantity: int | None
    held_bytes: int | None
    key: str
    why: str

    @property
    def line(self) -> str:
        """Return the line's name."""
        return self.place[-1]

    def quantity_of(self, use: MeteredUse) -> int | None:
        """Return how much is asked for of a line; None for all that is left."""
        if self.held_bytes is None:
            return self.quantity
        return self.held_bytes * (use.ended_ms - use.started_ms)


class GivenBack(Struct, frozen=True, kw_only=True):
    """What was given back of a charged line.

    Attributes:
        entry: That does it.
        use: What the line says.
        quantity: How much of it.
        left: How much is still charged.
        amount_micro: What came back to the account, and left the provider's due.
        vouchers_micro: How much of that returned to the vouchers that had paid it.
    """

    entry: Entry
    use: MeteredUse
    quantity: int
    left: int
    amount_micro: int
    vouchers_micro: int


class ChargedLine(Struct, frozen=True, kw_only=True):
    """A line of use that was charged.

    Attributes:
        site: Where.
        source: Name of its series.
        use: What it says.
        entry: Number of the entry that charges it.
        cost_micro: What it was charged.
        back: How much of its quantity was given back.
        back_micro: What that came to.
    """

    site: str
    source: str
    use: MeteredUse
    entry: int
    cost_micro: int
    back: int
    back_micro: int


class Series(Struct, frozen=True):
    """A site's accounting that was imported.

    Attributes:
        site: Whose.
        source: Name of the series.
        form: In which it came last.
        from_ms: First start that it tells of.
        to_ms: Last end.
    """

    site: str
    source: str
    form: str
    from_ms: int
    to_ms: int


class SeriesFacts(Struct, frozen=True, kw_only=True):
    """What a check needs of one series and month.

    Attributes:
        told: By attempt, for the attempts that ended in the month.
        strange: (attempt, lines, wall time) of attempts that have not ended here.
        charged: (currency, lines, micro-units) of lines that carry no attempt.
        foreign: How many lines carry no attempt and no charge.
        spans: What lines of one resource cover twice or leave out.
    """

    told: Mapping[str, Told]
    strange: Sequence[tuple[str, int, int]]
    charged: Sequence[tuple[str, int, int]]
    foreign: int
    spans: Sequence[Finding]


class Step(Struct, frozen=True):
    """One step of a discrepancy: its state from then on, who said so, why, and when."""

    state: State
    who: str
    why: str
    time_ms: int


class Item(Struct, frozen=True, kw_only=True):
    """A discrepancy.

    Attributes:
        number: Its id.
        finding: What was found.
        account: Whose job it concerns; empty for nobody's.
        job: Number of the job; 0 for none.
        period: Month in which the use ended; empty where none is known.
        steps: In order, the first one `open`.
    """

    number: int
    finding: Finding
    account: str
    job: int
    period: str
    steps: tuple[Step, ...]


class ItemFilter(Struct, frozen=True, kw_only=True):
    """Which discrepancies are wanted.

    Attributes:
        account: Only those of this account; empty for all.
        fields: (state, kind, site, period or job, value) pairs; any value of one name.
        after: Only higher numbers.
        limit: Most of them.
    """

    account: str = ""
    fields: tuple[tuple[str, str], ...] = ()
    after: int = 0
    limit: int = 100


class Metering(Protocol):
    """Every write is one transaction; an import becomes visible with `finish`, as a whole."""

    async def begin(self, epoch: int, head: ImportHead) -> int:
        """Sweep away what an unfinished import left, and return the number of a new one."""
        ...

    async def sweep(self, epoch: int) -> None:
        """Remove what imports that were never finished have left."""
        ...

    async def add(
        self, epoch: int, number: int, head: ImportHead, records: Sequence[ProviderRecord]
    ) -> tuple[int, list[Finding]]:
        """Add lines; return how many were new, and which contradict what is there."""
        ...

    async def finish(
        self,
        epoch: int,
        number: int,
        head: ImportHead,
        counts: ImportCounts,
        findings: Sequence[Finding],
        sold: tuple[MeteredFile, Seller],
    ) -> Charged:
        """Make an import count, charge what it sells, and open what it contradicts.

        Args:
            epoch: The leader's.
            number: Of the import.
            head: What is imported.
            counts: Of lines that are compared; what is charged is added to what is kept.
            findings: What they contradict.
            sold: Lines that are charged, and by whom to whom.

        Raises:
            InputProblems: a line cannot be charged; nothing of the import counts.
        """
        ...

    async def give_back(self, epoch: int, ask: BackAsk, who: str, now_ms: int) -> GivenBack:
        """Give back some of a charged line, by an entry that names its charge.

        Raises:
            ConflictError: less of it is left, or the key gave back something else.
            InputError: it is nothing.
            NotFoundError: no such line was charged.
        """
        ...

    async def charged(self, job: int) -> list[ChargedLine]:
        """Return lines that were charged for a job, the first thousand by their start."""
        ...

    async def take(
        self,
        epoch: int,
        records: Sequence[UseRecord],
        providers: Mapping[str, str],
        who: str,
        now_ms: int,
    ) -> Taken:
        """Record late use, and enter what is billed for it and for what waited.

        Args:
            epoch: The leader's.
            records: Any number, in any order, repeated or not; none enters what waited.
            providers: Of sites by name.
            who: Says so.
            now_ms: Unix time.
        """
        ...

    async def used(self, site: str, period: Period) -> list[Used]:
        """Return the attempts of a site that ended in a month."""
        ...

    async def series(self) -> list[Series]:
        """Return all series that were imported, by site and name."""
        ...

    async def facts(self, series: Series, period: Period, tolerance: Tolerance) -> SeriesFacts:
        """Return what a check needs of a series and month."""
        ...

    async def open(
        self, epoch: int, findings: Sequence[Finding], period: str, who: str, now_ms: int
    ) -> list[int]:
        """Open discrepancies; return the numbers of those that are new."""
        ...

    async def items(self, wanted: ItemFilter) -> list[Item]:
        """Return discrepancies by number."""
        ...

    async def step(
        self, epoch: int, number: int, then: State, why: str, who: str, now_ms: int
    ) -> Item:
        """Take a discrepancy a step on.

        Raises:
            ConflictError: it cannot go there.
            InputError: there is no reason.
            NotFoundError: there is no such discrepancy.
        """
        ...

    async def attempts(self, job: int, account: str) -> list[tuple[Used, str]] | None:
        """Return a job's ended attempts with their last reason; None for a missing job."""
        ...

    async def lines(self, attempt: str) -> list[tuple[str, ProviderRecord]]:
        """Return (source, line) of all a provider says of an attempt."""
        ...

    async def uses(self, attempt: str) -> list[tuple[UseRecord, str]]:
        """Return the late records of an attempt, each with what became of it."""
        ...

    async def posted(self, account: str, period: Period) -> list[Entry]:
        """Return the postings of a month, of one account or (empty) of all."""
        ...

    async def postings(self, job: int) -> list[Entry]:
        """Return the postings of a job's attempts."""
        ...

    async def measured_j(self, attempts: Sequence[str]) -> dict[str, int]:
        """Return the energy that sites measured of attempts."""
        ...


class MeteringDesk(Protocol):
    """Who keeps the meters: imports, checks, discrepancies, energy."""

    async def load(
        self, file: IO[bytes], head: tuple[str, str, str, str], zone: str, principal: Principal
    ) -> Imported:
        """Import a file of a provider's accounting: all of it or nothing.

        Args:
            file: Its content, from the beginning.
            head: (site, series, form, name of the file); an empty series is named by the form.
            zone: Offset from UTC of times that have none; empty for the books'.
            principal: Who asks.

        Raises:
            ConflictError: another import is under way.
            DeniedError: the caller is no administrator.
            InputProblems: what is wrong in it, by line and column; nothing was imported.
            NotFoundError: there is no such site.
        """
        ...

    async def record(self, uses: Sequence[UseRecord], principal: Principal) -> Recorded:
        """Take late records of use.

        Raises:
            DeniedError: the caller is no administrator.
        """
        ...

    async def collect(self, site: str, period: str, principal: Principal) -> Sequence[Imported]:
        """Ask a site's driver for its own totals and charges of a month, and import them.

        Raises:
            DeniedError: the caller is no administrator.
            NotFoundError: there is no such site.
        """
        ...

    async def check(self, site: str, period: str, principal: Principal) -> CheckReport:
        """Compare a month of one site, or of all, with what was imported; open what differs.

        Raises:
            DeniedError: the caller is no administrator.
        """
        ...

    async def items(self, listing: Listing, principal: Principal) -> Page[ItemView]:
        """List discrepancies; a tenant sees those of its own jobs."""
        ...

    async def item(self, name: str, principal: Principal) -> ItemView:
        """Return one discrepancy, such as `d7`."""
        ...

    async def resolve(self, name: str, state: str, why: str, principal: Principal) -> ItemView:
        """Take a discrepancy a step on; see `ledger.metering.items`.

        Raises:
            ConflictError: it cannot go there.
            DeniedError: the caller is no administrator.
            InputError: there is no such state, or no reason.
        """
        ...

    async def give_back(self, asked: GiveBack, principal: Principal) -> BackView:
        """Give back some of a charged line, or all: once per key.

        Raises:
            ConflictError: less of it is left, or the key gave back something else.
            DeniedError: the caller is no administrator.
            InputError: the key, the quantity or the reason is missing or wrong.
            NotFoundError: there is no such site, or no such line was charged.
        """
        ...

    async def job(self, number: int, principal: Principal) -> JobMetering:
        """Return all that was metered of a job, by us and by the provider."""
        ...

    async def energy(self, period: str, principal: Principal) -> EnergyReport:
        """Return the energy and CO2 of a month per account; a tenant sees its own."""
        ...

    async def with_energy(self, view: JobView) -> JobView:
        """Return a job that the caller may see, its ended allocations with their energy."""
        ...
