"""`fenglin account` against a scripted hub: how accounts look, in money and in hours."""

import json
import re

import pytest

BUDGET = {
    "span": "month", "from_ms": 0, "to_ms": 9, "hard_micro": 9_000_000, "soft_micro": None,
    "charged_micro": 3_000_000, "held_micro": 1_000_000, "state": "ok",
}  # fmt: skip
HOURS = {"kind": "CARD.A100", "available_micro": 2_000_000, "held_micro": 0}
LENT = {
    "kind": "CORE-HOUR", "available_micro": -1_000_000, "held_micro": 500_000,
    "credit_limit_micro": 8_000_000, "low_micro": 0, "standing": "overdue", "budgets": [BUDGET],
}  # fmt: skip
ACCOUNT = {
    "name": "lab", "currency": "CNY", "available_micro": 5_000_000, "held_micro": 0,
    "credit_limit_micro": 0, "low_micro": 0, "standing": "ok", "budgets": [BUDGET],
    "hours": [HOURS, LENT],
}  # fmt: skip


def test_limits_and_budgets_of_hours_are_told_in_hours(fenglin, hub, play):
    hub.on("GET", "/v1/accounts/lab", play(body=ACCOUNT))
    done = fenglin("account", "show", "lab")
    assert done.code == 0, done.err
    told = dict(line.split("  ", 1) for line in done.out.splitlines())
    told = {name: value.strip() for name, value in told.items()}
    # Nobody has set anything for these, so they have no standing.
    assert told["card.a100"] == "2.00 available, 0.00 held"
    assert told["core-hour"] == "overdue: -1.00 available, 0.50 held, credit limit 8.00"
    assert told["budget of the month"] == "ok: 3.00 CNY charged, 1.00 CNY held; hard 9.00 CNY"
    assert told["core-hour of the month"] == (
        "ok: 3.00 CORE-HOUR charged, 1.00 CORE-HOUR held; hard 9.00 CORE-HOUR"
    )


def listed(fenglin, hub, play, account):
    """List an account; return each row's commodity, standing and what starts."""
    hub.on("GET", "/v1/accounts", play(body={"items": [account]}))
    done = fenglin("account", "list", "--no-header")
    assert done.code == 0, done.err
    rows = [re.split(r"\s{2,}", line) for line in done.out.splitlines()]
    return [(row[1], row[2], " ".join(row[3:6]), row[6]) for row in rows]


@pytest.mark.parametrize(
    ("money", "cards", "cores", "told"),
    [
        (5_000_000, 2_000_000, 0, ("up to 5.00 CNY", "up to 2.00 CARD.A100", "money pays")),
        (
            0, 0, 8_000_000,
            ("nothing that costs money", "nothing, money has none either", "up to 8.00 CORE-HOUR"),
        ),
        # From a hub that does not tell.
        (None, None, None, ("-", "-", "-")),
    ],
)  # fmt: skip
def test_a_list_tells_of_each_commodity_what_it_still_lets_start(
    fenglin, hub, play, money, cards, cores, told
):
    hours = [HOURS | {"room_micro": cards, "standing": "ok"}, LENT | {"room_micro": cores}]
    rows = listed(fenglin, hub, play, ACCOUNT | {"room_micro": money, "hours": hours})
    assert rows == [
        ("CNY", "ok", "5.00 0.00 0.00", told[0]),
        ("CARD.A100", "ok", "2.00 0.00 0.00", told[1]),
        ("CORE-HOUR", "overdue", "-1.00 0.50 8.00", told[2]),
    ]


def test_a_list_names_the_budgets_that_are_used_up(fenglin, hub, play):
    hard = [BUDGET | {"state": "hard", "span": span} for span in ("month", "year")]
    hours = [LENT | {"room_micro": 0, "budgets": hard[:1]}]
    account = ACCOUNT | {"room_micro": 0, "hours": hours, "budgets": hard}
    money, cores = listed(fenglin, hub, play, account)
    assert money[-1] == "nothing that costs money: budget of the month and the year used up"
    assert cores[-1] == "nothing, money has none either: budget of the month used up"
    hub.on("GET", "/v1/accounts/lab", play(body=account))
    shown = fenglin("account", "show", "lab").out.splitlines()
    told = dict(re.split(r"\s{2,}", line, maxsplit=1) for line in shown)
    assert (told["starts"], told["core-hour starts"]) == (money[-1], cores[-1])


def test_hours_are_granted_and_taken_back_by_what_they_are_of(fenglin, hub, play):
    moved = {"entry": 3, "key": "grant:q", "time_ms": 9, "account": ACCOUNT}
    for way, command in (("deposit", "grant"), ("refund", "refund")):
        hub.on("POST", f"/v1/accounts/lab/{way}", play(body=moved))
        done = fenglin("account", command, "lab", "1.5", "--of", "A100", "--key", "q")
        assert done.code == 0, done.err
        asked = json.loads(hub.asked[-1].body)
        assert (asked["amount_micro"], asked["hours"], asked["key"]) == (1_500_000, "A100", "q")
