"""What the Slurm driver says to Slurm and understands of it, without a cluster."""

import asyncio

import pytest
from msgspec.structs import replace

from fenglin.drivers.slurm.commands import Slurm
from fenglin.drivers.slurm.inventory import _licences
from fenglin.drivers.slurm.layout import Layout, lay_out
from fenglin.drivers.slurm.options import batch_options, comment
from fenglin.drivers.slurm.parse import (
    Ended,
    card_type,
    is_usable,
    read_accounts,
    read_cards,
    read_licences,
    read_nodes,
    read_queue,
    read_states,
)
from fenglin.drivers.slurm.settings import Partition, read_settings
from fenglin.drivers.slurm.transport import Answer
from fenglin.drivers.slurm.wishes import chosen
from fenglin.errors import DriverError, InputError
from fenglin.model.allocation import Share
from fenglin.model.site import Flavor, Node
from fenglin.model.states import ComputeClass
from fenglin.model.wishes import SchedulerWish
from fenglin.ports.driver import StartOrder
from fenglin.quantities.resources import Resources

FLAVORS = (Flavor("cpu", ComputeClass.SUPER, Resources(8_000, 2**33)),)
BASE = {"flavors": FLAVORS, "nodes": (Node("cpu-0", "cpu"),), "shared_dir": "/scratch"}


PLAIN = StartOrder(
    key="h1-a7-1", epoch=1, hub="h1", job="j3", job_name="frames", site="hpc", flavor="cpu",
    tasks="0-9", task_count=10, tries=(), shares=(Share("cpu-0", 4),), nodes=1,
    resources=Resources(1_000, 2**26), command=("true",), script="", env=(("TOKEN", "secret"),),
    workdir="", inputs=(), artifacts=(), artifacts_dir="/nowhere", timeout_ms=0,
)  # fmt: skip


def options(settings=None, **fields):
    order = replace(PLAIN, **fields)
    checked = read_settings({**BASE, **(settings or {})}, "site.hpc")
    layout = lay_out(order.tasks, 1_001, checked.pack)
    card = "a100" if order.resources.accelerator_milli else ""
    return batch_options(order, layout, checked, f"{checked.shared_dir}/o", card)


@pytest.mark.parametrize(
    ("tasks", "most", "pack", "array", "elements"),
    [
        ("0-9", 1_001, 1, "0-9%4", 10),
        ("3,7,9-10", 1_001, 1, "3,7,9-10%4", 4),
        ("1000", 1_001, 1, "1000%4", 1),
        ("1001", 1_001, 1, "", 1),
        ("0-999", 1_001, 10, "0-99%4", 100),
        ("0-99999", 1_001, 1, "0-999%4", 1_000),
        ("0-9", 1, 1, "", 1),
    ],
)
def test_tasks_become_elements(tasks, most, pack, array, elements):
    layout = lay_out(tasks, most, pack)
    parts = layout.elements()
    assert (layout.array(4), len(parts)) == (array, elements)
    ran = [task for part in parts.values() for task in part]
    assert ran == [task for part in Layout(tasks).elements().values() for task in part]
    assert not parts or max(parts) < max(most, 1)


def test_elements_of_single_tasks_keep_their_number():
    assert lay_out("4-6", 1_001).elements() == {4: (4,), 5: (5,), 6: (6,)}


def test_options_of_a_plain_order():
    said = options({"account": "proj", "options": ["--exclude=n7"]}, timeout_ms=90_000)
    assert {
        "--job-name=h1-a7-1", "--comment=fenglin:h1:j3:frames", "--partition=cpu",
        "--account=proj", "--exclude=n7", "--array=0-9%4", "--cpus-per-task=1", "--mem=96M",
        "--time=3", "--no-requeue", "--output=/scratch/o", "--chdir=/scratch",
    } <= set(said)  # fmt: skip
    assert not any("secret" in word for word in said)


def test_a_flavor_may_have_an_account_and_options_of_its_own():
    own = {"name": "gpu", "account": "a2", "reservation": "r2", "options": ["--licenses=ansys:1"]}
    settings = {"account": "a1", "reservation": "r1", "options": ["--nice=10"]}
    told = options({**settings, "partition": {"cpu": own}})
    assert told[:2] == ["--nice=10", "--licenses=ansys:1"]
    assert {"--partition=gpu", "--account=a2", "--reservation=r2"} <= set(told)
    with pytest.raises(InputError):
        options({"partition": {"cpu": {"options": ["--wrap=true"]}}})


def test_a_gang_is_one_job_of_its_nodes():
    told = options(nodes=2)
    assert {"--nodes=2", "--ntasks=2", "--ntasks-per-node=1", "--array=0-9%2"} <= set(told)
    assert "--ntasks-per-node=1" not in options()


def test_parts_of_cores_and_cards_become_whole_ones():
    said = options(resources=Resources(1_500, 0, 0, 1_500))
    assert {"--cpus-per-task=2", "--gres=gpu:a100:2"} <= set(said)
    assert not any(word.startswith(("--mem", "--time")) for word in said)


@pytest.mark.parametrize("name", ["--wrap=rm", "a\nb", "$(reboot)", "'; ls", "x" * 999, "雪", ""])
def test_no_name_means_anything_to_slurm(name):
    text = comment("h1", "j3", name)
    assert len(text) <= 120
    assert set(text) <= set("abcdefghijklmnopqrstuvwxyz0123456789:._-")
    assert sum(word.startswith("--comment=") for word in options(job_name=name)) == 1


def test_a_wish_counts_before_the_tenants_account_and_that_before_the_partitions():
    block = {
        "account": "site", "partition": {"cpu": Partition("p", account="part", qos="q")},
        "accounts": {"team": "physics"},
        "per_job": {"account": {"chem": ["team"]}, "qos": ["long"]},
    }  # fmt: skip
    checked = read_settings({**BASE, **block}, "site.hpc")
    wishes = (SchedulerWish("account", "chem"), SchedulerWish("qos", "long"))

    def said(account, *asked):
        order = replace(PLAIN, account=account, wishes=asked)
        given = batch_options(order, Layout("0"), checked, "/o", "", own=chosen(order, checked))
        return [w for w in given if w.startswith(("--account", "--qos", "--reservation"))]

    assert said("team", *wishes) == ["--qos=long", "--account=chem"]
    assert said("team") == ["--qos=q", "--account=physics"]
    assert said("other", *wishes) == ["--qos=long", "--account=part"]
    assert said("other", SchedulerWish("reservation", "x")) == ["--qos=q", "--account=part"]
    with pytest.raises(DriverError, match="not granted to account other"):
        said("other", SchedulerWish("account", "chem", required=True))
    assert checked.per_job.labels() == (
        ("scheduler.account@team", "chem"), ("scheduler.qos", "long")
    )  # fmt: skip


def test_a_flavor_that_is_gone_is_refused():
    with pytest.raises(DriverError, match="no flavor"):
        options(flavor="gpu")


@pytest.mark.parametrize(
    "wrong",
    [
        {"shared_dir": "relative"}, {"shared_dir": "/a b"}, {"shared_dir": "/a%j"},
        {"shared_dir": 3}, {"account": "-x"}, {"account": "a\nb"}, {"qos": "a b"},
        {"partition": {"gpu": "x"}}, {"partition": {"cpu": "a b"}},
        {"partition": {"cpu": {"x": 1}}},
        {"options": ["-p x"]}, {"options": ["--array=1"]}, {"options": ["--wrap=ls"]},
        {"options": ["--exclude=a\nb"]}, {"pack": 0}, {"poll": "soon"}, {"log_cap": "much"},
        {"accounts": {"team": ""}}, {"accounts": {"team": "a b"}},
        {"per_job": {"account": ["chem"]}}, {"per_job": {"qos": ["--wrap=x"]}},
        {"per_job": {"qos": {"": ["team"]}}}, {"per_job": {"partition": ["x"]}},
        {"sharde_dir": "/x"}, {"conf": "slurm.conf"}, {"python": ""},
    ],
)  # fmt: skip
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(InputError) as caught:
        read_settings({**BASE, **wrong}, "site.hpc")
    assert caught.value.where.startswith("site.hpc")


def test_the_queue_is_read_for_our_names_alone():
    text = (
        "12|3|h1-a1-1\n12|[4-6,9%2]|h1-a1-1\n13|N/A|h1-a2-1\n"
        "99|0-9|h1x-a1-1\n98|N/A|with|bars|h1-a3-1\n97|what|ever\n"
    )
    assert read_queue(text, "h1-a") == {"h1-a1-1": {12: {3, 4, 5, 6, 9}}, "h1-a2-1": {13: {0}}}


@pytest.mark.parametrize("line", ["x|3|h1-a1-1", "12|..|h1-a1-1", "12|[1-2...]|h1-a1-1"])
def test_a_listing_that_is_not_understood_proves_nothing(line):
    with pytest.raises(ValueError, match=r".+"):
        read_queue(line, "h1-a")


def test_states_of_elements():
    known, rest = read_states(
        "JobId=5 ArrayJobId=1 ArrayTaskId=3 JobName=a JobState=NODE_FAIL NodeList=n1 Command=/x\n"
        "JobId=6 ArrayJobId=1 ArrayTaskId=7-8%2 JobState=PENDING NodeList=(null)\n"
        "JobId=1 ArrayJobId=1 ArrayTaskId=4294967294 JobState=CANCELLED NodeList= StdOut=/x\n"
    )
    assert known == {
        3: Ended("NODE_FAIL", ran=True),
        7: Ended("PENDING", ran=False),
        8: Ended("PENDING", ran=False),
    }
    assert rest == Ended("CANCELLED", ran=False)
    assert known[7].live
    assert not known[3].live


@pytest.mark.parametrize(
    ("state", "usable"),
    [
        ("idle", True), ("mixed", True), ("allocated", True), ("idle~", True), ("completing", True),
        ("idle*", False), ("down", False), ("down*", False), ("drained", False),
        ("draining", False),
        ("drained*", False), ("maint", False), ("reserved", False), ("unknown", False),
        ("fail", False), ("", False), ("something new", False),
    ],
)  # fmt: skip
def test_usable_nodes(state, usable):
    assert is_usable(state) is usable


def test_nodes_and_their_cards():
    (node,) = read_nodes("n1|gpu*|up|mixed|64|512000|gpu:a100:4(S:0-1),shard:8|avx512,ib|none\n")
    assert (node.name, node.partition, node.up, node.cards) == ("n1", "gpu", True, (("a100", 4),))
    assert node.features == ("avx512", "ib")
    (down,) = read_nodes("n1|gpu|down|idle|64|512000|(null)|(null)|bad dimm | slot 3\n")
    assert down.problem == "its partition is down: bad dimm | slot 3"
    assert (down.up, down.cards, down.features) == (False, (), ())
    assert read_cards("gpu:2") == (("", 2),)


def test_cards_are_found_by_the_registry():
    assert card_type("A100-80", frozenset({"nvidia_h100", "a100-80gb"})) == "a100-80gb"
    assert card_type("A100-80", frozenset({""})) == ""
    with pytest.raises(LookupError):
        card_type("A100-80", frozenset({"mi300x"}))


def test_accounts_tell_of_what_the_controller_has_forgotten():
    known, rest = read_accounts(
        "17_0|COMPLETED|n1\n17_1|NODE_FAIL|n2\n17_2|CANCELLED by 1000|None assigned\n"
        "17_[3-5%2]|PENDING|None assigned\n17_[6,8-...]|CANCELLED by 1000|None assigned\n"
    )
    assert known[0] == Ended("COMPLETED", ran=True)
    assert known[1] == Ended("NODE_FAIL", ran=True)
    assert known[2] == Ended("CANCELLED", ran=False)
    assert [known[i].live for i in (3, 4, 5)] == [True] * 3
    assert rest == Ended("CANCELLED", ran=False)
    assert read_accounts("18|OUT_OF_MEMORY|n3\n")[0] == {0: Ended("OUT_OF_MEMORY", ran=True)}


@pytest.mark.parametrize(
    ("release", "line"),
    [
        # The same node as sinfo prints it in 22.05 and in 24.11.
        ("22.05", "n1|main*|up|idle|8|16000|gpu:a100:2|gpunode,ib|none"),
        ("24.11", "n1|main*|up|idle|8|16000|gpu:a100:2(S:0)|gpunode,ib|none"),
    ],
)
def test_nodes_of_both_releases(release, line):
    (node,) = read_nodes(line)
    assert (node.partition, node.up, node.cards) == ("main", True, (("a100", 2),)), release


@pytest.mark.parametrize(
    "line",
    [
        "JobId=9 ArrayJobId=7 ArrayTaskId=3 JobName=h1-a7-1 JobState=NODE_FAIL NodeList=n1",
        "JobId=9 ArrayJobId=7 ArrayTaskId=3 ArrayTaskThrottle=2 JobState=NODE_FAIL NodeList=n1",
    ],
)
def test_states_of_both_releases(line):
    assert read_states(line) == ({3: Ended("NODE_FAIL", ran=True)}, None)


class Desk:
    """A transport that answers by the name of the command, and remembers what it was asked."""

    user = "u"

    def __init__(self, **answers):
        self.answers = answers
        self.asked = []

    async def run(self, command, **_):
        self.asked.append(command[0])
        return self.answers[command[0]]


GONE = Answer(1, "", "slurm_load_jobs error: Invalid job id specified")


def test_the_accounts_are_asked_when_the_controller_has_forgotten():
    desk = Desk(scontrol=GONE, sacct=Answer(0, "17_2|TIMEOUT|n1\n", ""))
    told = asyncio.run(Slurm(desk, "site hpc").states(17))
    assert told == ({2: Ended("TIMEOUT", ran=True)}, None)


def test_a_cluster_without_accounts_is_asked_for_them_once():
    disabled = Answer(1, "", "Slurm accounting storage is disabled")
    desk = Desk(scontrol=GONE, sacct=disabled)
    slurm = Slurm(desk, "site hpc")
    assert asyncio.run(slurm.states(17)) == asyncio.run(slurm.states(18)) == ({}, None)
    assert desk.asked == ["scontrol", "sacct", "scontrol"]


def test_licences_less_what_reservations_hold():
    text = (
        "LicenseName=matlab Total=10 Used=2 Free=8 Reserved=3 Remote=no\n"
        "LicenseName=ansys@flex Total=4 Used=0 Free=4 Remote=yes\n"
    )
    assert read_licences(text) == {"matlab": 7, "ansys@flex": 4}
    assert read_licences("No licenses configured in Slurm.\n") == {}


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ((), (("matlab", 7),)),
        ((("matlab", 5),), (("matlab", 5),)),
        ((("matlab", 9),), (("matlab", 7),)),
        ((("own", 2),), (("matlab", 7), ("own", 2))),
    ],
)
def test_what_is_declared_bounds_what_there_is(declared, told):
    assert _licences(declared, {"matlab": 7}) == told
