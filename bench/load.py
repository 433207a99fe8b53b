"""Puts load on a hub: with `wrk` where it is installed, else with a generator of our own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bench.children import ROOT, environment
from bench.effort import BenchError

WRK = shutil.which("wrk")
GENERATOR = "wrk" if WRK else "bench/loadgen.py (wrk is not installed)"
MOST_EXTRA_S = 30.0
SCRIPT = Path(__file__).with_name("load.lua")


@dataclass(frozen=True, slots=True)
class Load:
    """What to send, again and again.

    Attributes:
        url: Of the hub.
        token: Its token.
        method: HTTP verb.
        paths: Asked in turn.
        connections: Kept open, each with one request on its way.
        seconds: How long.
        body: Of every request.
        keyed: Whether each request carries an idempotency key of its own.
    """

    url: str
    token: str
    method: str
    paths: list[str]
    connections: int
    seconds: float
    body: str = ""
    keyed: bool = False


@dataclass(frozen=True, slots=True)
class Answered:
    """What came back.

    Attributes:
        per_s: Good answers per second.
        p50_ms, p99_ms: Latency seen by the generator.
    """

    per_s: float
    p50_ms: float
    p99_ms: float


def put(load: Load) -> Answered:
    """Put the load on and return what came back.

    Raises:
        BenchError: an answer was not good, or there was none.
    """
    with tempfile.TemporaryDirectory() as folder:
        order = Path(folder) / "load.json"
        order.write_text(json.dumps(asdict(load)), encoding="utf-8")
        order.chmod(0o600)
        words = _wrk(load, order) if WRK else [sys.executable, "-m", "bench.loadgen", str(order)]
        done = subprocess.run(
            words,
            cwd=ROOT,
            env={**environment(), **_for_script(load)},
            capture_output=True,
            text=True,
            timeout=load.seconds + MOST_EXTRA_S,
            check=False,
        )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        raise BenchError(f"the load generator failed: {(done.stderr or done.stdout)[-200:]}")
    said = json.loads(lines[-1])
    if said["bad"] or not said["good"]:
        raise BenchError(f"{said['bad']} bad and {said['good']} good answers to {load.paths[0]}")
    return Answered(said["good"] / said["seconds"], said["p50_ms"], said["p99_ms"])


def _wrk(load: Load, _order: Path) -> list[str]:
    return [
        str(WRK), "--threads", "1", "--connections", str(load.connections),
        "--duration", f"{max(1, round(load.seconds))}s", "--timeout", "30s",
        "--script", str(SCRIPT), load.url,
    ]  # fmt: skip


def _for_script(load: Load) -> dict[str, str]:
    """Return the order in the form that the Lua script reads; the token is on no command line."""
    return {
        "LOAD_METHOD": load.method,
        "LOAD_PATHS": "\n".join(load.paths),
        "LOAD_BODY": load.body,
        "LOAD_TOKEN": load.token,
        "LOAD_HOST": urlsplit(load.url).netloc,
        "LOAD_KEYED": "1" if load.keyed else "",
    }
