from __future__ import annotations

import pytest

from fenglin.errors import DamageError, InputError
from fenglin.ledger.entry import Draft, Kind, Leg, check_draft
from fenglin.ledger.posting import (
    Hold,
    Terms,
    adjust,
    charge,
    charges_of,
    grant,
    hold,
    hold_of,
    post,
    sums,
    void,
)
from fenglin.ledger.verify import balances
from fenglin.quantities.money import MAX_MICRO

OF = Hold("hub-1-a1-1", "lab", "CNY", 1_000, 7)


def moved(draft: Draft) -> dict[str, int]:
    check_draft(draft)
    return {account: amount for (account, _), amount in sums(draft.legs).items()}


def test_a_grant_comes_out_of_the_hub():
    assert moved(grant("lab", 5, "k")) == {"hub:grants": -5, "tenant:lab:available": 5}


def test_a_hold_sets_money_aside():
    assert moved(hold("lab", 5, "x")) == {"tenant:lab:available": -5, "tenant:lab:held": 5}


@pytest.mark.parametrize(("used", "free"), [(0, 1_000), (400, 600), (1_000, 0), (1_700, -700)])
def test_a_post_pays_the_use_and_returns_or_takes_the_difference(used, free):
    draft = post(OF, "gz", [charge("task", used, 1, 1)], Terms())
    assert moved(draft) == {
        "tenant:lab:held": -1_000,
        "tenant:lab:available": free,
        "provider:gz:due": used,
    }


def test_a_void_returns_all():
    assert moved(void(OF)) == {"tenant:lab:held": -1_000, "tenant:lab:available": 1_000}


def test_a_free_site_holds_and_posts_nothing():
    assert moved(hold("lab", 0, "x")) == {"tenant:lab:available": 0, "tenant:lab:held": 0}
    assert moved(post(Hold("x", "lab", "CNY", 0, 1), "gz", [], Terms()))["provider:gz:due"] == 0


def test_the_balances_of_a_story(story):
    assert balances(story) == {
        ("hub:grants", "CNY"): -10_000_000,
        ("tenant:lab:available", "CNY"): 10_000_000 - 1_360_000 - 160_000 + 1_000,
        ("tenant:lab:held", "CNY"): 0,
        ("provider:gz:due", "CNY"): 1_360_000 + 160_000 - 1_000,
    }


def test_a_posting_carries_what_is_needed_to_compute_it_again(story):
    posted = story[5]
    assert posted.detail("price_version") == "2024-05/1"
    assert posted.detail("nothing") == ""
    lines = charges_of(posted)
    assert [(line.item, line.amount_micro) for line in lines] == [
        ("core-hour", 160_000),
        ("card-hour", 1_200_000),
    ]
    for line in lines:
        assert charge(line.item, line.quantity, line.per, line.price_micro) == line


def test_an_adjustment_names_what_it_corrects(story):
    assert story[-1].detail("corrects") == story[5].key
    assert story[-1].detail("corrects_seq") == "6"


def test_hold_of_reads_what_hold_wrote(story):
    assert hold_of(story[2]) == Hold("hub-1-a1-1", "lab", "CNY", 5_000_000, 7)
    with pytest.raises(InputError, match="not a hold"):
        hold_of(story[1])


def test_a_memo_never_carries_a_terminal_escape():
    assert grant("lab", 1, "k", memo="a\x1b[2J" + "x" * 600).memo[:5] == "a\ufffd[2J"
    check_draft(grant("lab", 1, "k", memo="\u202e" * 600))


@pytest.mark.parametrize(
    "make",
    [
        lambda: grant("lab", 0, "k"),
        lambda: grant("lab", MAX_MICRO + 1, "k"),
        lambda: hold("lab", -1, "k"),
        lambda: post(OF, "gz", [charge("task", 2, 1, MAX_MICRO)], Terms()),
        lambda: charge("task", -1, 1, 1),
        lambda: charge("task", 1, 0, 1),
        lambda: charge("task", 1, 1, -1),
    ],
)
def test_amounts_out_of_range_are_refused(make):
    with pytest.raises(InputError):
        make()


def test_an_item_is_charged_once():
    twice = [charge("task", 1, 1, 1)] * 2
    with pytest.raises(InputError, match="charged twice"):
        post(OF, "gz", twice, Terms())


def test_an_adjustment_leaves_holds_alone(story):
    legs = [Leg("tenant:lab:held", "CNY", -5), Leg("tenant:lab:available", "CNY", 5)]
    with pytest.raises(InputError, match="held money"):
        adjust(story[2], legs, "k")


def test_a_charge_that_is_no_charge_is_damage(sealed):
    broken = Draft(Kind.POST, "post:x", (), attempt="x", details=(("charge-a", "{}"),))
    with pytest.raises(DamageError, match="charge is unreadable"):
        charges_of(sealed([broken])[1])
