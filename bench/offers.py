"""Row e: the cheapest offer in price lists, against SkyPilot's optimizer on the same lists."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.children import ROOT
from bench.commands import sky
from bench.effort import BenchError, Effort, in_turns
from bench.figures import Figure, Row
from fenglin.catalog.offers.catalogue import build
from fenglin.catalog.offers.chain import ChainTask, plan_chain
from fenglin.catalog.offers.egress import EgressTable, read_egress_csv
from fenglin.catalog.offers.need import OfferNeed, alternatives
from fenglin.catalog.offers.read import read_skypilot_csv
from fenglin.catalog.offers.search import cheapest_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from fenglin.catalog.offers.catalogue import Catalogue
    from fenglin.catalog.offers.columns import Sheet

BUDGET_S = 60.0
PEER_S = 400.0
DATA = Path(os.environ.get("FENGLIN_TEST_DATA", ROOT.parent / "shared" / "data"))
ONE = "cheapest A100:8"
TWELVE = "cheapest of 12 alternatives"
CHAIN = "chain of 20 tasks with egress"
READ = "read the lists"
BUILD = "build the index"
GOALS = {ONE: 4.0, TWELVE: 10.0, CHAIN: 20.0}
CARDS = (
    "A100:8", "V100:8", "T4:4", "A100-80GB:8", "K80:8", "P100:4", "T4:1", "V100:4", "A100:4",
    "A10G:4", "K80:1", "P4:2",
)  # fmt: skip
STAND_IN = "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,Price,SpotPrice,Region\n"
INNER = 5


def lists() -> dict[str, str]:
    """Return provider → the text of its list; a made-up one where the data is not there."""
    found = {
        path.name.removesuffix(".csv.gz").rpartition("_")[2]: gzip.decompress(
            path.read_bytes()
        ).decode()
        for path in sorted((DATA / "prices").glob("skypilot_v5_*.csv.gz"))
    }
    if found:
        return found
    rows = (
        f"m{i},{card},{count},{8 * i % 96 + 1},64,{i % 97 + 1}.5,,r{i % 40}\n"
        for i in range(400)
        for card, _, count in (word.partition(":") for word in CARDS)
    )
    return {"aws": STAND_IN + "".join(rows)}


def _read(texts: dict[str, str]) -> list[Sheet]:
    return [read_skypilot_csv(text, name, f"{name}.csv") for name, text in texts.items()]


def _egress() -> EgressTable:
    path = DATA / "network" / "skyplane_egress_cost_2022-05.csv.gz"
    if not path.exists():
        return EgressTable({})
    return read_egress_csv(gzip.decompress(path.read_bytes()).decode(), path.name)


def _chain() -> list[ChainTask]:
    """Return 20 tasks of one hour that hand 100 GB on, over several cards."""
    return [
        ChainTask(
            name=str(i),
            needs=alternatives([CARDS[i % len(CARDS)]], OfferNeed()),
            runtime_s=3_600,
            output_milli_gb=100_000,
        )
        for i in range(20)
    ]


def _ms(work: Callable[[], object], times: int = INNER) -> float:
    """Return milliseconds of one call, the mean of some."""
    begun = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - begun) * 1_000 / times


def run(effort: Effort, *, with_sky: bool = False) -> Row:
    """Measure the row.

    Args:
        effort: How much.
        with_sky: Whether SkyPilot may be installed for it.
    """
    row = Row("offers", "Cheapest offers")
    texts = lists()
    sheets = _read(texts)
    offers = build(sheets)
    egress, chain = _egress(), _chain()
    one, many = alternatives(CARDS[:1], OfferNeed()), alternatives(CARDS, OfferNeed())
    work: dict[str, Callable[[], float]] = {
        ONE: partial(_ms, lambda: cheapest_of(offers, one), 100),
        TWELVE: partial(_ms, lambda: cheapest_of(offers, many), 20),
        CHAIN: partial(_ms, lambda: plan_chain(offers, chain, egress)),
        READ: partial(_ms, lambda: _read(texts), 1),
        BUILD: partial(_ms, lambda: build(sheets), 1),
    }
    values = in_turns(row, work, effort.rounds, BUDGET_S * effort.scale)
    for name, measured in values.items():
        row.figures.append(
            Figure(name, "ms", measured, ours=True, goal=GOALS.get(name), at_most=True, digits=3)
        )
    if effort.peers:
        _beside_sky(row, texts, offers, install=with_sky)
    row.notes.append(
        f"{offers.listed:,} rows of {len(texts)} lists make {offers.rows:,} offers. SkyPilot's"
        " published 86,592 rows are another day's lists; its figure on them on a machine like"
        " ours was 402 ms, 3.9 s and 8.3 s."
    )
    return row


def _beside_sky(row: Row, texts: dict[str, str], offers: Catalogue, *, install: bool) -> None:
    """Let SkyPilot answer the same questions from the same lists, and compare answers."""
    names = {ONE: "SkyPilot: A100:8", TWELVE: "SkyPilot: 12 alternatives", CHAIN: "SkyPilot: chain"}
    try:
        answers = _ask_sky(sky(install=install), texts)
    except (BenchError, OSError, subprocess.SubprocessError) as error:
        row.failed.update(dict.fromkeys(names.values(), str(error)))
        return
    for ours, theirs in names.items():
        row.figures.append(Figure(theirs, "ms", answers[ours]["ms"], digits=1))
        row.compare(ours, theirs, goal=100.0)
    chain = plan_chain(offers, _chain())
    for name, ours_micro in (
        (ONE, _price(offers, CARDS[:1])),
        (TWELVE, _price(offers, CARDS)),
        (CHAIN, chain.total_micro),
    ):
        row.notes.append(
            f"{name}: ours {ours_micro / 1e6:.5f} USD, SkyPilot's {answers[name]['usd']:.5f} USD"
            + (" (both without egress)" if name == CHAIN else "")
        )


def _price(offers: Catalogue, cards: tuple[str, ...]) -> int:
    _, best = cheapest_of(offers, alternatives(cards, OfferNeed()))
    return best.price_micro if best else -1


def _ask_sky(program: Path | None, texts: dict[str, str]) -> dict[str, Any]:
    """Run SkyPilot's optimizer in its own environment, with a home of its own.

    Raises:
        BenchError: it is not there, or gave no answer.
    """
    if program is None:
        raise BenchError("skipped: not installed (`bench/run.py --with-sky` installs it)")
    python = program.with_name("python")
    chain = [[CARDS[i % len(CARDS)]] for i in range(20)]
    asked = {ONE: [[CARDS[0]]], TWELVE: [list(CARDS)], CHAIN: chain}
    with tempfile.TemporaryDirectory(prefix="fenglin-bench-") as home:
        for name, text in texts.items():
            (Path(home) / f"{name}.csv").write_text(text, encoding="utf-8")
        words = [str(python), str(Path(__file__).parent / "peers" / "sky_offers.py"), home]
        done = subprocess.run(
            words,
            input=json.dumps(asked),
            env={**os.environ, "HOME": home, "SKYPILOT_DISABLE_USAGE_COLLECTION": "1"},
            capture_output=True,
            text=True,
            timeout=PEER_S,
            check=False,
        )
    if done.returncode or not done.stdout.strip():
        raise BenchError(f"SkyPilot gave no answer: {done.stderr[-250:]}")
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer
