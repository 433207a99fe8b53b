"""How far providers' records may differ, as the configuration says it."""

import pytest

from fenglin.errors import InputError
from fenglin.intake.hubfile import read_hub_file
from fenglin.ledger.metering.reconcile import Tolerance

SITE = '[site.a]\ndriver = "local"\nprovider = "p"\n[site.a.flavor.std]\ncpu = 1\n'


def read(text):
    return read_hub_file(SITE + text, "fenglin.toml").tolerances


def test_a_block_changes_what_it_names_and_leaves_the_rest():
    assert read("") == {}
    assert read('[metering.slurm]\nshare = "0.5%"\n') == {"slurm": Tolerance(5, 10_000, 10)}
    text = '[metering.default]\nslack = "1m"\ncost = "3%"\n'
    assert read(text) == {"default": Tolerance(20, 60_000, 30)}


@pytest.mark.parametrize(
    ("line", "where"),
    [
        ('share = "2"', "metering.slurm.share"),
        ('cost = "-1%"', "metering.slurm.cost"),
        ('slack = "25h"', "metering.slurm.slack"),
        ('slack = "soon"', "metering.slurm.slack"),
        ('spare = "1s"', "metering.slurm"),
    ],
)
def test_what_is_wrong_is_told_by_its_key(line, where):
    with pytest.raises(InputError) as caught:
        read(f"[metering.slurm]\n{line}\n")
    assert where in caught.value.where
