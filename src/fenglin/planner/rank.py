"""Which of the possible options is best for a job: a weighted sum of normalised terms.

A term (`terms/`) is a figure of an option, smaller is better. Each is normalised to
1 − best / value: 0 for the best option at hand, towards 1 for one that is many times worse, so
that a difference of a hundredth never decides against a difference of a half.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from fenglin.errors import InputError
from fenglin.model.plan import Term
from fenglin.planner.policy import EquippedPolicy, Policy
from fenglin.planner.terms import BUILT_IN, Figures, Rule
from fenglin.planner.terms.rule import clean, normalised

__all__ = ["Figures", "Scored", "best_first", "check_terms", "finish_alone_ms", "score", "terms_of"]


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


def finish_alone_ms(tasks: int, slots: int, task_ms: int) -> int:
    """Return ceil(tasks / slots) × runtime: the time to do all tasks there alone."""
    return -(-tasks // max(1, min(slots, tasks))) * task_ms


def rules_of(policy: Policy) -> Mapping[str, Rule]:
    """Return the terms that the policy may weigh, by name."""
    return policy.rules if isinstance(policy, EquippedPolicy) else BUILT_IN


def check_terms(policy: Policy) -> None:
    """Refuse a policy with a term that nobody registered.

    Raises:
        InputError: says which, and what is known.
    """
    rules = rules_of(policy)
    for name, _ in policy.weights:
        if name not in rules:
            known = ", ".join(sorted(rules))
            raise InputError(
                f"policy {policy.name!r} weighs the unknown term {name!r}",
                hint=f"known terms are {known}",
            )


def score(options: Sequence[Figures], policy: Policy) -> list[Scored]:
    """Return the options of one job with their scores, in the order given."""
    if not options:
        return []
    rules = rules_of(policy)
    columns: list[list[float]] = []
    for name, _ in policy.weights:
        rule = rules[name]
        if rule.applies(options[0].shape):
            columns.append(normalised([rule.raw(option) for option in options], rule.floor))
        else:
            columns.append([0.0] * len(options))
    weights = [weight for _, weight in policy.weights]
    scored: list[Scored] = []
    for at, option in enumerate(options):
        values = tuple(column[at] for column in columns)
        total = sum(weight * value for weight, value in zip(weights, values, strict=True))
        scored.append(Scored(option, round(total, 9), values))
    return scored


def terms_of(scored: Scored, policy: Policy) -> tuple[Term, ...]:
    """Return an option's score term by term, as a receipt shows it.

    What says nothing of the job, such as the latency of one that serves nobody, is left out.
    """
    rules, figures = rules_of(policy), scored.figures
    return tuple(
        Term(name, round(value, 9), weight, _shown(rules[name], figures))
        for (name, weight), value in zip(policy.weights, scored.values, strict=True)
        if rules[name].applies(figures.shape)
    )


def _shown(rule: Rule, figures: Figures) -> str:
    """Return the figure behind a value, or that there is none."""
    raw = clean(rule.raw(figures))
    return "unknown" if raw is None else rule.show(raw, figures)


def best_first(scored: Sequence[Scored], job_number: int) -> list[Scored]:
    """Return the options by score; equal scores take turns between providers.

    Nobody is favoured for its name: among equals, job n begins with the n-th provider, round
    and round; then the flavor row decides.
    """
    if len(scored) < 2:
        return list(scored)
    providers = sorted({option.figures.view.site.provider for option in scored})
    turn = {name: (i - job_number) % len(providers) for i, name in enumerate(providers)}
    return sorted(
        scored,
        key=lambda o: (o.score, turn[o.figures.view.site.provider], o.figures.view.row),
    )
