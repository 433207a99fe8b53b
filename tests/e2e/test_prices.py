"""Prices by class of user, service mode and tier: from the book to the bill of real jobs."""

import csv
import io

import pytest

from fenglin.errors import InputError
from fenglin.testing import LocalSite, hub_file

# One hub serves the whole module.
pytestmark = pytest.mark.xdist_group("e2e-prices")

CNY = 1_000_000


@pytest.fixture(scope="module")
def config():
    # A task of a second is billed for an hour, so that tiers are reached in a test.
    text = hub_file([LocalSite("only")], accounts={"default": "1000 CNY", "lab": "1000 CNY"})
    text = text.replace('task_minimum_time = "1s"', 'task_minimum_time = "1h"')
    return text.replace("[account.lab]\n", '[account.lab]\nclass = "school"\n')


@pytest.fixture
def run(client):
    """Run tasks of one core, which are billed an hour each; return what they cost."""

    def cost(tasks, **more):
        document = {"name": "n", "tasks": tasks, "command": ["true"], "resources": {"cpu": 1}}
        view = client.wait(client.submit(document | more).id, 60)
        assert view.state == "succeeded"
        return view.cost_micro

    return cost


def test_class_mode_and_tiers_reach_the_bill(fenglin, client, run, eventually):
    base = ("price", "set", "--site", "only", "--unit", "core_hour")
    urgent = fenglin(*base, "--mode", "urgent", "--price", "2.00")
    assert urgent.code == 0, urgent.err
    usual = fenglin(*base, "--price", "1.00", "--tiers", "3:0.50", "--factors", "school=50%")
    assert usual.code == 0, usual.err
    eventually(lambda: client.site("only").flavors[0].core_hour_micro == CNY, 30)

    assert run(2) == 2 * CNY
    # One more at the first price, one beyond the tier; all further ones too, whatever their mode.
    assert run(2, mode="shared") == 1_500_000
    assert run(1, mode="spot") == 500_000
    # Another item of the book, with a count of its own; another account, likewise, at half price.
    assert run(1, mode="urgent") == 2 * CNY
    assert run(4, account="lab") == 1_750_000

    with pytest.raises(InputError, match="one task of this job") as refused:
        client.submit({"name": "n", "command": ["true"], "mode": "exclusive"})
    assert "exclusive use takes all" in str(refused.value)

    bill = fenglin("ledger", "statement", "--account", "default", "-o", "json").json
    lines = {}
    for line in bill["lines"]:
        place = (line["item"], line["price_micro"])
        lines[place] = lines.get(place, 0) + line["amount_micro"]
    assert lines == {
        ("core_hour", CNY): 3 * CNY,
        ("core_hour-above-3", 500_000): CNY,
        ("core_hour", 2 * CNY): 2 * CNY,
    }
    assert bill["charged_micro"] == 6 * CNY
    assert fenglin("ledger", "verify").code == 0
    focus = fenglin("ledger", "export", "--format", "focus").out
    rows = [row for row in csv.DictReader(io.StringIO(focus)) if row["ChargeCategory"] == "Usage"]
    assert {row["PricingUnit"] for row in rows} == {"core_hour"}
    assert sum(float(row["BilledCost"]) for row in rows) == 7.75
