"""The closed loop: who may take which step when. Steps are only ever added.

Declare → validate → verify → publish → difference → anomaly → rectify → verify again. An anomaly
ends only by a verification that finds it gone after somebody has said how it was rectified, or by
a waiver with a reason.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from fenglin.catalog.inventory.difference import suspicious
from fenglin.catalog.inventory.measured import vouched, with_measured
from fenglin.catalog.inventory.observed import NEED_EYES, blind
from fenglin.catalog.inventory.steps import (
    PASSED,
    Anomaly,
    AnomalyState,
    Draft,
    Kind,
    Published,
    Snapshot,
    Stage,
)
from fenglin.errors import ConflictError, InputError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from fenglin.catalog.inventory.checks import Finding
    from fenglin.catalog.inventory.facts import Facility
    from fenglin.catalog.inventory.steps import Standing, State

    Check = Callable[[Facility], Sequence[Finding]]


def declare(
    state: State, facilities: Sequence[Facility], document: str, check: Check
) -> list[Draft]:
    """Return the steps of a declaration: it is validated at once, and what fails is opened.

    Raises:
        ConflictError: it says what stands already, or claims a site of another facility.
    """
    drafts = []
    declared = {one.name for one in facilities}
    owners = {
        site: name
        for name, standing in state.facilities.items()
        if name not in declared
        for site in standing.facility.sites
    }
    for facility in facilities:
        where = f"facility.{facility.name}"
        known = state.facilities.get(facility.name)
        if known is not None and known.facility == facility:
            raise ConflictError(
                f"{facility.name} is declared exactly so already", where=where,
                hint="nothing was declared; leave it out",
            )  # fmt: skip
        taken = [site for site in facility.sites if site in owners]
        if taken:
            raise ConflictError(
                f"the site {taken[0]} stands in {owners[taken[0]]}", where=f"{where}.sites",
                hint="declare that one without it first; nothing was declared",
            )  # fmt: skip
        body = msgspec.json.encode(facility)
        drafts.append(
            Draft(kind=Kind.DECLARE, facility=facility.name, document=document, body=body)
        )
        found = check(facility)
        words = f"{len(found)} do not hold" if found else PASSED
        drafts.append(Draft(kind=Kind.VALIDATE, facility=facility.name, note=words))
        drafts += opened(state, facility.name, found)
    return drafts


def opened(state: State, facility: str, found: Sequence[Finding]) -> list[Draft]:
    """Return the steps that open what has no order yet.

    What was waived stays so while it is exactly what was waived.
    """
    known = set()
    for one in state.of(facility):
        if one.unsettled:
            known.add(one.subject)
        elif one.state is AnomalyState.WAIVED and not one.agrees:
            known.add(f"{one.subject}\n{one.what}")
    return [
        Draft(kind=Kind.OPEN, facility=facility, subject=name, note=one.what)
        for one in found
        if (name := f"{one.rule}:{one.subject}") not in known and f"{name}\n{one.what}" not in known
    ]


def observed(state: State, facility: str, found: Sequence[Finding]) -> list[Draft]:
    """Return the steps after a look: what is new is opened, nothing is ever closed.

    An order whose subject fits again is told so and stays as it is.
    """
    now = {f"{one.rule}:{one.subject}": one.what for one in found}
    drafts = opened(state, facility, found)
    fresh = {draft.subject for draft in drafts}
    for anomaly in _newest(state, facility):
        if anomaly.subject in fresh or anomaly.state is AnomalyState.CLOSED:
            continue
        if anomaly.rule in NEED_EYES and blind(found):
            continue
        what = now.get(anomaly.subject)
        if what is None and not anomaly.agrees and not anomaly.rule.startswith("change_"):
            note = "seen to fit again; it stays open until it is verified"
            drafts.append(
                Draft(kind=Kind.AGREE, facility=facility, subject=anomaly.subject, note=note)
            )
        elif what is not None and anomaly.agrees:
            drafts.append(
                Draft(kind=Kind.DIFFER, facility=facility, subject=anomaly.subject, note=what)
            )
    return drafts


def _newest(state: State, facility: str) -> list[Anomaly]:
    """Return the newest anomaly of each subject."""
    return list({one.subject: one for one in state.of(facility)}.values())


def verify(state: State, name: str, note: str, document: str, check: Check) -> list[Draft]:
    """Return the steps of a verification: every check anew, every anomaly looked at again.

    What was rectified and holds is closed; what was rectified and does not hold is open again. An
    anomaly of which nobody said how it was rectified stays open, even when it is gone, and so
    does one that needs a look at a site that does not answer.

    Raises:
        InputError: no document is named: a verification is somebody's word for evidence.
        NotFoundError: there is no such facility.
    """
    standing = standing_of(state, name)
    if not document:
        raise InputError("a verification needs evidence", where="document", hint="name a document")
    evidence = f"{document}: {note}" if note else document
    found = check(standing.facility)
    now = {f"{one.rule}:{one.subject}": one.what for one in found}
    drafts = opened(state, name, found)
    left = len(drafts)
    for anomaly in state.unsettled(name):
        still = now.get(anomaly.subject)
        unseen = anomaly.rule in NEED_EYES and blind(found)
        if anomaly.state is AnomalyState.OPEN or unseen:
            left += 1
        elif still is None:
            drafts.append(
                Draft(
                    kind=Kind.CLOSE, facility=name, subject=anomaly.subject, document=evidence,
                    note="verified as rectified",
                )
            )  # fmt: skip
        else:
            left += 1
            drafts.append(
                Draft(kind=Kind.REOPEN, facility=name, subject=anomaly.subject, note=still)
            )
    words = f"{left} anomalies are open" if left else PASSED
    drafts.append(Draft(kind=Kind.VERIFY, facility=name, note=words, document=evidence))
    return drafts


def publish(
    state: State, left_out: Collection[str], note: str, before: Snapshot | None
) -> list[Draft]:
    """Return the steps of a publication: the snapshot, and an order for each suspicious change.

    Args:
        state: What stands.
        left_out: Facilities that stay as they were published before.
        note: In words.
        before: The newest publication; None for the first.

    Raises:
        ConflictError: a facility is not verified or has an open anomaly, or nothing has changed.
        NotFoundError: there is no such facility.
    """
    for name in left_out:
        standing_of(state, name)
    found = {one.facility.name: one for one in before.facilities} if before is not None else {}
    for name in sorted(state.facilities):
        if name not in left_out:
            found[name] = _published(state, name)
    if not found:
        raise ConflictError("there is nothing to publish", hint="declare and verify it first")
    waived = tuple(
        f"{one.name} {one.facility} {one.what}: {one.settled_by}, {one.settled}"
        for one in state.anomalies.values()
        if one.state is AnomalyState.WAIVED and not one.agrees
    )
    snapshot = Snapshot(
        number=len(state.snapshots) + 1,
        facilities=tuple(found[name] for name in sorted(found)),
        left_out=tuple(sorted(left_out)),
        waived=waived,
    )
    if before is not None and msgspec.structs.replace(snapshot, number=before.number) == before:
        raise ConflictError(f"s{before.number} says exactly this", hint="nothing has changed since")
    body = msgspec.json.encode(snapshot)
    drafts = [
        Draft(
            kind=Kind.PUBLISH,
            subject=f"s{snapshot.number}",
            note=f"{hashlib.sha256(body).hexdigest()} {note}",
            document=" ".join(snapshot.left_out),
            body=body,
        )
    ]
    for name, changes in suspicious(before, snapshot).items():
        drafts += opened(state, name, changes)
    return drafts


def _published(state: State, name: str) -> Published:
    standing = state.facilities[name]
    waiting = state.unsettled(name)
    if standing.stage is Stage.DECLARED or waiting:
        why = f"{len(waiting)} anomalies are open" if waiting else "it is not verified"
        raise ConflictError(
            f"{name} cannot be published: {why}", where=f"facility.{name}",
            hint=f"`fenglin inventory verify {name} --document …`, or --leave-out {name}",
        )  # fmt: skip
    return Published(
        facility=effective(state, name),
        declared_seq=standing.declared_seq,
        declared_by=standing.declared_by,
        verified_by=standing.verified_by,
        verified=standing.verified,
    )


def effective(state: State, name: str) -> Facility:
    """Return a facility as it counts: as declared, with what was measured and verified."""
    standing = state.facilities[name]
    facility = with_measured(standing.facility, state.measured.values())
    if standing.stage is Stage.DECLARED:
        return facility
    return vouched(facility, standing.verified_by, standing.verified)


def rectify(state: State, number: int, note: str, document: str) -> list[Draft]:
    """Return the step that says how an anomaly was rectified; a verification must confirm it.

    Raises:
        ConflictError: it is settled.
        InputError: nothing is said.
        NotFoundError: there is no such anomaly.
    """
    anomaly = _open_one(state, number)
    if not note:
        raise InputError("how was it rectified?", where="note", hint="say it in a sentence")
    return [
        Draft(
            kind=Kind.RECTIFY,
            facility=anomaly.facility,
            subject=anomaly.subject,
            note=note,
            document=document,
        )
    ]


def waive(state: State, number: int, reason: str, document: str) -> list[Draft]:
    """Return the step that accepts an anomaly as it is; another figure opens a new one.

    Raises:
        ConflictError: it is settled.
        InputError: no reason is given.
        NotFoundError: there is no such anomaly.
    """
    anomaly = _open_one(state, number)
    if not reason:
        raise InputError("why may it stay so?", where="note", hint="give the reason")
    return [
        Draft(
            kind=Kind.WAIVE,
            facility=anomaly.facility,
            subject=anomaly.subject,
            note=reason,
            document=document,
        )
    ]


def _open_one(state: State, number: int) -> Anomaly:
    anomaly = state.anomalies.get(number)
    if anomaly is None:
        raise NotFoundError(
            f"there is no anomaly a{number}", hint="`fenglin inventory anomalies` lists them"
        )
    if not anomaly.unsettled:
        raise ConflictError(f"a{number} is {anomaly.state}")
    return anomaly


def standing_of(state: State, name: str) -> Standing:
    """Return a facility.

    Raises:
        NotFoundError: there is none.
    """
    found = state.facilities.get(name)
    if found is None:
        raise NotFoundError(
            f"there is no facility {name[:80]!r}", hint="`fenglin inventory show` lists them"
        )
    return found
