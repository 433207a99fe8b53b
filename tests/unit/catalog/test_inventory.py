"""The closed loop as rules: what opens, what closes, what may be published."""

import msgspec
import pytest
from msgspec.structs import replace

from fenglin.catalog.device import Grade
from fenglin.catalog.devices import BUILT_IN
from fenglin.catalog.inventory import loop
from fenglin.catalog.inventory.checks import Finding, check
from fenglin.catalog.inventory.difference import differences, suspicious
from fenglin.catalog.inventory.facts import Facility, Fact, Group, Status
from fenglin.catalog.inventory.measured import MeasuredFigure, Measurement, with_measured
from fenglin.catalog.inventory.observed import SeenFlavor, SeenSite, compare
from fenglin.catalog.inventory.steps import (
    AnomalyState,
    Kind,
    Snapshot,
    Stage,
    State,
    Step,
    fold,
)
from fenglin.errors import ConflictError, DamageError, InputError, NotFoundError
from fenglin.model.states import ComputeClass


def fact(value, grade=Grade.DECLARED):
    return Fact(milli=round(value * 1_000), grade=grade, date="2026-11-20", document="paper")


def cards(count, device="A100-80", **more):
    return Group(
        name="cards", compute_class=ComputeClass.AI, device=device, count=fact(count), **more
    )


GZ1 = Facility(name="gz1", sites=("one",), groups=(cards(8),))
CARDS = Finding("cards_as_declared", "device.A100-80", "8 x A100-80 declared, drivers see 7")


class Book:
    """A history that is written by decisions; `found` is what all checks find."""

    def __init__(self):
        self.state = State()
        self.found = []
        self.bodies = {}

    def take(self, drafts, actor="ann"):
        fresh = [
            Step(seq=seq, time_ms=seq, actor=actor, **msgspec.structs.asdict(one))
            for seq, one in enumerate(drafts, self.state.last + 1)
        ]
        for one in fresh:
            self.bodies[one.seq] = one.body
        fold(self.state, fresh)
        return [one.kind for one in fresh]

    def check(self, _facility):
        return self.found

    def declare(self, *facilities):
        return self.take(loop.declare(self.state, facilities, "letter", self.check))

    def verify(self, name="gz1"):
        return self.take(loop.verify(self.state, name, "", "visit", self.check), "vera")

    def look(self, name="gz1"):
        return self.take(loop.observed(self.state, name, self.found), "hub")

    def publish(self, *left_out):
        before = None
        if self.state.snapshots:
            before = msgspec.json.decode(self.bodies[self.state.snapshots[-1].seq], type=Snapshot)
        return self.take(loop.publish(self.state, left_out, "", before))

    def anomaly(self, number=None):
        return list(self.state.anomalies.values())[-1 if number is None else number]


@pytest.fixture
def book():
    return Book()


def test_an_anomaly_ends_only_by_rectifying_and_verifying(book):
    book.found = [CARDS]
    assert book.declare(GZ1) == [Kind.DECLARE, Kind.VALIDATE, Kind.OPEN]
    number = book.anomaly().number
    assert book.look() == []  # it has its order already
    assert book.verify() == [Kind.VERIFY]
    assert book.state.facilities["gz1"].stage is Stage.DECLARED

    book.found = []
    assert book.look() == [Kind.AGREE]
    assert book.look() == []  # told once
    assert book.verify() == [Kind.VERIFY]
    assert (book.anomaly().state, book.anomaly().agrees) == (AnomalyState.OPEN, True)

    book.take(loop.rectify(book.state, number, "the card is back", ""))
    assert book.verify() == [Kind.CLOSE, Kind.VERIFY]
    closed = book.anomaly()
    assert (closed.state, closed.rectified, closed.settled_by) == (
        AnomalyState.CLOSED, "the card is back", "vera",
    )  # fmt: skip
    assert book.state.facilities["gz1"].stage is Stage.VERIFIED
    with pytest.raises(ConflictError, match="closed"):
        loop.rectify(book.state, number, "again", "")
    book.found = [CARDS]
    assert book.look() == [Kind.OPEN]
    assert book.anomaly().number != number


def test_what_was_rectified_and_does_not_fit_is_open_again(book):
    book.found = [CARDS]
    book.declare(GZ1)
    book.take(loop.rectify(book.state, book.anomaly().number, "done", ""))
    assert book.verify() == [Kind.REOPEN, Kind.VERIFY]
    assert book.anomaly().state is AnomalyState.OPEN


def test_a_site_that_does_not_answer_closes_nothing(book):
    book.found = [CARDS]
    book.declare(GZ1)
    book.take(loop.rectify(book.state, book.anomaly().number, "done", ""))
    book.found = [Finding("site_answers", "site.one", "one does not answer")]
    assert book.look() == [Kind.OPEN]  # the silence itself, and no word on the cards
    assert book.verify() == [Kind.VERIFY]
    assert book.anomaly(0).state is AnomalyState.RECTIFIED


def test_a_waiver_holds_for_exactly_what_was_waived(book):
    book.found = [CARDS]
    book.declare(GZ1)
    book.take(loop.waive(book.state, book.anomaly().number, "in repair until May", ""))
    assert book.look() == []
    assert book.verify() == [Kind.VERIFY]
    assert book.state.facilities["gz1"].stage is Stage.VERIFIED
    book.publish()
    snapshot = msgspec.json.decode(book.bodies[book.state.last], type=Snapshot)
    assert "in repair until May" in snapshot.waived[0]
    book.found = [CARDS._replace(what="8 x A100-80 declared, drivers see 2")]
    assert book.look() == [Kind.OPEN]


def test_a_waived_difference_that_went_away_and_came_back_is_new(book):
    book.found = [CARDS]
    book.declare(GZ1)
    book.take(loop.waive(book.state, book.anomaly().number, "in repair", ""))
    book.found = []
    assert book.look() == [Kind.AGREE]
    book.found = [CARDS]
    assert book.look() == [Kind.OPEN]


def test_an_open_order_says_when_it_differs_again(book):
    book.found = [CARDS]
    book.declare(GZ1)
    book.found = []
    book.look()
    book.found = [CARDS]
    assert book.look() == [Kind.DIFFER]
    assert not book.anomaly().agrees


def test_publications_are_numbered_and_only_of_what_is_verified(book):
    with pytest.raises(ConflictError, match="nothing to publish"):
        book.publish()
    book.declare(GZ1)
    with pytest.raises(ConflictError, match="not verified"):
        book.publish()
    book.verify()
    assert book.publish() == [Kind.PUBLISH]
    with pytest.raises(ConflictError, match="exactly this"):
        book.publish()
    gz2 = replace(GZ1, name="gz2", sites=("two",))
    book.declare(gz2)
    with pytest.raises(ConflictError, match="gz2"):
        book.publish()
    with pytest.raises(NotFoundError):
        book.publish("gz3")
    assert book.publish("gz2") == [Kind.PUBLISH]
    assert book.state.snapshots[1].number == 2
    assert book.state.facilities["gz2"].stage is Stage.DECLARED
    snapshot = msgspec.json.decode(book.bodies[book.state.last], type=Snapshot)
    assert [one.facility.name for one in snapshot.facilities] == ["gz1"]
    # A person's word raises what was declared.
    count = snapshot.facilities[0].facility.groups[0].count
    assert (count.grade, count.document) == ("verified", "paper; verified by vera: visit")


def test_devices_that_come_or_go_between_publications_are_explained_once(book):
    book.declare(GZ1)
    book.verify()
    book.publish()
    book.declare(replace(GZ1, groups=(cards(6),)))
    book.verify()
    assert book.publish() == [Kind.PUBLISH, Kind.OPEN]
    order = book.anomaly()
    assert order.what == "8 x A100-80 became 6 x A100-80"
    assert book.look() == []  # history does not go away, and needs no look
    book.take(loop.rectify(book.state, order.number, "two were sold, invoice 3", ""))
    assert book.verify() == [Kind.CLOSE, Kind.VERIFY]


def test_a_site_stands_in_one_facility_and_nothing_is_declared_twice(book):
    book.declare(GZ1)
    with pytest.raises(ConflictError, match="exactly so"):
        book.declare(GZ1)
    with pytest.raises(ConflictError, match="stands in gz1"):
        book.declare(replace(GZ1, name="gz2"))
    assert list(book.state.facilities) == ["gz1"]


@pytest.mark.parametrize("decide", [loop.rectify, loop.waive])
def test_nothing_is_settled_without_a_word(book, decide):
    book.found = [CARDS]
    book.declare(GZ1)
    with pytest.raises(InputError):
        decide(book.state, book.anomaly().number, "", "")
    with pytest.raises(NotFoundError):
        decide(book.state, 99, "words", "")
    with pytest.raises(InputError, match="evidence"):
        loop.verify(book.state, "gz1", "", "", book.check)


def test_a_missing_step_is_damage(book):
    book.declare(GZ1)
    one = Step(
        seq=9, time_ms=0, actor="a", kind=Kind.VERIFY, facility="gz1", subject="", note="",
        document="", body=b"",
    )  # fmt: skip
    with pytest.raises(DamageError, match="step 3"):
        fold(book.state, [one])


def seen(*, count=8, up=2, drained=None, answers=True, device="A100-80"):
    flavor = SeenFlavor(
        name="std", compute_class=ComputeClass.AI, device=device, nodes=2, nodes_up=up,
        cards_milli=count * 1_000,
    )  # fmt: skip
    return {"one": SeenSite(name="one", answers=answers, drained=drained, flavors=(flavor,))}


@pytest.mark.parametrize(
    ("sites", "rules"),
    [
        (seen(), []),
        ({}, ["site_in_pool"]),
        (seen(answers=False, count=1), ["site_answers"]),
        (seen(drained="new roof"), ["site_serves"]),
        (seen(up=1), ["nodes_up"]),
        (seen(count=7), ["cards_as_declared"]),
        (seen(count=9), ["cards_as_declared"]),
        (seen(device="NVIDIA A100-SXM4-80GB"), []),
        (seen(device="H20"), ["cards_as_declared", "cards_as_declared"]),
    ],
)
def test_what_is_seen_is_compared_with_what_was_declared(sites, rules):
    assert [one.rule for one in compare(GZ1, sites, BUILT_IN)] == rules


def test_what_is_not_for_sale_need_not_be_seen():
    partly = replace(GZ1, groups=(cards(8, sellable=fact(6), nodes=fact(2)),))
    assert [compare(partly, seen(count=n), BUILT_IN) == [] for n in (5, 6, 8, 9)] == [
        False, True, True, False,
    ]  # fmt: skip
    three = replace(GZ1, groups=(cards(8, nodes=fact(3)),))
    assert [one.rule for one in compare(three, seen(), BUILT_IN)] == ["nodes_as_declared"]
    assert compare(replace(GZ1, status=Status.BUILDING), {}, BUILT_IN) == []


def snapshot(facility):
    return Snapshot(
        number=1,
        facilities=(
            loop.Published(
                facility=facility, declared_seq=1, declared_by="a", verified_by="v", verified="d"
            ),
        ),
    )


def test_jumps_and_worse_evidence_are_suspicious_small_moves_are_only_differences():
    old = replace(GZ1, facts={"pue": fact(1.2, Grade.MEASURED), "servers": fact(10)})
    new = replace(old, status=Status.BUILDING, facts={"pue": fact(1.3), "servers": fact(16)})
    found = suspicious(snapshot(old), snapshot(new))
    assert [one.rule for one in found["gz1"]] == [
        "change_of_status", "change_of_evidence", "change_of_figure",
    ]  # fmt: skip
    changed = {
        one.key: (one.before, one.after) for one in differences(snapshot(old), snapshot(new))
    }
    assert changed == {
        "pue": ("1.2 (measured)", "1.3 (declared)"),
        "servers": ("10 servers (declared)", "16 servers (declared)"),
        "status": ("in_use", "building"),
    }


def measurement(tflops, *, whole=True):
    figure = MeasuredFigure(what="fp16", milli=tflops * 1_000, unit="TFLOPS", how="words")
    return Measurement(
        facility="gz1", group="cards", site="one", flavor="std", job="j7", allocation="a9",
        date="2026-11-21", node="n0", device="NVIDIA A100-SXM4-80GB", whole=whole,
        figures=(figure,),
    )  # fmt: skip


def test_a_probe_of_a_whole_device_stands_beside_the_nominal_peak():
    measured = with_measured(GZ1, [measurement(250)]).groups[0].measured["fp16"]
    assert (measured.milli, measured.grade) == (250_000, "measured")
    assert measured.document == "probe j7, allocation a9, at one/std"
    assert with_measured(GZ1, [measurement(250, whole=False)]) == GZ1
    found = check(with_measured(GZ1, [measurement(400)]), BUILT_IN)
    assert [one.rule for one in found] == ["measured_within_nominal"]
