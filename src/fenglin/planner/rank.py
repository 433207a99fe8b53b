"""Which of the possible options is best for a job: a weighted sum of normalised terms.

A term is a function from an option's figures to one number, smaller is better. Each is
normalised to 1 - best / value: 0 for the best option at hand, towards 1 for one that is many
times worse, so that a difference of a hundredth never decides against a difference of a half.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from fenglin.errors import InputError
from fenglin.model.plan import Term
from fenglin.planner.policy import Policy
from fenglin.planner.view import FlavorView
from fenglin.quantities.durations import format_duration
from fenglin.quantities.money import format_money


class Figures(NamedTuple):
    """What is reckoned of one option for one job.

    Attributes:
        view: The flavor.
        slots: Tasks that may run there at once.
        task_ms: Expected runtime of one task.
        finish_ms: Expected time to do all waiting tasks there alone, from now.
        price_micro: Expected price of all waiting tasks there.
        currency: Of that price.
        hold_micro: Money to hold per task.
    """

    view: FlavorView
    slots: int
    task_ms: int
    finish_ms: int
    price_micro: int
    currency: str
    hold_micro: int


class Scored(NamedTuple):
    """An option with its score.

    Attributes:
        figures: What was reckoned.
        score: Sum of weight times value, rounded so that noise cannot break a tie.
        values: The normalised terms, in the order of the policy's weights.
    """

    figures: Figures
    score: float
    values: tuple[float, ...]


class _TermRule(NamedTuple):
    """How a registered term is computed and shown."""

    raw: Callable[[Figures], int]
    show: Callable[[Figures], str]


TERMS: Mapping[str, _TermRule] = {
    "finish": _TermRule(lambda f: f.finish_ms, lambda f: format_duration(f.finish_ms)),
    "money": _TermRule(lambda f: f.price_micro, lambda f: format_money(f.price_micro, f.currency)),
}


def finish_alone_ms(tasks: int, slots: int, task_ms: int) -> int:
    """Return ceil(tasks / slots) × runtime: the time to do all tasks there alone."""
    return -(-tasks // max(1, min(slots, tasks))) * task_ms


def check_terms(policy: Policy) -> None:
    """Refuse a policy with a term that nobody registered.

    Raises:
        InputError: says which, and what is known.
    """
    for name, _ in policy.weights:
        if name not in TERMS:
            known = ", ".join(sorted(TERMS))
            raise InputError(
                f"policy {policy.name!r} weighs the unknown term {name!r}",
                hint=f"known terms are {known}",
            )


def score(options: Sequence[Figures], policy: Policy) -> list[Scored]:
    """Return the options with their scores, in the order given."""
    columns: list[list[float]] = []
    for name, _ in policy.weights:
        raw = [TERMS[name].raw(option) for option in options]
        best = min(raw, default=0)
        columns.append([1.0 - best / value if value > best else 0.0 for value in raw])
    weights = [weight for _, weight in policy.weights]
    scored: list[Scored] = []
    for at, option in enumerate(options):
        values = tuple(column[at] for column in columns)
        total = sum(weight * value for weight, value in zip(weights, values, strict=True))
        scored.append(Scored(option, round(total, 9), values))
    return scored


def terms_of(scored: Scored, policy: Policy) -> tuple[Term, ...]:
    """Return an option's score term by term, as a receipt shows it."""
    return tuple(
        Term(name, round(value, 9), weight, TERMS[name].show(scored.figures))
        for (name, weight), value in zip(policy.weights, scored.values, strict=True)
    )


def best_first(scored: Sequence[Scored], job_number: int) -> list[Scored]:
    """Return the options by score; equal scores take turns between providers.

    Nobody is favoured for its name: among equals, job n begins with the n-th provider, round
    and round; then the flavor row decides.
    """
    providers = sorted({option.figures.view.site.provider for option in scored})
    turn = {name: (i - job_number) % len(providers) for i, name in enumerate(providers)}
    return sorted(
        scored,
        key=lambda o: (o.score, turn[o.figures.view.site.provider], o.figures.view.row),
    )
