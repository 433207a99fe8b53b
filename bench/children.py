"""Runs the programs that are measured, each in a process group that ends with it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from bench.effort import BenchError

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
PEER_TIMEOUT_S = 180.0
COMMAND_TIMEOUT_S = 60.0


def environment(**more: str) -> dict[str, str]:
    """Return our environment with the interpreter's programs and this package in reach."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FENGLIN_")}
    # Without compiled files every start would be measured with its compiling.
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    path = f"{BIN}{os.pathsep}{kept.get('PATH', os.defpath)}"
    return {**kept, "PATH": path, "PYTHONPATH": str(ROOT), **more}


def peer_seconds(program: str, tasks: int, kind: str) -> float:
    """Return the seconds that a program of `bench.peers` took for its batch.

    Raises:
        BenchError: it failed or took too long; says how.
    """
    words = [sys.executable, "-m", f"bench.peers.{program}", str(tasks), kind]
    process = subprocess.Popen(
        words,
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        output, complaint = process.communicate(timeout=PEER_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise BenchError(f"took more than {PEER_TIMEOUT_S:.0f} s") from None
    finally:
        end_group(process)
    lines = [line for line in output.splitlines() if line.startswith("{")]
    if process.returncode or not lines:
        last = [line for line in complaint.splitlines() if line.strip()][-1:]
        raise BenchError(f"exit code {process.returncode}: {' '.join(last) or 'no word'}")
    return float(json.loads(lines[-1])["seconds"])


def wall_ms(words: list[str], env: dict[str, str]) -> float:
    """Return how long a command takes from its start to its end, in milliseconds.

    Raises:
        BenchError: it failed.
    """
    begun = time.perf_counter()
    done = subprocess.run(
        words, env=env, capture_output=True, timeout=COMMAND_TIMEOUT_S, check=False
    )
    spent_ms = (time.perf_counter() - begun) * 1_000
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise BenchError(f"exit code {done.returncode}: {' '.join(last)}")
    return spent_ms


def end_group(process: subprocess.Popen[str]) -> None:
    """End what is left of a process and its group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
