"""What the door says of the inventory, and takes for it."""

from __future__ import annotations

from msgspec import Struct

from fenglin.catalog.inventory.difference import Change
from fenglin.catalog.inventory.facts import Facility
from fenglin.catalog.inventory.measured import Measurement
from fenglin.catalog.inventory.steps import (
    Anomaly,
    AnomalyState,
    Head,
    Published,
    Snapshot,
    Stage,
    Step,
)
from fenglin.catalog.inventory.totals import InventoryRow, InventoryTotal


class FacilityView(Struct, frozen=True, kw_only=True):
    """One facility as it stands.

    Attributes:
        facility: Its newest declaration, with what was verified and measured.
        stage: How far that is.
        declared_ms: When it was declared.
        declared_by: By whom.
        document: On what evidence.
        verified_ms: When a person vouched for it and all checks held; 0 for not yet.
        verified_by: Who.
        verified: Their evidence.
        snapshot: Newest publication that has this declaration, such as `s3`; empty for none.
        open_anomalies: Those for which somebody must still act.
    """

    facility: Facility
    stage: Stage
    declared_ms: int
    declared_by: str
    document: str
    verified_ms: int
    verified_by: str
    verified: str
    snapshot: str
    open_anomalies: int


class AnomalyView(Struct, frozen=True, kw_only=True):
    """One anomaly order.

    Attributes:
        id: Its name, such as `a12`.
        facility: Of which facility.
        rule: Which check failed.
        about: What it is about, within the facility.
        what: What does not fit.
        state: Where it stands.
        agrees: Whether it was last seen to fit again; that alone closes nothing.
        opened_ms: When it was opened.
        changed_ms: Last step.
        rectified: How, in words.
        rectified_by: Who says so.
        settled: Evidence of the verification, or reason of the waiver.
        settled_by: Who verified that it is gone, or waived it.
        settled_ms: When; 0 for not yet.
    """

    id: str
    facility: str
    rule: str
    about: str
    what: str
    state: AnomalyState
    agrees: bool
    opened_ms: int
    changed_ms: int
    rectified: str
    rectified_by: str
    settled: str
    settled_by: str
    settled_ms: int

    @classmethod
    def of(cls, one: Anomaly) -> AnomalyView:
        """Return an anomaly as the door shows it."""
        rule, _, about = one.subject.partition(":")
        return cls(
            id=one.name,
            facility=one.facility,
            rule=rule,
            about=about,
            what=one.what,
            state=one.state,
            agrees=one.agrees,
            opened_ms=one.opened_ms,
            changed_ms=one.changed_ms,
            rectified=one.rectified,
            rectified_by=one.rectified_by,
            settled=one.settled,
            settled_by=one.settled_by,
            settled_ms=one.settled_ms,
        )


class SnapshotHead(Struct, frozen=True, kw_only=True):
    """A publication, without what it says.

    Attributes:
        id: Its name, such as `s3`.
        published_ms: When.
        published_by: By whom.
        sha256: Of what it says, as kept.
        note: In words.
    """

    id: str
    published_ms: int
    published_by: str
    sha256: str
    note: str

    @classmethod
    def of(cls, one: Head) -> SnapshotHead:
        """Return a publication as the door shows it."""
        return cls(
            id=f"s{one.number}",
            published_ms=one.time_ms,
            published_by=one.actor,
            sha256=one.sha256,
            note=one.note,
        )


class SnapshotView(Struct, frozen=True, kw_only=True):
    """A publication.

    Attributes:
        head: Which, when, by whom.
        facilities: What it says.
        left_out: Facilities that stand as they were published before, or not at all.
        waived: Anomalies that somebody waived, in words.
    """

    head: SnapshotHead
    facilities: tuple[Published, ...]
    left_out: tuple[str, ...]
    waived: tuple[str, ...]

    @classmethod
    def of(cls, head: Head, one: Snapshot) -> SnapshotView:
        """Return a publication as the door shows it."""
        return cls(
            head=SnapshotHead.of(head),
            facilities=one.facilities,
            left_out=one.left_out,
            waived=one.waived,
        )


class MeasurementView(Struct, frozen=True, kw_only=True):
    """What a probe measured.

    Attributes:
        measurement: As entered.
        entered: Whether its peaks stand beside the nominal ones of a group.
    """

    measurement: Measurement
    entered: bool


class StepView(Struct, frozen=True, kw_only=True):
    """One step of the closed loop: who did what when.

    Attributes:
        seq: Number.
        time_ms: When.
        actor: Who; `hub` for the hub itself.
        kind: What was done.
        facility: To which facility; empty for a publication.
        subject: To which anomaly, publication or flavor.
        note: In words.
        document: Evidence.
    """

    seq: int
    time_ms: int
    actor: str
    kind: str
    facility: str
    subject: str
    note: str
    document: str

    @classmethod
    def of(cls, one: Step) -> StepView:
        """Return a step as the door shows it."""
        return cls(
            seq=one.seq,
            time_ms=one.time_ms,
            actor=one.actor,
            kind=one.kind,
            facility=one.facility,
            subject=one.subject,
            note=one.note,
            document=one.document,
        )


class InventoryView(Struct, frozen=True, kw_only=True):
    """All that stands.

    Attributes:
        facilities: By name.
        anomalies: Oldest first.
        snapshots: Oldest first.
        measurements: Newest of each flavor.
    """

    facilities: list[FacilityView]
    anomalies: list[AnomalyView]
    snapshots: list[SnapshotHead]
    measurements: list[Measurement]


class InventoryHistory(Struct, frozen=True, kw_only=True):
    """Who did what when.

    Attributes:
        steps: Oldest first.
        next: Ask after this for more; 0 when there is no more.
    """

    steps: list[StepView]
    next: int


class InventoryTotals(Struct, frozen=True, kw_only=True):
    """Totals per class and precision, each alone.

    Attributes:
        totals: In the order of classes and precisions.
    """

    totals: list[InventoryTotal]


class InventoryRows(Struct, frozen=True, kw_only=True):
    """The rows behind totals.

    Attributes:
        rows: Declared ones first, then those that drivers see.
    """

    rows: list[InventoryRow]


class InventoryDiff(Struct, frozen=True, kw_only=True):
    """What two publications say differently.

    Attributes:
        earlier: Its name; empty for none yet.
        later: The same.
        changes: By facility and key.
    """

    earlier: str
    later: str
    changes: list[Change]


class InventoryDeclared(Struct, frozen=True, kw_only=True):
    """What became of a declaration.

    Attributes:
        facilities: That were declared.
        anomalies: Those of them for which somebody must act now.
    """

    facilities: list[str]
    anomalies: list[AnomalyView]


class InventoryReport(Struct, frozen=True, kw_only=True):
    """One month's inventory.

    Attributes:
        period: `YYYY-MM`.
        snapshot: The publication that counts: the last one before its end; None for none yet.
        facilities: What that says.
        totals: Per class and precision, each alone, of that publication.
        changes: Since the last publication before the month.
        opened: Anomalies opened in the month, as they stand now.
        settled: Closed or waived in the month.
        unsettled: Opened by its end, and still not settled now.
        steps: How many of each kind were taken in the month.
    """

    period: str
    snapshot: SnapshotHead | None
    facilities: tuple[Published, ...]
    totals: list[InventoryTotal]
    changes: list[Change]
    opened: list[AnomalyView]
    settled: list[AnomalyView]
    unsettled: list[AnomalyView]
    steps: dict[str, int]


class InventoryAsk(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One step that somebody takes.

    Attributes:
        step: `verify`, `publish`, `rectify` or `waive`.
        facility: What is verified.
        anomaly: What was rectified or is waived, such as `a12`.
        leave_out: Facilities that a publication leaves as they were published before.
        note: In words; the reason of a waiver.
        document: Evidence.
    """

    step: str
    facility: str = ""
    anomaly: str = ""
    leave_out: tuple[str, ...] = ()
    note: str = ""
    document: str = ""


class MeasureAsk(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A probe to enter.

    Attributes:
        job: Which, such as `j12`.
        group: Of the facility, whose devices it measured; empty to tell it by their name.
    """

    job: str
    group: str = ""
