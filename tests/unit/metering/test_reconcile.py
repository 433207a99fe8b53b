"""Our use against the provider's, and what becomes of the differences."""

import pytest
from msgspec.structs import replace

from fenglin.errors import ConflictError, InputError
from fenglin.ledger.metering.items import State, What, check_move
from fenglin.ledger.metering.reconcile import Told, Tolerance, Used, impossible, reconcile
from fenglin.ledger.metering.records import ProviderRecord, digest
from fenglin.ledger.metering.spans import Span, span_findings

TOLERANCE = Tolerance(20, 1_000, 10)
USED = Used(
    attempt="hub-a1-1", site="gz", tasks=4, wall_ms=400_000, cores_milli=1_500, cards_milli=0,
    nodes=1, started_ms=1_000_000, ended_ms=1_200_000, cost_micro=2_000_000, currency="CNY",
)  # fmt: skip
SAME = Told(lines=4, wall_ms=400_000, core_ms=800_000, card_ms=0, cost_micro=2_000_000,
            currency="CNY")  # fmt: skip


def found(used=USED, told=SAME, covered=(0, 2_000_000)):
    theirs = {} if told is None else {used.attempt: told}
    return [
        (one.what, one.ours, one.theirs)
        for one in reconcile([used], theirs, TOLERANCE, source="sacct", covered=covered)
    ]


def test_equal_records_match_and_whole_cores_may_be_held_for_parts():
    assert found() == []
    assert found(told=replace(SAME, core_ms=600_000)) == []


@pytest.mark.parametrize(("wall_ms", "differs"), [(412_000, False), (412_001, True),
                                                  (388_000, False), (387_999, True)])  # fmt: skip
def test_durations_differ_beyond_share_and_slack(wall_ms, differs):
    # 2 % of 400 s, and a second for each of four lines.
    told = replace(SAME, wall_ms=wall_ms, core_ms=None, card_ms=None)
    expected = [(What.DURATION, "400.000 s", f"{wall_ms / 1_000:.3f} s")] if differs else []
    assert found(told=told) == expected


def test_resources_and_cost_differ():
    assert found(told=replace(SAME, core_ms=1_600_000)) == [
        (What.RESOURCES, "1.5 cores", "4 cores")
    ]
    assert found(told=replace(SAME, card_ms=400_000)) == [(What.RESOURCES, "0 cards", "1 cards")]
    assert found(told=replace(SAME, cost_micro=2_020_000)) == []
    assert found(told=replace(SAME, cost_micro=2_020_001)) == [
        (What.COST, "2.00 CNY", "2.020001 CNY")
    ]
    assert found(told=replace(SAME, currency="USD"))[0][2] == "2000000 micro-USD"


def test_what_is_missing_is_judged_only_within_the_time_that_is_told_of():
    assert found(told=None) == [(What.MISSING_AT_PROVIDER, "400.000 s", "")]
    assert found(told=None, covered=(0, 1_199_999)) == []
    assert found(told=None, covered=(1_000_001, 2_000_000)) == []
    assert found(replace(USED, wall_ms=0), None) == []


def test_a_record_that_its_own_times_forbid():
    assert impossible(USED, TOLERANCE) is None
    assert impossible(replace(USED, wall_ms=804_001), TOLERANCE).what is What.IMPOSSIBLE
    assert impossible(replace(USED, wall_ms=-1), TOLERANCE).what is What.IMPOSSIBLE


def spans(*rows, form="focus"):
    made = sorted(Span(resource, start, end, line) for resource, start, end, line in rows)
    found = span_findings(made, 10, site="gz", source="bill", form=form)
    return [(one.what, one.subject, one.theirs) for one in found]


def test_overlaps_and_gaps_of_a_resource():
    whole = [("vm", 0, 1_000, "a"), ("vm", 1_005, 2_000, "b"), ("disk", 0, 2_000, "c")]
    assert spans(*whole) == []
    twice = ("vm", 500, 700, "x")
    assert spans(*whole, twice) == [(What.OVERLAP, "a x", "0.200 s")]
    assert spans(whole[0], ("vm", 1_500, 2_000, "d")) == [(What.GAP, "a d", "0.500 s")]
    # A requeued element of Slurm has a break by right, and no second life at once.
    assert spans(whole[0], ("vm", 1_500, 2_000, "d"), form="sacct") == []
    assert spans(*whole, twice, form="sacct") == [(What.OVERLAP, "a x", "0.200 s")]


def test_a_discrepancy_goes_its_way_and_never_without_a_reason():
    for now, then in (
        (State.OPEN, State.DISPUTED), (State.DISPUTED, State.ACCEPTED),
        (State.ACCEPTED, State.CLOSED), (State.EXPLAINED, State.DISPUTED),
    ):  # fmt: skip
        check_move(now, then, "because")
    for now, then in (
        (State.OPEN, State.CLOSED), (State.CLOSED, State.OPEN), (State.CLOSED, State.DISPUTED),
        (State.DISPUTED, State.OPEN), (State.OPEN, State.OPEN),
    ):  # fmt: skip
        with pytest.raises(ConflictError, match=f"it is {now}"):
            check_move(now, then, "because")
    for why in ("", "  ", "a\nb", "x" * 1_001):
        with pytest.raises(InputError, match="reason"):
            check_move(State.OPEN, State.ACCEPTED, why)


def test_the_digest_tells_any_two_bodies_apart():
    one = ProviderRecord("l", "", "n", 1, 2, 3)
    others = [replace(one, wall_ms=None), replace(one, core_ms=0), replace(one, what="x")]
    assert digest(one) == digest(ProviderRecord("l", "", "n", 1, 2, 3))
    assert len({digest(each) for each in (one, *others)}) == 4
