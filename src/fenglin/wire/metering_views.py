"""What the door says of metering. Times are Unix milliseconds; every figure of energy is graded."""

from __future__ import annotations

from msgspec import Struct

from fenglin.model.energy import Energy


class LateUse(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The end of a task that the hub has not heard of.

    Attributes:
        attempt: Attempt key.
        task: Index of the task.
        started_ms: Unix time.
        wall_ms: How long it ran.
        cpu_ms: CPU time; 0 unknown.
    """

    attempt: str
    task: int
    started_ms: int
    wall_ms: int
    cpu_ms: int = 0


class LateUses(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Late records of use."""

    records: list[LateUse]


class DiscrepancyStep(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A step of a discrepancy.

    Attributes:
        state: `explained`, `accepted`, `disputed` or `closed`.
        why: Kept for ever.
    """

    state: str
    why: str


class GiveBack(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What of a charged line is to be given back: all that is left, or as much as is said.

    Attributes:
        site: Of the line.
        source: Its series.
        line: Its name.
        key: Your own; a second request with it gives back nothing more.
        why: For people, on the statement too.
        quantity: Whole number as the line tells it, in decimal digits; empty for all that is left.
        held_bytes: Of storage instead: bytes that were not held from start to end.
    """

    site: str
    line: str
    key: str
    why: str
    source: str = "csv"
    quantity: str = ""
    held_bytes: int | None = None


class BackView(Struct, frozen=True, kw_only=True):
    """What was given back of a charged line.

    Attributes:
        entry: Number of the ledger's entry that does it.
        key: Of that entry.
        time_ms: Of that entry.
        account: Who got it.
        unit: Of the line.
        quantity: How much of the line was given back by this key.
        left: How much of the line is still charged.
        amount_micro: What that was worth, in the hub's currency.
        vouchers_micro: How much of that returned to the vouchers that had paid it.
    """

    entry: int
    key: str
    time_ms: int
    account: str
    unit: str
    quantity: str
    left: str
    amount_micro: int
    vouchers_micro: int


class ChargedView(Struct, frozen=True, kw_only=True):
    """A line of use that was charged for a job.

    Attributes:
        site: Where.
        source: Name of its series.
        line: Its own name.
        unit: Such as `egress_gb`.
        quantity: Byte-milliseconds of storage, bytes of egress, frames; as decimal digits.
        started_ms: Unix time.
        ended_ms: First millisecond after it.
        resource: What was used.
        attempt: Attempt key; empty for none.
        entry: Number of the ledger's entry that charges it.
        cost_micro: What it was charged, in the hub's currency.
        back: How much of the quantity was given back; as decimal digits.
        back_micro: What that came to.
    """

    site: str
    source: str
    line: str
    unit: str
    quantity: str
    started_ms: int
    ended_ms: int
    resource: str
    attempt: str
    entry: int
    cost_micro: int
    back: str
    back_micro: int


class Imported(Struct, frozen=True, kw_only=True):
    """What an import held.

    Attributes:
        number: Of the import; 0 when there was nothing to import.
        site: Whose provider accounts.
        source: Series in which its lines are unique.
        added: Lines that are new, to be compared.
        unchanged: Lines that were there, the same.
        contradicting: Lines that were there with another body; each is a discrepancy now.
        passed: Rows that are no records, such as jobs that still run.
        from_ms: Least start.
        to_ms: Last end.
        untold: Attempts of which the driver had no record; of `collect` alone.
        charged: Lines of metered use that were charged now.
        charged_micro: What they came to, in the hub's currency.
    """

    number: int
    site: str
    source: str
    added: int
    unchanged: int
    contradicting: int
    passed: int
    from_ms: int
    to_ms: int
    untold: int = 0
    charged: int = 0
    charged_micro: int = 0


class Recorded(Struct, frozen=True, kw_only=True):
    """What became of late records.

    Attributes:
        new: Records that were not there.
        repeated: Records that were there, the same.
        contradicting: Records that were there with another body; each is a discrepancy now.
        foreign: Of nothing that this hub ever started; each is a discrepancy now.
        billed: Adjustments entered now.
    """

    new: int
    repeated: int
    contradicting: int
    foreign: int
    billed: int


class SeriesCheck(Struct, frozen=True, kw_only=True):
    """A month of one series against ours.

    Attributes:
        site: Whose provider accounts.
        source: Name of the series.
        from_ms: First start that it tells of.
        to_ms: Last end; what ended later is not judged yet.
        attempts: Ours that ended in the month.
        matched: Of these, told of and within tolerance.
        differing: Told of and beyond it.
        missing: Within the time told of, and not told of.
        untold: Outside the time told of.
        waiting: Attempts it tells of that have not ended here, or are of another hub.
        strangers: Lines without an attempt of ours.
        share_percent: Tolerance, of our figure.
        slack_ms: Tolerance on top, for each line and task.
    """

    site: str
    source: str
    from_ms: int
    to_ms: int
    attempts: int
    matched: int
    differing: int
    missing: int
    untold: int
    waiting: int
    strangers: int
    share_percent: float
    slack_ms: int


class CheckReport(Struct, frozen=True, kw_only=True):
    """A month's reconciliation.

    Attributes:
        period: `YYYY-MM`.
        series: What was compared.
        without: Sites that had use in the month and no accounting was imported of.
        found: Discrepancies that show now.
        opened: Of these, the ones that are new, such as `d7`.
        pending: Discrepancies of the month that nobody has closed.
        stale: Of these, the ones that no longer show; a person closes them.
    """

    period: str
    series: list[SeriesCheck]
    without: list[str]
    found: int
    opened: list[str]
    pending: int
    stale: list[str]


class StepView(Struct, frozen=True, kw_only=True):
    """A step of a discrepancy."""

    state: str
    who: str
    why: str
    time_ms: int


class ItemView(Struct, frozen=True, kw_only=True):
    """A discrepancy.

    Attributes:
        id: Such as `d7`.
        kind: See `ledger.metering.items.What`.
        state: Of its last step.
        site: Where.
        source: Series of the provider's records.
        account: Whose job it concerns; empty for nobody's.
        job: Such as `j7`.
        attempt: Attempt key.
        subject: Line or resource.
        ours: What we have.
        theirs: What the provider has.
        text: The evidence.
        period: Month of the use.
        steps: In order.
    """

    id: str
    kind: str
    state: str
    site: str
    source: str
    account: str
    job: str
    attempt: str
    subject: str
    ours: str
    theirs: str
    text: str
    period: str
    steps: list[StepView]


class LineView(Struct, frozen=True, kw_only=True):
    """A line of the provider's accounting; null where it does not say."""

    source: str
    line: str
    resource: str
    started_ms: int
    ended_ms: int
    wall_ms: int | None
    core_ms: int | None
    card_ms: int | None
    energy_j: int | None
    cost_micro: int | None
    currency: str
    what: str


class LateView(Struct, frozen=True, kw_only=True):
    """A late record: `waiting`, `billed`, `counted` (known before), `unbilled` or `foreign`."""

    task: int
    started_ms: int
    wall_ms: int
    outcome: str


class AttemptMetering(Struct, frozen=True, kw_only=True):
    """All that was metered of one attempt.

    Attributes:
        attempt: Its key, which is also its tag at the site.
        site: Where.
        tasks: That ended in it, late ones included.
        wall_ms: Sum of their runtimes.
        started_ms: First start.
        ended_ms: Its end.
        cost_micro: Posted when it was settled.
        currency: Of the cost.
        reason: Why it ended early.
        late: What was told afterwards.
        lines: What the provider says.
        energy: None where nothing is known.
    """

    attempt: str
    site: str
    tasks: int
    wall_ms: int
    started_ms: int
    ended_ms: int
    cost_micro: int
    currency: str
    reason: str
    late: list[LateView]
    lines: list[LineView]
    energy: Energy | None


class JobMetering(Struct, frozen=True, kw_only=True):
    """All that was metered of a job.

    Attributes:
        job: Such as `j7`.
        attempts: Those that have ended.
        discrepancies: That concern it.
        charged: Lines of metered use that were charged for it, the first thousand.
    """

    job: str
    attempts: list[AttemptMetering]
    discrepancies: list[ItemView]
    charged: list[ChargedView] = []


class EnergySum(Struct, frozen=True, kw_only=True):
    """Energy of one grade, with its CO2.

    Attributes:
        account: Whose.
        site: Where.
        grade: `measured`, `modelled` or `unknown`.
        attempts: How many.
        energy_j: Joules of the whole facility; 0 for `unknown`.
        carbon_mg: CO2 of those whose grid's factor is known, modelled.
        carbon_unknown: Attempts whose CO2 is not known.
    """

    account: str
    site: str
    grade: str
    attempts: int
    energy_j: int
    carbon_mg: int
    carbon_unknown: int


class EnergyReport(Struct, frozen=True, kw_only=True):
    """A month's energy and CO2 by account, site and grade; grades are never added together.

    Attributes:
        period: `YYYY-MM`.
        rows: Sorted.
        factors: The grids' factors that were used, with source and date.
    """

    period: str
    rows: list[EnergySum]
    factors: list[str]
