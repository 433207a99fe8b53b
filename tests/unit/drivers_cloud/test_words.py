"""Providers' words in ours: errors, types, prices; and settings that cannot be."""

from itertools import pairwise

import pytest

from fenglin.drivers.cloud import amazon, nova
from fenglin.drivers.cloud.costs import HOUR_MS, charges
from fenglin.drivers.cloud.provider import Machine
from fenglin.drivers.cloud.purchases import Phase, Purchase, token
from fenglin.drivers.cloud.types import card_of, judge, observed
from fenglin.errors import InputError
from fenglin.model.site import Flavor
from fenglin.model.states import ComputeClass
from fenglin.quantities.resources import Resources

GIB = 2**30


@pytest.mark.parametrize(
    ("code", "reason", "unknown"),
    [
        ("VcpuLimitExceeded", "provider_quota", False),
        ("MaxSpotInstanceCountExceeded", "provider_quota", False),
        ("InsufficientInstanceCapacity", "provider_capacity", False),
        ("SpotMaxPriceTooLow", "price_ceiling", False),
        ("UnauthorizedOperation", "start_failed", False),
        ("RequestLimitExceeded", "start_failed", False),
        ("InvalidAMIID.NotFound", "start_failed", False),
        ("InternalError", "", True),
        ("Unavailable", "", True),
    ],
)
def test_errors_of_ec2(code, reason, unknown):
    error = amazon.translated(code, "said", "site aws")
    assert (error.reason, error.effect_unknown) == (reason, unknown)
    assert error.what == f"{code}: said"


@pytest.mark.parametrize(
    ("status", "said", "reason", "unknown"),
    [
        (
            403,
            "Quota exceeded for cores: Requested 4, but already used 20",
            "provider_quota",
            False,
        ),
        (403, "Policy doesn't allow it", "start_failed", False),
        (400, "Invalid image", "start_failed", False),
        (500, "oops", "", True),
        (504, "", "", True),
    ],
)
def test_errors_of_nova(status, said, reason, unknown):
    error = nova.translated(status, said, "site os")
    assert (error.reason, error.effect_unknown) == (reason, unknown)


@pytest.mark.parametrize(
    ("card", "memory_gib", "known"),
    [("A100", 80, "A100-80"), ("A100-80", 0, "A100-80"), ("moon", 1, ""), ("", 0, "")],
)
def test_cards_have_their_name_in_the_registry(card, memory_gib, known):
    machine = Machine(
        "m", 1_000, GIB, cards=2 if card else 0, card=card, card_memory_gib=memory_gib
    )
    assert card_of(machine) == known


def test_types_as_ec2_tells_of_them():
    told = {
        "InstanceType": "p4de.24xlarge",
        "VCpuInfo": {"DefaultVCpus": 96},
        "MemoryInfo": {"SizeInMiB": 1_179_648},
        "GpuInfo": {"Gpus": [{"Name": "A100", "Count": 8, "MemoryInfo": {"SizeInMiB": 81_920}}]},
    }
    machine = amazon.machine_of(told)
    assert (machine.cpu_milli, machine.memory_bytes, machine.cards) == (96_000, 1_152 * GIB, 8)
    assert card_of(machine) == "A100-80"


def test_flavors_as_nova_tells_of_them():
    specs = {"pci_passthrough:alias": "A100-80:2", "hw:cpu_policy": "dedicated"}
    told = {"name": "g", "vcpus": 8, "ram": 4_096, "disk": 20, "extra_specs": specs}
    machine = nova.machine_of(told)
    assert (machine.cpu_milli, machine.memory_bytes, machine.cards) == (8_000, 4 * GIB, 2)
    assert card_of(machine) == "A100-80"
    assert nova.machine_of({**told, "extra_specs": {"resources:VGPU": "1"}}).cards == 1


def flavor(cpu=4_000, cards=0, card=""):
    return Flavor("f", ComputeClass.AI, Resources(cpu, 8 * GIB, 0, cards * 1_000), accelerator=card)


def test_a_type_must_hold_what_its_flavor_declares():
    machine = Machine("m", 4_000, 16 * GIB, cards=1, card="A100", card_memory_gib=80)
    assert judge(flavor(), machine, "m") == ""
    assert judge(flavor(), None, "m") == "there is no type m"
    assert "4 cores, 8 declared" in judge(flavor(cpu=8_000), machine, "m")
    assert "1 cards, 2 declared" in judge(flavor(cards=2, card="A100-80"), machine, "m")
    assert "H20 declared" in judge(flavor(cards=1, card="H20"), machine, "m")
    seen = observed(flavor(), machine)
    assert (seen.accelerator, seen.node.accelerator_milli) == ("A100-80", 1_000)


def bought(**fields):
    plain = {
        "number": 1, "node": "n", "flavor": "f", "machine": "m", "spot": False,
        "hour_micro": 1_000_001, "fingerprint": "x", "phase": Phase.BOUGHT, "instance": "i-1",
        "bought_ms": 1_000,
    }  # fmt: skip
    return Purchase(**{**plain, **fields})


def test_each_hour_is_a_line_and_the_last_is_shorter():
    end_ms = 1_000 + 2 * HOUR_MS + HOUR_MS // 2
    lines = charges([bought(gone_ms=end_ms)], "CNY", 0, 10**12, 10**12)
    assert [line.line for line in lines] == ["i-1/0", "i-1/1", "i-1/2"]
    assert lines[0].started_ms == 1_000
    assert lines[-1].ended_ms == end_ms
    assert all(a.ended_ms == b.started_ms for a, b in pairwise(lines))
    assert sum(line.amount_micro for line in lines) == 2_500_002  # half to even at the end
    assert lines[0].what == "m on demand, node n"


def test_an_hour_that_is_not_over_has_no_line_yet():
    now_ms = 1_000 + HOUR_MS + 5
    lines = charges([bought()], "CNY", 0, 10**12, now_ms)
    assert [line.line for line in lines] == ["i-1/0"]
    assert charges([bought()], "CNY", lines[0].ended_ms + 1, 10**12, now_ms) == []
    assert charges([bought()], "CNY", 0, lines[0].ended_ms, now_ms) == []
    assert charges([bought(bought_ms=0, gone_ms=5)], "CNY", 0, 10**12, now_ms) == []


def test_a_token_is_of_one_purchase_alone():
    known = {
        token(*words) for words in [("h", "s", "n", 1), ("h", "s", "n", 2), ("h", "sn", "", 1)]
    }
    assert len(known | {token("h", "s", "n", 1)}) == 3


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ({"buy": {"std": {"type": "s", "hourly": 1}}}, "settings.buy.big"),
        ({"image": "debian"}, "settings.image"),
        ({"user": "-oProxyCommand"}, "settings.user"),
        ({"currency": "gold"}, "settings.currency"),
        ({"max_price_per_hour": "1 USD"}, "max_price_per_hour"),
        ({"idle": "soon"}, "settings.idle"),
        ({"tags": {"fenglin-hub": "x"}}, "settings.tags"),
        ({"moon": 1}, "site.aws"),
        ({"ssh": {"nice": 77}}, "nice"),
        ({"ssh": {"hosts": []}}, "ssh.hosts"),
        ({"key_file": "/nowhere/key"}, "key_file"),
    ],
)
def test_what_cannot_be_set(play, settings, where):
    with pytest.raises(InputError) as caught:
        play(**settings)
    assert where in caught.value.where
