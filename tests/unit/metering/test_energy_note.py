"""Energy in postings and on bills."""

import pytest
from msgspec.structs import replace

from fenglin.errors import DamageError
from fenglin.ledger.bill import make_bill, rows
from fenglin.ledger.entry import genesis, seal
from fenglin.ledger.metering.energy_note import energy_cells, energy_details, energy_of
from fenglin.ledger.posting import Charge, Hold, Terms, grant, hold, post
from fenglin.ledger.statement import Funds
from fenglin.model.energy import Energy
from fenglin.quantities.period import parse_period

ENERGY = Energy(5_400_000, "modelled", "400 W node", 748_350, "modelled", "498.9 g/kWh")
NOVEMBER = parse_period("2023-11")
NOW_MS = 1_700_000_000_000


def posted(energy):
    """Return the entries of one attempt with two items, as the hub enters them."""
    items = [Charge("core_hour", 3_600_000, 3_600_000, 5, 5), Charge("card_hour", 7, 7, 6, 6)]
    drafts = [
        grant("lab", 1_000, "g"),
        hold("lab", 100, "h-a1-1", job=1),
        post(Hold("h-a1-1", "lab", "CNY", 100, 1), "gz", items, Terms("west", "std", "1"),
             details=energy_details(energy)),
    ]  # fmt: skip
    last = genesis("ledger-1", NOW_MS)
    made = []
    for draft in drafts:
        last = seal(last.head, draft, NOW_MS)
        made.append(last)
    return made


def test_a_posting_tells_its_energy_and_a_bill_shows_it_once():
    entries = posted(ENERGY)
    assert energy_of(entries[-1]) == ENERGY
    bill = make_bill("lab", NOVEMBER, Funds(), entries, None, final=True)
    assert [one.energy for one in bill.entries] == [None, None, ENERGY]
    used = [row for row in rows(bill) if row.category == "usage"]
    assert [row.energy for row in used] == [ENERGY, None]
    plain = make_bill("lab", NOVEMBER, Funds(), posted(None), None, final=True)
    assert all(row.energy is None for row in rows(plain))


def test_no_cell_without_its_grade():
    assert energy_cells(ENERGY) == ("1.500000", "modelled", "748.35", "modelled")
    unknown = replace(ENERGY, carbon_mg=None, carbon_grade="", factor="", grade="measured")
    assert energy_cells(unknown) == ("1.500000", "measured", "", "")
    assert energy_cells(None) == ("", "", "", "")


def test_energy_that_somebody_else_wrote_is_damage():
    entry = posted(None)[-1]
    bad = replace(entry, details=(*entry.details, ("energy", "much")))
    with pytest.raises(DamageError, match="unreadable"):
        energy_of(bad)
