"""The inventory at work: who may, patience, files all or nothing, probes that prove themselves."""

import asyncio
import json

import pytest
from msgspec.structs import replace

from fenglin.engine.books.inventory import InventoryDesk
from fenglin.engine.status import SiteStatus
from fenglin.errors import (
    ConflictError,
    DamageError,
    DeniedError,
    InputError,
    InputProblems,
    NotFoundError,
)
from fenglin.ports.driver import SiteReport
from fenglin.ports.hub import Principal
from fenglin.probes import script_sha256
from fenglin.testing.builders import a_site
from fenglin.testing.clock import FakeClock
from fenglin.wire.inventory_views import InventoryAsk
from fenglin.wire.views import AllocationView, JobView, TaskCounts

ADMIN = Principal("ada", frozenset({"read", "write", "admin"}))
READER = Principal("rob", frozenset({"read"}))
TENANT = Principal("lab", frozenset({"read", "write", "admin"}), account="lab")
TEXT = """
[facility.gz1]
sites = ["site"]
grade = "declared"
date = "2026-11-20"
document = "paper"

[facility.gz1.compute.cpus]
class = "general"
device = "EPYC-7763"
count = 4
nodes = 2
"""


class Kept:
    """Steps in memory; `busy` times somebody else is quicker."""

    def __init__(self):
        self.all = []
        self.busy = 0

    async def steps(self, after):
        return [
            replace(one, body=b"") if one.kind == "publish" else one for one in self.all[after:]
        ]

    async def page(self, facility, after, limit):
        return [one for one in self.all[after:] if not facility or one.facility in ("", facility)][
            :limit
        ]

    async def body(self, seq):
        return self.all[seq - 1].body

    async def append(self, epoch, steps):
        assert epoch == 3
        if self.busy:
            self.busy -= 1
            return False
        self.all += steps
        return True


class StandIn:
    """What the desk needs of a pool: one site with two nodes."""

    epoch = 3

    def __init__(self):
        site = a_site(nodes=2)
        self.sites = {"site": SiteStatus(site, down="")}
        self.sites["site"].report = SiteReport(site.flavors, site.nodes)


class Room:
    """A desk, and what stands around it."""

    def __init__(self):
        self.kept, self.pool, self.clock = Kept(), StandIn(), FakeClock()
        self.desk = InventoryDesk(self.kept, self.pool, self.clock, 10_000)

    def declare(self, text=TEXT, who=ADMIN):
        return self.do(self.desk.declare(text.encode(), "gz.toml", "letter", who))

    def take(self, step, **words):
        return self.do(self.desk.take(InventoryAsk(step=step, **words), ADMIN))

    def do(self, work):
        return asyncio.run(work)

    def kinds(self):
        return [str(one.kind) for one in self.kept.all]


@pytest.fixture
def room():
    return Room()


def test_only_operators_see_it_and_only_administrators_keep_it(room):
    room.declare()
    assert room.do(room.desk.show(READER, every=False)).facilities[0].declared_by == "ada"
    with pytest.raises(DeniedError, match="tenant"):
        room.do(room.desk.show(TENANT, every=False))
    for who in (READER, TENANT):
        with pytest.raises(DeniedError):
            room.declare(who=who)
        with pytest.raises(DeniedError):
            room.do(room.desk.take(InventoryAsk(step="publish"), who))
    assert room.kinds() == ["declare", "validate"]


def test_every_mistake_in_devices_is_told_with_its_line_and_nothing_is_kept(room):
    more = (
        TEXT
        + '[facility.gz1.compute.a]\nclass = "ai"\ndevice = "A100-80"\ncount = 2\nfp16 = 1248\n'
    )
    more += '[facility.gz1.compute.b]\nclass = "ai"\ndevice = "Q9"\ncount = 1\n'
    with pytest.raises(InputProblems) as caught:
        room.declare(more)
    assert [(one.path, one.line) for one in caught.value.problems] == [
        ("facility.gz1.compute.a.fp16", 17),
        ("facility.gz1.compute.b.device", 20),
    ]
    assert "twice" in caught.value.problems[0].what
    with pytest.raises(InputError, match="UTF-8"):
        room.do(room.desk.declare(b"a = 1\n\xff", "gz.toml", "", ADMIN))
    assert room.kept.all == []


def test_an_order_is_given_after_patience_and_not_for_a_moment(room):
    room.declare()
    status = room.pool.sites["site"]
    status.drained = "new roof"
    room.do(room.desk.look())
    room.clock.advance(9_999)
    room.do(room.desk.look())
    assert "open" not in room.kinds()
    status.drained = None  # for a moment only
    room.do(room.desk.look())
    status.drained = "new roof"
    room.do(room.desk.look())
    room.clock.advance(9_999)
    room.do(room.desk.look())
    assert "open" not in room.kinds()
    room.clock.advance(1)
    room.do(room.desk.look())
    assert room.kinds()[-1] == "open"
    assert room.kept.all[-1].actor == "hub"

    status.drained = None
    room.do(room.desk.look())
    room.clock.advance(10_000)
    room.do(room.desk.look())
    room.do(room.desk.look())
    assert room.kinds()[-2:] == ["open", "agree"]
    (order,) = room.do(room.desk.show(READER, every=False)).anomalies
    assert (order.state, order.agrees, order.about) == ("open", True, "site.site")


def test_others_may_be_quicker_and_a_second_hub_is_heard(room):
    room.kept.busy = 2
    room.declare()
    other = InventoryDesk(room.kept, room.pool, room.clock, 10_000)
    room.do(other.take(InventoryAsk(step="verify", facility="gz1", document="visit"), ADMIN))
    view = room.do(room.desk.show(READER, every=False))
    assert (view.facilities[0].stage, view.facilities[0].verified) == ("verified", "visit")


def test_a_publication_that_was_changed_is_damage(room):
    room.declare()
    room.take("verify", facility="gz1", document="visit")
    room.take("publish")
    head = room.do(room.desk.snapshot("s1", READER)).head
    assert head.published_by == "ada"
    room.kept.all[-1] = replace(room.kept.all[-1], body=b"{}")
    with pytest.raises(DamageError, match="s1"):
        room.do(room.desk.snapshot("s1", READER))
    with pytest.raises(NotFoundError):
        room.do(room.desk.snapshot("s2", READER))


def test_months_are_compared_by_their_last_publication(room):
    room.clock.advance(1_790_000_000_000 - room.clock.now_ms())  # 2026-09
    room.declare()
    room.take("verify", facility="gz1", document="visit")
    room.take("publish")
    room.clock.advance(1_793_000_000_000 - room.clock.now_ms())  # 2026-10
    room.declare(TEXT.replace("count = 4", "count = 5"))
    room.take("verify", facility="gz1", document="visit 2")
    view = room.take("publish")
    diff = room.do(room.desk.diff("2026-09", "2026-10", READER))
    assert (diff.earlier, diff.later) == ("s1", "s2")
    changed = {one.key: (one.before, one.after) for one in diff.changes}
    assert changed["compute.cpus.count"] == ("4 (verified)", "5 (verified)")
    with pytest.raises(InputError, match="before"):
        room.do(room.desk.diff("s2", "s1", READER))

    empty, september, october = (
        room.do(room.desk.summary(month)) for month in ("2026-08", "2026-09", "2026-10")
    )
    assert (empty.snapshot, empty.totals, empty.steps) == (None, [], {})
    fp64 = {one.precision: one for one in september.totals}["fp64"]
    assert (fp64.devices_milli, fp64.nominal_gflops) == (4_000, 4 * 2_509)
    assert september.opened == []
    assert [one.id for one in october.opened] == [view.anomalies[0].id]
    assert [one.id for one in october.unsettled] == [view.anomalies[0].id]
    assert {one.key for one in october.changes} == {"compute.cpus.count"}


ANSWER = {
    "probe": 1, "node": "n0", "cpu": "AMD EPYC 7763 64-Core Processor", "cores": 128, "card": "",
    "figures": [
        {"what": "fp64", "value": 4.2, "unit": "TFLOPS", "how": "NumPy"},
        {"what": "memory_copy", "value": 300.5, "unit": "GB/s", "how": "copy"},
    ],
    "missing": [{"what": "int8", "why": "numpy absent"}],
}  # fmt: skip


def job(**more):
    allocation = AllocationView(
        "a9", "site", "std", "0", 1, ["n0"], "ended", 1, 0, 0, 1, 0, 0, 0, 0
    )
    plain = {
        "id": "j7", "name": "probe", "queue": "q", "account": "a", "priority": 0,
        "state": "succeeded", "reason": "", "detail": "", "task_count": 1, "tasks": TaskCounts(),
        "submitted_ms": 0, "started_ms": 0, "ended_ms": 1_790_000_000_000,
        "expected_finish_ms": 0, "held_micro": 0, "cost_micro": 0, "allocations": [allocation],
        "spec": {"files": [{"target": "probe.py", "sha256": script_sha256(), "size": 1}]},
    }  # fmt: skip
    return JobView(**(plain | more))


def test_a_probe_of_whole_processors_stands_beside_their_peak(room):
    room.declare()
    done = room.do(room.desk.measure(job(), json.dumps(ANSWER).encode(), "", ADMIN))
    found = done.measurement
    assert (done.entered, found.group, found.whole, found.date) == (
        True,
        "cpus",
        True,
        "2026-09-21",
    )
    # Two processors of 64 cores did it together: each half of it.
    assert [(one.what, one.milli) for one in found.figures] == [
        ("fp64", 2_100), ("memory_copy", 300_500),
    ]  # fmt: skip
    (total,) = room.do(room.desk.totals("general", "fp64", READER)).totals
    assert (total.measured_milli, total.measured_gflops) == (4_000, 4 * 2_100)
    (row,) = room.do(room.desk.rows("general:fp64", READER)).rows
    assert "probe j7, allocation a9" in row.measured_evidence
    with pytest.raises(ConflictError, match="already"):
        room.do(room.desk.measure(job(), json.dumps(ANSWER).encode(), "", ADMIN))


def test_a_part_of_a_processor_is_kept_beside_the_totals(room):
    room.declare()
    data = json.dumps({**ANSWER, "cores": 3}).encode()
    done = room.do(room.desk.measure(job(), data, "", ADMIN))
    assert (done.entered, done.measurement.group) == (False, "cpus")
    (total,) = room.do(room.desk.totals("general", "fp64", READER)).totals
    assert total.measured_milli == 0
    view = room.do(room.desk.show(READER, every=False))
    assert view.measurements == [done.measurement]


def test_a_result_above_the_nominal_peak_is_an_anomaly(room):
    room.declare()
    figures = [{"what": "fp64", "value": 9.9, "unit": "TFLOPS", "how": "NumPy"}]
    data = json.dumps({**ANSWER, "figures": figures}).encode()
    room.do(room.desk.measure(job(), data, "", ADMIN))
    (order,) = room.do(room.desk.show(READER, every=False)).anomalies
    assert order.rule == "measured_within_nominal"


@pytest.mark.parametrize(
    ("changed", "data", "group", "error"),
    [
        ({"state": "failed"}, ANSWER, "", ConflictError),
        ({"spec": {"files": [{"target": "probe.py", "sha256": "ab" * 32}]}}, ANSWER, "",
         ConflictError),
        ({"spec": {}}, ANSWER, "", ConflictError),
        ({}, {**ANSWER, "probe": 2}, "", InputError),
        ({}, {**ANSWER, "figures": []}, "", InputError),
        ({}, {**ANSWER, "cores": 0}, "", InputError),
        ({}, {**ANSWER, "node": "a\nb"}, "", InputError),
        ({}, {**ANSWER, "card": "NVIDIA H20"}, "cpus", InputError),
        ({}, ANSWER, "cards", NotFoundError),
    ],
)  # fmt: skip
def test_what_is_no_probe_is_not_entered(room, changed, data, group, error):
    room.declare()
    with pytest.raises(error):
        room.do(room.desk.measure(job(**changed), json.dumps(data).encode(), group, ADMIN))
    assert "measure" not in room.kinds()


def test_history_has_who_and_when_page_by_page(room):
    room.declare()
    room.take("verify", facility="gz1", document="visit", note="both halls")
    first = room.do(room.desk.history("gz1", 0, 2, READER))
    assert ([one.kind for one in first.steps], first.next) == (["declare", "validate"], 2)
    rest = room.do(room.desk.history("gz1", first.next, 2, READER))
    assert [(one.kind, one.actor, one.document) for one in rest.steps] == [
        ("verify", "ada", "visit: both halls")
    ]
    assert rest.next == 0


@pytest.mark.parametrize(
    ("ask", "error"),
    [
        ({"step": "erase"}, InputError),
        ({"step": "waive", "anomaly": "12"}, InputError),
        ({"step": "waive", "anomaly": "a12", "note": "x"}, NotFoundError),
        ({"step": "verify", "facility": "gz9", "document": "d"}, NotFoundError),
        ({"step": "verify", "facility": "gz1"}, InputError),
        ({"step": "verify", "facility": "gz1", "document": "a\nb"}, InputError),
        ({"step": "publish", "leave_out": ("gz1",)}, ConflictError),
    ],
)
def test_a_wrong_step_is_refused(room, ask, error):
    room.declare()
    with pytest.raises(error):
        room.take(**ask)
    assert room.kinds() == ["declare", "validate"]
