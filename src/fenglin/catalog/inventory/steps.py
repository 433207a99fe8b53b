"""Steps of the closed loop as they are kept, and what follows from them: `fold`."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct, field

from fenglin.catalog.inventory.facts import Facility
from fenglin.catalog.inventory.measured import Measurement
from fenglin.errors import DamageError

if TYPE_CHECKING:
    from collections.abc import Iterable

PASSED = "all checks hold"
_FACILITY = msgspec.json.Decoder(Facility)
_MEASUREMENT = msgspec.json.Decoder(Measurement)


class Kind(StrEnum):
    """Kinds of steps."""

    DECLARE = "declare"
    VALIDATE = "validate"
    VERIFY = "verify"
    PUBLISH = "publish"
    MEASURE = "measure"
    OPEN = "open"
    AGREE = "agree"
    DIFFER = "differ"
    RECTIFY = "rectify"
    CLOSE = "close"
    REOPEN = "reopen"
    WAIVE = "waive"


class Draft(Struct, frozen=True, kw_only=True):
    """A step before it has its number.

    Attributes:
        kind: What was done.
        facility: To which facility; empty for a publication, which is of all.
        subject: Of an anomaly `RULE:SUBJECT`, of a publication its name, of a measurement
            `SITE/FLAVOR`; else empty.
        note: In words.
        document: Evidence.
        body: What was declared, published or measured, in JSON; empty for other steps.
    """

    kind: Kind
    facility: str = ""
    subject: str = ""
    note: str = ""
    document: str = ""
    body: bytes = b""


class Step(Struct, frozen=True, kw_only=True):
    """One step, as stored: who did what when. Fields as in `Draft`.

    Attributes:
        seq: Number, rising without gap.
        time_ms: When.
        actor: Who; `hub` for the hub's own checks.
    """

    seq: int
    time_ms: int
    actor: str
    kind: Kind
    facility: str
    subject: str
    note: str
    document: str
    body: bytes


class Stage(StrEnum):
    """How far a declaration is."""

    DECLARED = "declared"
    VERIFIED = "verified"
    PUBLISHED = "published"


class AnomalyState(StrEnum):
    """Where an anomaly order stands."""

    OPEN = "open"
    RECTIFIED = "rectified"
    CLOSED = "closed"
    WAIVED = "waived"


class Anomaly(Struct, kw_only=True):
    """One anomaly order.

    Attributes:
        number: The step that opened it; its name is `a` and this.
        facility: Of which facility.
        subject: `RULE:SUBJECT`.
        what: What did not fit when it was opened or found again.
        state: Where it stands.
        opened_ms: When it was opened.
        changed_ms: Last step.
        agrees: Whether it was last seen to fit; that alone closes nothing.
        rectified: How, in the words of whoever did.
        rectified_by: Who that was.
        settled_by: Who verified that it is gone, or waived it.
        settled: Their evidence or reason.
        settled_ms: When; 0 for not yet.
    """

    number: int
    facility: str
    subject: str
    what: str
    state: AnomalyState
    opened_ms: int
    changed_ms: int
    agrees: bool = False
    rectified: str = ""
    rectified_by: str = ""
    settled_by: str = ""
    settled: str = ""
    settled_ms: int = 0

    @property
    def name(self) -> str:
        """Return how people call it."""
        return f"a{self.number}"

    @property
    def rule(self) -> str:
        """Return the check that it failed."""
        return self.subject.partition(":")[0]

    @property
    def unsettled(self) -> bool:
        """Return whether somebody must still act."""
        return self.state in (AnomalyState.OPEN, AnomalyState.RECTIFIED)


class Standing(Struct, kw_only=True):
    """One facility now.

    Attributes:
        facility: Its newest declaration.
        stage: How far that is.
        declared_seq: Its step.
        declared_ms: When it was declared.
        declared_by: By whom.
        document: On what evidence.
        verified_ms: When all checks held and a person vouched for it; 0 for not yet.
        verified_by: Who.
        verified: Their evidence.
        snapshot: Newest publication that has this declaration; 0 for none.
    """

    facility: Facility
    stage: Stage
    declared_seq: int
    declared_ms: int
    declared_by: str
    document: str
    verified_ms: int = 0
    verified_by: str = ""
    verified: str = ""
    snapshot: int = 0


class Published(Struct, frozen=True, kw_only=True):
    """One facility in a publication.

    Attributes:
        facility: As declared, with what was measured and verified.
        declared_seq: Step of the declaration.
        declared_by: Who declared it.
        verified_by: Who verified it.
        verified: Their evidence.
    """

    facility: Facility
    declared_seq: int
    declared_by: str
    verified_by: str
    verified: str


class Snapshot(Struct, frozen=True, kw_only=True):
    """One publication, never changed.

    Attributes:
        number: From 1; its name is `s` and this.
        facilities: By name.
        left_out: Facilities that stand as they were published before, or not at all.
        waived: Anomalies that somebody waived, in words.
    """

    number: int
    facilities: tuple[Published, ...]
    left_out: tuple[str, ...] = ()
    waived: tuple[str, ...] = ()


class Head(Struct, frozen=True, kw_only=True):
    """Of a publication, what is kept at hand.

    Attributes:
        number: Of the snapshot.
        seq: Its step, which has the body.
        time_ms: When.
        actor: By whom.
        sha256: Of the body.
        note: In words.
    """

    number: int
    seq: int
    time_ms: int
    actor: str
    sha256: str
    note: str


class State(Struct, kw_only=True):
    """All that stands.

    Attributes:
        last: Newest step.
        facilities: By name.
        anomalies: By number, settled ones too.
        snapshots: Oldest first.
        measured: (site, flavor) → newest measurement there.
    """

    last: int = 0
    facilities: dict[str, Standing] = field(default_factory=dict)
    anomalies: dict[int, Anomaly] = field(default_factory=dict)
    snapshots: list[Head] = field(default_factory=list)
    measured: dict[tuple[str, str], Measurement] = field(default_factory=dict)
    _of: dict[str, list[Anomaly]] = field(default_factory=dict)

    def of(self, facility: str) -> list[Anomaly]:
        """Return a facility's anomalies, settled ones too."""
        return self._of.get(facility, [])

    def add(self, anomaly: Anomaly) -> None:
        """Take a new anomaly in."""
        self.anomalies[anomaly.number] = anomaly
        self._of.setdefault(anomaly.facility, []).append(anomaly)

    def unsettled(self, facility: str) -> list[Anomaly]:
        """Return a facility's anomalies for which somebody must still act."""
        return [one for one in self.of(facility) if one.unsettled]


def fold(state: State, steps: Iterable[Step]) -> State:
    """Take further steps in, oldest first.

    Raises:
        DamageError: a step is missing.
    """
    for step in steps:
        if step.seq != state.last + 1:
            raise DamageError(
                f"step {state.last + 1} of the inventory is missing",
                where="database",
                hint="restore it from a backup",
            )
        state.last = step.seq
        _FOLDS.get(step.kind, _fold_anomaly)(state, step)
    return state


def _fold_declare(state: State, step: Step) -> None:
    state.facilities[step.facility] = Standing(
        facility=_FACILITY.decode(step.body),
        stage=Stage.DECLARED,
        declared_seq=step.seq,
        declared_ms=step.time_ms,
        declared_by=step.actor,
        document=step.document,
    )


def _fold_verify(state: State, step: Step) -> None:
    standing = state.facilities[step.facility]
    if step.note == PASSED:
        if standing.stage is Stage.DECLARED:
            standing.stage = Stage.VERIFIED
        standing.verified_ms = step.time_ms
        standing.verified_by = step.actor
        standing.verified = step.document


def _fold_publish(state: State, step: Step) -> None:
    number = len(state.snapshots) + 1
    sha256, _, note = step.note.partition(" ")
    state.snapshots.append(
        Head(
            number=number,
            seq=step.seq,
            time_ms=step.time_ms,
            actor=step.actor,
            sha256=sha256,
            note=note,
        )
    )
    left_out = step.document.split()
    for name, standing in state.facilities.items():
        if name not in left_out:
            standing.stage, standing.snapshot = Stage.PUBLISHED, number


def _fold_measure(state: State, step: Step) -> None:
    found = _MEASUREMENT.decode(step.body)
    state.measured[found.site, found.flavor] = found


def _fold_validate(_state: State, _step: Step) -> None:
    """A validation is only a record: what it found was opened beside it."""


def _fold_open(state: State, step: Step) -> None:
    state.add(
        Anomaly(
            number=step.seq,
            facility=step.facility,
            subject=step.subject,
            what=step.note,
            state=AnomalyState.OPEN,
            opened_ms=step.time_ms,
            changed_ms=step.time_ms,
        )
    )


def _fold_anomaly(state: State, step: Step) -> None:
    # Of one subject at most the newest is not settled; a waived one may still be seen to agree.
    last = [one for one in state.of(step.facility) if one.subject == step.subject][-1]
    last.changed_ms = step.time_ms
    if step.kind is Kind.AGREE:
        last.agrees = True
    elif step.kind is Kind.DIFFER:
        last.agrees, last.what = False, step.note
    elif step.kind is Kind.RECTIFY:
        last.state, last.rectified = AnomalyState.RECTIFIED, step.note
        last.rectified_by = step.actor
    elif step.kind is Kind.REOPEN:
        last.state, last.what, last.agrees = AnomalyState.OPEN, step.note, False
    else:
        closed = step.kind is Kind.CLOSE
        last.state = AnomalyState.CLOSED if closed else AnomalyState.WAIVED
        last.settled_by = step.actor
        last.settled = step.document if closed else step.note
        last.settled_ms = step.time_ms


_FOLDS = {
    Kind.DECLARE: _fold_declare,
    Kind.VERIFY: _fold_verify,
    Kind.PUBLISH: _fold_publish,
    Kind.MEASURE: _fold_measure,
    Kind.VALIDATE: _fold_validate,
    Kind.OPEN: _fold_open,
}
