"""A training job that is run round by round, by the rules of Sia's simulator.

In its round a job first loads, if its cards were changed, and then trains; after each epoch it
measures a step and the gradient, fits its model anew where that was a step of a new kind, and
takes the batch that its model says is best.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from fenglin.planner.backfill.twins import Kernel
from fenglin.planner.rounds.columns import NOWHERE, Floats
from fenglin.planner.rounds.elastic import Configurations
from fenglin.planner.rounds.goodput import ROUNDING, TERMS, Seen
from fenglin.simulator.sia.tables import Application, SiaJob


@dataclass(slots=True)
class Profile:
    """Steps that were measured, and the terms that were fitted to them, by type of card.

    Attributes:
        terms: By type of card; None where nothing was measured.
        steps: Time without and with the network, by type of card, and nodes, cards and batch.
        most_cards: The most cards that a step was measured on.
        version: Changes with the terms.
    """

    terms: list[Floats | None]
    steps: list[dict[tuple[int, int, int], tuple[float, float]]]
    most_cards: int = 0
    version: int = 0

    @classmethod
    def empty(cls, kinds: int) -> Profile:
        """Return one of a job that never ran."""
        return cls([None] * kinds, [{} for _ in range(kinds)])

    def note(
        self, fit: Kernel, kind: int, key: tuple[int, int, int], times: tuple[float, float]
    ) -> None:
        """Take a measured step; fit the terms anew if there was none of its kind."""
        steps = self.steps[kind]
        if key in steps:
            return
        steps[key] = times
        self.most_cards = max(self.most_cards, key[1])
        where, took = np.array(list(steps), dtype=float).T, np.array(list(steps.values())).T
        seen = Seen(*(np.ascontiguousarray(one) for one in (*where, *took)))
        terms = np.zeros(TERMS)
        fit(seen, terms)
        self.terms[kind] = terms
        self.version += 1


@dataclass(slots=True)
class Run:
    """A job on its way.

    Attributes:
        job: What was submitted.
        application: What it trains.
        profile: What is known of its steps.
        gradient: Squared norm and variance that it last measured.
        held: Its configuration, or `NOWHERE`.
        local: Batch on a card of one pass.
        extra: Passes before the one that synchronises.
        epoch: Epochs that are done.
        progress: In batches of the first size.
        loading_s: Time that it still loads.
        starts: How often it got other cards.
        card_s: Cards times seconds that it held.
        ended_s: When it ended.
        row: Goodput by configuration, as last computed, and for what.
    """

    job: SiaJob
    application: Application
    profile: Profile
    gradient: tuple[float, float] | None = None
    held: int = NOWHERE
    local: int = 0
    extra: int = 0
    epoch: int = 0
    progress: float = 0.0
    loading_s: float = 0.0
    starts: int = 0
    card_s: float = 0.0
    ended_s: float | None = None
    row: tuple[object, Floats] | None = field(default=None)


@dataclass(frozen=True, slots=True)
class Shop:
    """The cluster that jobs run on, and the kernels that they compute with.

    Attributes:
        kinds: Types of cards.
        each: Cards of a node, by type.
        menu: What a job may take.
        kernels: See `planner.rounds.goodput`.
    """

    kinds: tuple[str, ...]
    each: tuple[int, ...]
    menu: Configurations
    kernels: Mapping[str, Kernel]


def move(run: Run, shop: Shop, held: int) -> None:
    """Give a job other cards, or none."""
    if held == run.held:
        return
    run.held = held
    if held == NOWHERE:
        run.local = 0
        return
    run.loading_s = run.application.restart_s
    run.starts += 1
    set_batch(run, shop)


def set_batch(run: Run, shop: Shop) -> None:
    """Choose the batch: by what is known; before the first step, the first size."""
    app, c = run.application, run.held
    k, nodes, cards = (int(column[c]) for column in shop.menu)
    kind = shop.kinds[k]
    most_local = float(app.points(kind, nodes, cards).local[-1])
    limits, terms = app.limits[kind], run.profile.terms[k]
    if terms is None or run.gradient is None:
        share = np.ceil(max(limits.first, limits.least_local * cards) / cards - ROUNDING)
        extra = int(np.ceil(share / most_local - ROUNDING)) - 1
        local = int(np.ceil(share / (extra + 1) - ROUNDING))
    else:
        allowed = limits._replace(most_local=most_local)
        _, local, extra = shop.kernels["best_batch"](
            terms, *run.gradient, allowed, float(nodes), float(cards)
        )
    local = min(local, int(most_local), int(limits.most / (cards * (extra + 1))))
    run.local, run.extra = max(local, 1), extra


def advance(run: Run, shop: Shop, now_s: float, seconds: float) -> None:
    """Run a job for a round that begins at `now_s`."""
    if run.held == NOWHERE or run.ended_s is not None:
        return
    app = run.application
    k, nodes, cards = (int(column[run.held]) for column in shop.menu)
    points = app.points(shop.kinds[k], nodes, cards)
    first = app.limits[shop.kinds[k]].first
    wait_s = min(run.loading_s, seconds)
    run.loading_s -= wait_s
    run.card_s += wait_s * cards
    now_s, seconds = now_s + wait_s, seconds - wait_s
    while seconds > 0 and run.ended_s is None:
        batch = cards * run.local * (run.extra + 1)
        step_s, sync_s = points.at(run.local)
        sqr, var = run.gradient = app.gradient(batch, run.epoch)
        key, times = (nodes, cards, run.local), (step_s - sync_s, step_s)
        run.profile.note(shop.kernels["fit"], k, key, times)
        gain = (var + sqr) / (var * first / batch + sqr)
        took_s = step_s + (step_s - sync_s) * run.extra
        rate = gain / took_s / app.slower
        target = float(app.marks[run.epoch])
        spent_s = seconds
        if run.progress + rate * seconds < target:
            run.progress += rate * seconds
        else:
            spent_s = float(round((target - run.progress) / rate))
            run.progress = target
            run.epoch += 1
        now_s, seconds = now_s + spent_s, seconds - spent_s
        run.card_s += spent_s * cards
        if run.epoch == app.marks.size:
            run.ended_s = now_s
        set_batch(run, shop)
