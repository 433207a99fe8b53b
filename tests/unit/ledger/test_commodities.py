"""Hours and money in one ledger: each is conserved, and neither is ever added to the other."""

from hypothesis import given
from hypothesis import strategies as st

from fenglin.ledger.beancount import beancount
from fenglin.ledger.entry import genesis, seal
from fenglin.ledger.posting import Hold, Terms, charge, grant, hold, post, void
from fenglin.ledger.statement import statement
from fenglin.ledger.verify import verify
from fenglin.model.hours import CORE_HOUR, card_hours

KINDS = ("CNY", CORE_HOUR, card_hours("A100-80"))
FOREVER_MS = 10**15
# What is granted, and per attempt: whose, in what, what is held, what was used, when it ends.
GRANTS = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(1, 10**12)), max_size=6)
ATTEMPTS = st.lists(
    st.tuples(
        st.sampled_from(("lab", "ann")),
        st.sampled_from(KINDS),
        st.integers(0, 10**9),
        st.integers(-1, 2 * 10**9),
        st.integers(0, 5),
    ),
    max_size=12,
)


def story(grants, attempts):
    """Enter all of it, ends as much later as they say."""
    drafts = [grant("lab", n, f"g{at}", commodity=kind) for at, (kind, n) in enumerate(grants)]
    due = []
    for at, (account, kind, held_micro, used, after) in enumerate(attempts):
        of = Hold(f"a{at}", account, kind, held_micro, at + 1)
        drafts.append(hold(account, held_micro, of.attempt, job=of.job, commodity=kind))
        charges = [charge("core_hour", used, 1, 1)] if used > 0 else []
        end = void(of) if used < 0 else post(of, "gz", charges, Terms("west"))
        due.append((at + after, end))
        drafts += [one for moment, one in due if moment == at]
        due = [one for one in due if one[0] != at]
    drafts += [one for _, one in due]
    entries = [genesis("hub", 1)]
    for draft in drafts:
        entries.append(seal(entries[-1].head, draft, 2))
    return entries


@given(GRANTS, ATTEMPTS)
def test_each_commodity_is_conserved_and_foots_by_itself(grants, attempts):
    entries = story(grants, attempts)
    report = verify(entries)
    assert report.ok
    for kind in KINDS:
        here = {place: n for place, n in report.balances.items() if place[1] == kind}
        assert sum(here.values()) == 0
        used = sum(max(0, one[3]) for one in attempts if one[1] == kind)
        assert here.get(("provider:gz:due", kind), 0) == used
        charged = 0
        for account in ("lab", "ann"):
            made = statement(entries, account, 0, FOREVER_MS, commodity=kind)
            came = sum(n for k, n in grants if k == kind) if account == "lab" else 0
            assert made.granted_micro == came
            assert made.closing.total_micro == came - made.charged_micro
            assert made.closing.held_micro == here.get((f"tenant:{account}:held", kind), 0) == 0
            assert sum(item.amount_micro for item in made.items) == made.charged_micro
            charged += made.charged_micro
        assert charged == used


def test_beancount_counts_hours_and_money_apart():
    entries = story([("CNY", 5_000_000), (CORE_HOUR, 9_000_000)], [("lab", CORE_HOUR, 3, 2, 0)])
    text = "".join(beancount(entries))
    assert "9.000000 CORE-HOUR" in text or "9 CORE-HOUR" in text
    lines = [line for line in text.splitlines() if " balance " in line]
    assert any(line.endswith("CORE-HOUR") for line in lines)
    assert any(line.endswith("CNY") for line in lines)
