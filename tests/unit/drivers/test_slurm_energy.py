"""What attempts took, by Slurm's accounting: only where it is theirs alone, and whole."""

import asyncio

import pytest

from fenglin.drivers.slurm.commands import MOST_ASKED, Slurm
from fenglin.drivers.slurm.parse import read_energy, read_widths
from fenglin.drivers.slurm.transport import Answer
from fenglin.errors import DriverError

WIDEST = {"batch": 8, "big": 64}
END = "2026-11-23T09:00:00"
NAMES = {17: "h1-a7-1", 18: "h1-a8-1"}
SINFO = Answer(0, "8|batch*\n8|batch*\n64|big\n", "")


def line(job, joules, *, cpus=8, nodes=1, partition="batch", end=END, ran_s=60, name="h1-a7-1"):
    return f"{job}|{partition}|{end}|{ran_s}|{cpus}|{nodes}|{joules}|{name}\n"


def test_the_widest_node_of_each_partition():
    assert read_widths("4|batch*\n  16|batch*\n64|big\nnonsense\n") == {"batch": 16, "big": 64}


def step(name, joules):
    return f"{name}||{END}|60|8|1|{joules}|{name.partition('.')[2]}\n"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (line(17, 900), {17: 900}),
        (line("17_0", 900) + line("17_4", 100), {17: 1_000}),
        # Components of a heterogeneous job are parts as well, each on nodes of its own.
        (line("17+0", 900) + line("17+1", 100, partition="big", cpus=128, nodes=2), {17: 1_000}),
        (line("17_0", 900) + line("17_[1-9]", "", end=END, ran_s=0, cpus=0), {17: 900}),
        (line(17, 900) + line(18, 30, name="h1-a8-1"), {17: 900, 18: 30}),
        # Its steps tell, in the place of the job: one that lasts as long, on all nodes.
        (line(17, "") + step("17.batch", 900) + step("17.0", 700), {17: 900}),
        (line("17_3", "") + step("17_3.batch", 900) + step("17_3.extern", 950), {17: 950}),
        (line(17, 990) + step("17.batch", 900), {17: 990}),
        (line(17, "", cpus=16, nodes=2) + step("17.extern", 950) + step("17.batch", 9), {17: 950}),
        (line(17, "", cpus=16, nodes=2) + step("17.batch", 900) + step("17.0", 900), {}),
        (line(17, "") + step("17.0", 700), {}),
        (line(17, "") + step("17.batch", 0), {}),
        (line("17_1", "") + step("17_11.batch", 900), {}),
        # Nobody measures: nothing is printed, 0, or Slurm's largest numbers.
        (line(17, ""), {}),
        (line(17, 0), {}),
        (line(17, 18446744073709551614), {}),
        (line(17, "12.5K"), {}),
        # A part is not measured, or not over.
        (line("17_0", 900) + line("17_1", ""), {}),
        (line("17_1", 0) + line("17_0", 900), {}),
        (line("17_0", 900) + line("17_1", 5, end="Unknown"), {}),
        (line("17_0", 900) + line("17_[1-9]", "", end="Unknown", ran_s=0), {}),
        # Others may have been on its nodes, or nobody knows how wide these are.
        (line(17, 900, cpus=7), {}),
        (line(17, 900, cpus=64, nodes=2, partition="big"), {}),
        (line(17, 900, partition="gone"), {}),
        (line("17_0", 900) + line("17_1", 900, cpus=4), {}),
        # The id came again with another cluster's job, or was not asked for.
        (line(17, 900, name="other"), {}),
        (line(99, 900), {}),
        ("17|batch\n\n|||||||\n", {}),
    ],
)  # fmt: skip
def test_energy_of_whole_jobs_alone(text, found):
    assert read_energy(text, NAMES, WIDEST) == found


class Desk:
    """A transport that answers by the name of the command, and keeps what it was asked."""

    user = "u"

    def __init__(self, *sacct, sinfo=SINFO):
        self.sacct = list(sacct)
        self.sinfo = sinfo
        self.asked = []

    async def run(self, command, **_):
        self.asked.append(command)
        told = self.sinfo if command[0] == "sinfo" else self.sacct.pop(0)
        if isinstance(told, Exception):
            raise told
        return told


def energy(desk, names=None):
    return asyncio.run(Slurm(desk, "site hpc").energy(NAMES if names is None else names))


def test_the_accounting_is_asked_for_jobs_by_their_ids():
    desk = Desk(Answer(0, line(17, 900) + line(18, 0, name="h1-a8-1"), ""))
    assert energy(desk) == {17: 900}
    sacct = desk.asked[1]
    assert sacct[0] == "sacct"
    assert "--jobs=17,18" in sacct


def test_many_jobs_are_asked_for_in_parts():
    names = {number: f"h1-a{number}-1" for number in range(1, MOST_ASKED + 2)}
    texts = [line(number, number, name=names[number]) for number in sorted(names)]
    parts = "".join(texts[:MOST_ASKED]), texts[-1]
    desk = Desk(*(Answer(0, text, "") for text in parts))
    assert energy(desk, names) == {number: number for number in names}
    assert desk.sacct == []


def test_nothing_is_asked_for_nothing():
    desk = Desk()
    assert (energy(desk, {}), desk.asked) == ({}, [])


@pytest.mark.parametrize(
    "answer",
    [Answer(1, "", "Slurm accounting storage is disabled"), DriverError("no such command: sacct")],
)
def test_without_accounting_nothing_is_known(answer):
    assert energy(Desk(answer)) == {}


@pytest.mark.parametrize(
    "answer",
    [
        Answer(1, "", "sacct: error: Problem talking to the database: Connection refused"),
        DriverError("no answer in time", effect_unknown=True),
    ],
)
def test_an_accounting_that_is_away_is_no_answer(answer):
    with pytest.raises(DriverError):
        energy(Desk(answer))
