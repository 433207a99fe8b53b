"""The pages of `fenglin simulate pool --report` and `fenglin simulate compare --report`."""

from __future__ import annotations

import math
import shlex
from typing import TYPE_CHECKING, Any

from fenglin.quantities.resources import DIMENSIONS
from fenglin.simulator.pool.compare import METRICS
from fenglin.simulator.readers.registry import AUTO
from fenglin.simulator.reports.comparison import comparison_plots, differs
from fenglin.simulator.reports.page import Page, Table, html
from fenglin.simulator.reports.plots import DIMENSION_NAMES, run_plots
from fenglin.simulator.reports.scales import number, spoken
from fenglin.simulator.reports.words import FIGURES, Word, figure_rows
from fenglin.simulator.sources import SYNTHETIC

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from fenglin.simulator.pool.compare import Estimate, Standing
    from fenglin.simulator.pool.drive import Answer, Request
    from fenglin.simulator.reports.series import Series

MOST_PARTS = 30
MEANS_NOTE = (
    "Means over seeds; after ± half the width of the 95 % confidence interval (Student's t), which"
    " a single seed does not have."
)
GAPS_NOTE = (
    "Paired by seed: both policies ran the same workload. * marks a difference that chance hardly"
    " makes: its 95 % interval leaves zero out. In the plots it is a filled dot. Of many figures"
    " side by side, one in twenty is marked by chance alone."
)


def run_page(request: Request, answer: Answer, series: Series) -> bytes:
    """Return the page of one run, in UTF-8.

    Args:
        request: What was asked for.
        answer: What came out.
        series: The sink that took the run's rows.

    Raises:
        UnavailableError: Matplotlib is not installed.
    """
    figures = answer.figures
    policy, workload = str(figures["policy"]), str(figures["workload"])
    used = {
        DIMENSION_NAMES[name]: figures["used"][name]
        for name, has in zip(DIMENSIONS, series.has, strict=True)
        if has
    }
    table = Table(
        "Figures",
        ("Figure", "Value", "Unit", ""),
        list(figure_rows({**figures, "used": used}, MOST_PARTS)),
        numbers=(1,),
    )
    page = Page(
        f"{workload} under {policy}",
        [("Policy", policy), *_facts(request, workload), ("Seed", str(request.source.seed))],
        shlex.join(["fenglin", "simulate", "pool", *_words(request)]),
        list(_tiles(figures, used)),
        run_plots(series),
        [table],
        answer.findings,
    )
    return html(page).encode("utf-8", "backslashreplace")


def comparison_page(
    request: Request,
    standings: Sequence[Standing],
    metrics: Sequence[str],
    seeds: str,
    findings: Sequence[str],
) -> bytes:
    """Return the page of a comparison, in UTF-8.

    Args:
        request: What all runs shared.
        standings: How each policy did.
        metrics: Which figures are shown.
        seeds: As they were asked for.
        findings: What was wrong in the trace, in sentences.

    Raises:
        UnavailableError: Matplotlib is not installed.
    """
    runs = standings[0].runs
    workload = str(runs[0]["workload"])
    policies = [one.policy for one in standings]
    words = [word for policy in policies for word in ("--policy", policy)]
    facts = [("Policies", ", ".join(policies)), *_facts(request, workload)]
    facts.append(("Better", "less, but for the cores used"))
    facts.append(("Seeds", f"{seeds} ({len(runs)} runs of each policy)"))
    words += ["--seeds", seeds]
    if not request.source.name.startswith(SYNTHETIC):
        shake = _exact(request.source.shake_ms)
        words += ["--shake", shake]
        facts.append(("Arrivals moved", f"by up to {shake} either way, but for seed 0"))
    if tuple(metrics) != METRICS:
        words += [word for name in metrics for word in ("--metric", name)]
    page = Page(
        f"{workload}: {', '.join(policies)}",
        facts,
        shlex.join(["fenglin", "simulate", "compare", *_words(request), *words]),
        [],
        comparison_plots(standings, metrics),
        [_means(standings, metrics), _gaps(standings, metrics)],
        findings,
    )
    return html(page).encode("utf-8", "backslashreplace")


def _facts(request: Request, workload: str) -> Iterator[tuple[str, str]]:
    """Yield what runs on what."""
    yield "Workload", workload
    yield "Pool", request.pool
    every = f"at multiples of {_exact(request.cycle_ms)}" if request.cycle_ms else ""
    yield "Plans", every or "whenever something happened"
    if request.until_ms:
        yield "Stopped after", _exact(request.until_ms)


def _words(request: Request) -> Iterator[str]:
    """Yield the words of the command line that both commands share, and what is not default."""
    source = request.source
    yield from (source.name, "--pool", request.pool)
    given: dict[str, Any] = {
        "--policy": request.policy,
        "--kind": "" if source.kind == AUTO else source.kind,
        "--jobs": source.jobs,
        "--seed": source.seed,
        "--load": source.load,
        "--cycle": _exact(request.cycle_ms) if request.cycle_ms else "",
        "--until": _exact(request.until_ms) if request.until_ms else "",
    }
    for option, value in given.items():
        if value:
            yield from (option, str(value))
    for name, value in source.options.items():
        yield from ("--set", f"{name}={value}")
    if source.strict:
        yield "--strict"
    if request.check:
        yield "--check"


def _tiles(figures: dict[str, Any], used: dict[str, float]) -> Iterator[tuple[str, str]]:
    yield "Jobs", number(figures["jobs"])
    for name in ("mean_wait_s", "p95_wait_s", "makespan_s"):
        yield FIGURES[name].name, spoken(figures[name])
    yield "Mean bounded slowdown", number(figures["mean_bounded_slowdown"])
    for name in ("Processor cores", "Accelerators"):
        if name in used:
            yield f"{name} used", f"{used[name] * 100:.1f} %"
    for name in ("cost_micro", "carbon_kg", "evictions"):
        word = FIGURES[name]
        if figures[name]:
            yield word.name, f"{number(figures[name] / word.scale)} {word.unit}".strip()
    refused = figures["states"].get("refused", 0)
    if refused:
        yield "Refused jobs", number(refused)


def _means(standings: Sequence[Standing], metrics: Iterable[str]) -> Table:
    return Table(
        "Means",
        ("Figure", "Unit", *(one.policy for one in standings)),
        [
            (word.name, word.unit, *(_estimate(one.figures[name], word) for one in standings))
            for name, word in _named(metrics)
        ],
        numbers=range(2, 2 + len(standings)),
        notes=[MEANS_NOTE],
    )


def _gaps(standings: Sequence[Standing], metrics: Iterable[str]) -> Table:
    """Return the table of differences, each paired by seed."""
    rows = []
    for name, word in _named(metrics):
        cells = []
        for one in standings[1:]:
            gap, base = one.against[name], standings[0].figures[name].mean
            part = f" ({gap.mean / base:+.1%})".replace("%", " %") if base else ""
            mark = " *" if differs(gap) else ""
            cells.append(f"{_estimate(gap, word, sign=True)}{part}{mark}")
        rows.append((word.name, word.unit, *cells))
    return Table(
        f"Differences to {standings[0].policy}",
        ("Figure", "Unit", *(one.policy for one in standings[1:])),
        rows,
        numbers=range(2, 1 + len(standings)),
        notes=[GAPS_NOTE],
    )


def _named(metrics: Iterable[str]) -> Iterator[tuple[str, Word]]:
    for name in metrics:
        yield name, FIGURES.get(name, Word(name))


def _estimate(one: Estimate, word: Word, *, sign: bool = False) -> str:
    mean, half = one.mean / word.scale, one.half / word.scale
    plus = "+" if sign and mean > 0 else ""
    text = f"{plus}{number(mean)}"
    return text if math.isnan(half) else f"{text} ± {number(half)}"


def _exact(duration_ms: int) -> str:
    """Return a duration as an option takes it, without rounding."""
    return f"{duration_ms}ms" if duration_ms % 1_000 else f"{duration_ms // 1_000}s"
