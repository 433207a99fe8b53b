"""Measure this machine: matrix products per precision, memory, disk, network; print JSON.

Needs python3 alone. NumPy and PyTorch are used where they are there; what is missing is named as
not measured, never guessed. Figures are medians of repetitions.

    python3 probe.py [--size N] [--seconds S] [--memory-mib N] [--disk-mib N] [--net-mib N]
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import socket
import statistics
import struct
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

MIB = 2**20
LEAST_REPEATS = 3
MOST_REPEATS = 1_000
PINGS = 200
LENGTH_BYTES = 8
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Report:
    """What was measured, and what was not."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.figures: list[dict[str, object]] = []
        self.missing: list[dict[str, str]] = []

    def add(self, what: str, value: float, unit: str, how: str) -> None:
        """Note one figure."""
        self.figures.append({"what": what, "value": round(value, 6), "unit": unit, "how": how})

    def miss(self, what: str, why: str) -> None:
        """Note what was not measured."""
        self.missing.append({"what": what, "why": " ".join(why.split())[:200] or "unknown"})

    def attempt(self, what: str, work: Callable[..., None], *args: Any) -> None:  # noqa: ANN401
        """Run one measurement; what goes wrong with it keeps no other from running."""
        try:
            work(self, *args)
        except Exception as error:  # noqa: BLE001 - whatever a library may raise
            self.miss(what, f"{type(error).__name__}: {error}")


def repeated(work: Callable[[], object], seconds: float) -> tuple[float, int]:
    """Return (median, repetitions) of the seconds that `work` takes, after one run to warm up."""
    work()
    took: list[float] = []
    end = time.perf_counter() + seconds
    while len(took) < LEAST_REPEATS or time.perf_counter() < end:
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
        if len(took) >= MOST_REPEATS:
            break
    return max(statistics.median(took), 1e-9), len(took)


def cores() -> int:
    """Return how many cores are ours: those that were asked for, at most those that we may use."""
    allowed = len(os.sched_getaffinity(0))
    try:
        asked = float(os.environ["FENGLIN_CPUS"])
    except (KeyError, ValueError):
        return allowed
    return max(1, min(allowed, int(asked)))


def cpu_model() -> str:
    """Return what the machine calls its processor; empty when it does not say."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    for line in text.splitlines():
        if line.lower().startswith("model name"):
            return line.partition(":")[2].strip()[:200]
    return ""


def library(name: str) -> Any:  # noqa: ANN401 - a module
    """Return a library; None where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def products_on_cpu(report: Report, size: int, seconds: float, count: int) -> None:
    """Measure matrix products of FP64 and FP32 through NumPy."""
    numpy = library("numpy")
    for what, kind in (("fp64", "float64"), ("fp32", "float32")):
        if numpy is None:
            report.miss(what, "numpy absent")
        else:
            report.attempt(what, cpu_product, numpy, what, kind, size, seconds, count)
    for what in ("fp16", "bf16", "int8"):
        report.miss(what, "NumPy has no fast product of it")


def cpu_product(
    report: Report,
    numpy: Any,  # noqa: ANN401 - a module
    what: str,
    kind: str,
    size: int,
    seconds: float,
    count: int,
) -> None:
    """Measure one precision."""
    left = numpy.full((size, size), 0.5, dtype=kind)
    right = numpy.full((size, size), 0.25, dtype=kind)
    out = numpy.empty((size, size), dtype=kind)
    took, times = repeated(lambda: numpy.matmul(left, right, out=out), seconds)
    how = f"NumPy {numpy.__version__}, {size} x {size}, {count} cores, median of {times}"
    report.add(what, 2 * size**3 / took / 1e12, "TFLOPS", how)


def card_library() -> tuple[Any, str]:
    """Return PyTorch when it sees a card, and the card's name; else None and why not."""
    torch = library("torch")
    if torch is None:
        return None, "torch absent"
    if not torch.cuda.is_available():
        return None, "torch sees no card"
    return torch, str(torch.cuda.get_device_name(0))


def products_on_card(report: Report, torch: Any, size: int, seconds: float) -> None:  # noqa: ANN401
    """Measure matrix products of each precision on the first card, and its memory."""
    for what, kind in (
        ("fp64", torch.float64), ("fp32", torch.float32), ("tf32", torch.float32),
        ("fp16", torch.float16), ("bf16", torch.bfloat16),
    ):  # fmt: skip
        report.attempt(what, card_product, torch, what, kind, size, seconds)
    report.attempt("int8", card_int8, torch, size, seconds)
    report.attempt("card_memory_copy", card_copy, torch, seconds)


def timed_on_card(
    torch: Any,  # noqa: ANN401 - a module
    work: Callable[[], object],
    seconds: float,
) -> tuple[float, int]:
    """Return (median, repetitions); the card is waited for each time."""

    def whole() -> None:
        work()
        torch.cuda.synchronize()

    return repeated(whole, seconds)


def card_product(
    report: Report,
    torch: Any,  # noqa: ANN401 - a module
    what: str,
    kind: object,
    size: int,
    seconds: float,
) -> None:
    """Measure one precision. TF32 is FP32 whose products are rounded; FP32 must not be."""
    torch.backends.cuda.matmul.allow_tf32 = what == "tf32"
    left = torch.rand((size, size), device="cuda").to(kind)
    right = torch.rand((size, size), device="cuda").to(kind)
    took, times = timed_on_card(torch, lambda: torch.matmul(left, right), seconds)
    how = f"PyTorch {torch.__version__}, {size} x {size}, one card, median of {times}"
    report.add(what, 2 * size**3 / took / 1e12, "TFLOPS", how)


def card_int8(report: Report, torch: Any, size: int, seconds: float) -> None:  # noqa: ANN401
    """Measure INT8 products with INT32 sums."""
    left = torch.randint(-128, 127, (size, size), device="cuda", dtype=torch.int8)
    right = torch.randint(-128, 127, (size, size), device="cuda", dtype=torch.int8).t()
    took, times = timed_on_card(torch, lambda: torch._int_mm(left, right), seconds)  # noqa: SLF001
    how = f"PyTorch {torch.__version__}, {size} x {size}, one card, median of {times}"
    report.add("int8", 2 * size**3 / took / 1e12, "TOPS", how)


def card_copy(report: Report, torch: Any, seconds: float) -> None:  # noqa: ANN401
    """Measure the card's memory by copying a quarter GiB; each byte is read and written."""
    source = torch.zeros(256 * MIB, device="cuda", dtype=torch.uint8)
    target = torch.empty_like(source)
    took, times = timed_on_card(torch, lambda: target.copy_(source), seconds)
    how = f"copy of 256 MiB, read and written, median of {times}"
    report.add("card_memory_copy", 2 * 256 * MIB / took / 1e9, "GB/s", how)


def memory(report: Report, mib: int, seconds: float, count: int) -> None:
    """Measure memory by copying; each byte is read and written."""
    numpy = library("numpy")
    # Without NumPy Python copies on one thread at a time.
    threads = count if numpy is not None else 1
    size = mib * MIB // threads
    parts = [(memoryview(bytearray(size)), memoryview(bytearray(size))) for _ in range(threads)]

    def one(source: memoryview, target: memoryview) -> None:
        if numpy is None:
            target[:] = source
        else:
            numpy.copyto(numpy.frombuffer(target, "u1"), numpy.frombuffer(source, "u1"))

    def copy() -> None:
        workers = [threading.Thread(target=one, args=part) for part in parts]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    took, times = repeated(copy, seconds)
    how = f"copy of {mib} MiB by {threads} threads, read and written, median of {times}"
    report.add("memory_copy", 2 * size * threads / took / 1e9, "GB/s", how)


def disk(report: Report, mib: int) -> None:
    """Measure the disk of the working directory: write through to it, then read it back."""
    block = os.urandom(MIB)
    handle, path = tempfile.mkstemp(dir=".", prefix=".probe-")
    try:
        began = time.perf_counter()
        for _ in range(mib):
            rest = memoryview(block)
            while rest:
                rest = rest[os.write(handle, rest) :]
        os.fsync(handle)
        took = max(time.perf_counter() - began, 1e-9)
        report.add("disk_write", mib * MIB / took / 1e6, "MB/s", f"{mib} MiB, with fsync")
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.lseek(handle, 0, os.SEEK_SET)
        began = time.perf_counter()
        while os.read(handle, MIB):
            pass
        took = max(time.perf_counter() - began, 1e-9)
        how = f"{mib} MiB, after asking to forget them; a cache below may still answer"
        report.add("disk_read", mib * MIB / took / 1e6, "MB/s", how)
    finally:
        os.close(handle)
        Path(path).unlink()


def network(report: Report, mib: int) -> None:
    """Measure TCP within the machine: what its network code can do at best."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        answering = threading.Thread(target=answer, args=(server,), daemon=True)
        answering.start()
        with socket.create_connection(server.getsockname(), timeout=30) as here:
            here.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            took = []
            for _ in range(PINGS):
                began = time.perf_counter()
                here.sendall(b"\0")
                here.recv(1)
                took.append(time.perf_counter() - began)
            block = bytes(MIB)
            began = time.perf_counter()
            here.sendall(struct.pack("!Q", mib * MIB))
            for _ in range(mib):
                here.sendall(block)
            here.recv(1)
            seconds = max(time.perf_counter() - began, 1e-9)
        answering.join(30)
    how = f"TCP within the machine, median of {PINGS} round trips"
    report.add("loopback_round_trip", statistics.median(took) * 1e6, "us", how)
    how = f"TCP within the machine, {mib} MiB, one stream"
    report.add("loopback_throughput", mib * MIB * 8 / seconds / 1e9, "Gbit/s", how)
    report.miss("network", "between nodes nothing was sent: the probe runs on one")


def answer(server: socket.socket) -> None:
    """Give each ping back, then take in as many bytes as were announced."""
    there, _ = server.accept()
    with there:
        there.settimeout(30)
        there.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(PINGS):
            there.recv(1)
            there.sendall(b"\0")
        head = b""
        while len(head) < LENGTH_BYTES:
            piece = there.recv(LENGTH_BYTES - len(head))
            if not piece:
                return
            head += piece
        (left,) = struct.unpack("!Q", head)
        while left > 0:
            piece = there.recv(min(left, MIB))
            if not piece:
                return
            left -= len(piece)
        there.sendall(b"\0")


def measured(wish: argparse.Namespace) -> dict[str, object]:
    """Return all that can be measured here."""
    count = cores()
    for name in THREADS:  # before NumPy is loaded
        os.environ[name] = str(count)
    report = Report()
    torch, card = card_library() if wish.card else (None, "no card was asked for")
    if torch is not None:
        report.attempt("card", products_on_card, torch, wish.size, wish.seconds)
    else:
        report.miss("card", card)
        report.attempt("products", products_on_cpu, wish.size, wish.seconds, count)
    report.attempt("memory_copy", memory, wish.memory_mib, wish.seconds, count)
    report.attempt("disk", disk, wish.disk_mib)
    report.attempt("network", network, wish.net_mib)
    return {
        "probe": 1,
        "node": socket.gethostname() or "unknown",
        "cpu": cpu_model(),
        "cores": count,
        "card": card if torch is not None else "",
        "figures": report.figures,
        "missing": report.missing,
    }


def main() -> None:
    """Measure, print, and keep the answer among the artifacts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--memory-mib", type=int, default=512)
    parser.add_argument("--disk-mib", type=int, default=512)
    parser.add_argument("--net-mib", type=int, default=256)
    parser.add_argument("--card", action="store_true")
    text = json.dumps(measured(parser.parse_args()), indent=2) + "\n"
    sys.stdout.write(text)
    kept = os.environ.get("FENGLIN_ARTIFACTS_DIR")
    if kept:
        Path(kept, "probe.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
