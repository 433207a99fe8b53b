"""What runs at the site: `python agent.py ATTEMPT_DIR` takes the attempt and runs its tasks.

It knows nothing of Fenglin, so that it can be sent to a machine that has only Python. It
outlives the driver and the hub. The attempt's folder holds:

    order.json   what to run             claim    who has the attempt; made once
    ends         a JSON line per end     lock     held while the agent lives
    INDEX.log    output of a task        stop     grace in ms; there when a stop is wanted
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, cast

# Set in every payload, so that what a dead agent has left is found.
MARK = "FENGLIN_ATTEMPT_FOLDER"
POLL_S = 0.05
READ_BYTES = 2**16
NOT_EXECUTABLE, NOT_FOUND = 126, 127


def claim(folder: Path, text: str) -> bool:
    """Take the attempt; False when another has it. The last guard against running twice."""
    draft = folder / f".claim.{os.urandom(4).hex()}"
    draft.write_text(text)
    try:
        os.link(draft, folder / "claim")  # with its text at once, and only if there is none
    except FileExistsError:
        return False
    finally:
        draft.unlink(missing_ok=True)
    return True


class Log:
    """A task's output: the first half of the cap, and the end of what came after."""

    def __init__(self, path: Path, cap_bytes: int) -> None:
        """Open the file."""
        self._file = path.open("wb", buffering=0)
        self._half = cap_bytes // 2
        self._room = self._half
        self._tail = bytearray()
        self._dropped = 0

    def write(self, data: bytes) -> None:
        """Keep or drop the next piece."""
        head, rest = data[: self._room], data[self._room :]
        self._file.write(head)
        self._room -= len(head)
        self._tail += rest
        surplus = len(self._tail) - self._half
        if surplus > 0:
            del self._tail[:surplus]
            self._dropped += surplus

    def close(self) -> None:
        """Add the end, and how much is missing before it."""
        if self._dropped:
            self._file.write(b"\n[%d bytes of output dropped here]\n" % self._dropped)
        self._file.write(self._tail)
        self._file.close()


class Attempt:
    """An attempt that this agent has claimed."""

    def __init__(self, folder: Path) -> None:
        """Read the order."""
        self._folder = folder
        self._order: dict[str, Any] = json.loads((folder / "order.json").read_text())
        self._writing = threading.Lock()
        script = self._order["script"]
        self._command: list[str] = self._order["command"]
        if script:
            path = folder / "script"
            path.write_text(script)
            first = script.partition("\n")[0]
            words = first[2:].split(None, 1) if first.startswith("#!") else ["/bin/sh"]
            self._command = [*words, str(path)]

    def run(self) -> None:
        """Run every task, no more at once than there are slots, and say that all is over."""
        with ThreadPoolExecutor(self._order["slots"]) as slots:
            list(slots.map(self._run_task, self._order["tasks"]))
        self._tell(last=True, reason="cancelled" if self._grace_ms() is not None else None)

    def _run_task(self, index: int) -> None:
        """Run one task, unless a stop is wanted."""
        if self._grace_ms() is not None:
            return
        started_ms, start_s = time.time_ns() // 1_000_000, time.monotonic()
        self._tell(started=index, started_ms=started_ms)
        log = Log(self._folder / f"{index}.log", self._order["log_cap_bytes"])
        code, reason = self._play(index, log)
        log.close()
        wall_ms = round(1_000 * (time.monotonic() - start_s))
        self._tell(
            index=index, started_ms=started_ms, wall_ms=wall_ms, exit_code=code, reason=reason
        )

    def _play(self, index: int, log: Log) -> tuple[int, str | None]:
        """Start the payload and follow it to its end; return status and reason."""
        home = self._folder / f"t{index}"
        (home / "artifacts").mkdir(parents=True, exist_ok=True)
        known = {
            "FENGLIN_TASK_INDEX": str(index),
            "FENGLIN_ATTEMPT": self._order["tries"].get(str(index), "1"),
            "FENGLIN_ARTIFACTS_DIR": str(home / "artifacts"),
        }
        env = {**os.environ, **self._order["env"], **known, **self._order["own_env"]}
        try:
            process = subprocess.Popen(
                self._command,
                env={**env, MARK: str(self._folder)},
                cwd=self._order["workdir"] or home,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                bufsize=0,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            log.write(f"cannot execute {self._command[:1]}: {error}\n".encode())
            lost = isinstance(error, FileNotFoundError)
            return (NOT_FOUND, "command_not_found") if lost else (NOT_EXECUTABLE, "exit_code")
        with process:
            reason = self._follow(process, log)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # what it has left in the background
        code = process.returncode
        if code < 0:
            return 128 - code, reason or "signal"
        return code, reason or ("exit_code" if code else None)

    def _follow(self, process: subprocess.Popen[bytes], log: Log) -> str | None:
        """Copy output until the process ends; return why we have ended it, if we have."""
        output = cast("IO[bytes]", process.stdout)
        reason = None
        timeout_ms = self._order["timeout_ms"]
        limit_s = time.monotonic() + timeout_ms / 1_000 if timeout_ms else float("inf")
        kill_s = float("inf")
        while True:
            ready, _, _ = select.select([output], [], [], POLL_S)
            data = os.read(output.fileno(), READ_BYTES) if ready else b""
            log.write(data)
            if not data and process.poll() is not None:
                return reason
            if ready and not data:
                time.sleep(POLL_S)  # it has closed its output and goes on
            now_s, grace_ms = time.monotonic(), self._grace_ms()
            if reason is None and (grace_ms is not None or now_s >= limit_s):
                reason = "timeout" if grace_ms is None else "cancelled"
                kill_s = now_s + (self._order["grace_ms"] if grace_ms is None else grace_ms) / 1_000
                os.killpg(process.pid, signal.SIGTERM)
            if now_s >= kill_s:
                os.killpg(process.pid, signal.SIGKILL)
                kill_s = float("inf")

    def _grace_ms(self) -> int | None:
        """Return the grace of a stop that is wanted, else None."""
        try:
            return int((self._folder / "stop").read_text() or 0)
        except FileNotFoundError:
            return None

    def _tell(self, **event: object) -> None:
        """Append one event, whole lines only, before anybody can be told of it."""
        with self._writing, (self._folder / "ends").open("ab", buffering=0) as file:
            file.write(json.dumps(event).encode() + b"\n")
            os.fsync(file.fileno())


def main(folder: Path) -> None:
    """Claim the attempt and run it; do nothing when another agent has it."""
    with (folder / "lock").open("w") as lock:
        # Held before the claim is visible, so that a claim without a lock is a dead agent's.
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        if claim(folder, str(os.getpid())):
            Attempt(folder).run()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
