"""Measure this machine: matrix products per precision, memory, disk, network; print JSON.

Needs python3 alone. NumPy and PyTorch are used where they are there; what is missing is named as
not measured, never guessed. Figures are medians of repetitions. Where it runs on several nodes at
once, the first one measures, and TCP to each of the others, which do nothing else.

    python3 probe.py [--size N] [--seconds S] [--memory-mib N] [--disk-mib N] [--net-mib N]
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import itertools
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
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

MIB = 2**20
LEAST_REPEATS = 3
MOST_REPEATS = 1_000
PINGS = 200
LENGTH_BYTES = 8
LINE_S = 30.0
# How long nodes of a gang wait for one another, and among how many ports they find each other.
MEET_S = 120.0
KNOCK_S = 2.0
PORTS = 8
PORTS_FROM = range(20_000, 30_000)
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


class Gang(NamedTuple):
    """The nodes that run this at once; what answers without their word is none of them."""

    rank: int
    names: list[str]
    addresses: list[str]
    word: bytes

    def ports(self) -> list[int]:
        """Return where a node may listen; all know them without a word."""
        first = int.from_bytes(self.word[:4], "big") % (len(PORTS_FROM) - PORTS)
        return list(PORTS_FROM[first : first + PORTS])


def gang() -> Gang:
    """Return the nodes of our task, by what its environment says."""
    told = os.environ.get
    names = [name for name in told("FENGLIN_NODES", "").split(",") if name]
    addresses = told("FENGLIN_NODE_ADDRESSES", "").split(",")
    if len(addresses) != len(names) or not all(addresses):
        addresses = names
    run = "/".join(told(f"FENGLIN_{name}", "") for name in ("SITE", "JOB_ID", "ATTEMPT"))
    rank = int(told("FENGLIN_NODE_RANK", "0"))
    return Gang(rank, names, addresses, hashlib.sha256(run.encode()).digest())


def loopback(report: Report, mib: int) -> None:
    """Measure TCP within the machine: what its network code can do at best."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        answering = threading.Thread(target=lambda: answer(server.accept()[0]), daemon=True)
        answering.start()
        with socket.create_connection(server.getsockname(), timeout=LINE_S) as here:
            trip_s, gbits = exchange(here, mib)
        answering.join(LINE_S)
    add_line(report, "loopback", "within the machine", [(trip_s, gbits)], mib)


def between(report: Report, mib: int, them: Gang) -> None:
    """Measure TCP from this node to each other; the worst pair is what a gang gets."""
    others = them.addresses[1:]
    if not others:
        report.miss("network", "between nodes nothing was sent: the probe ran on one")
        return
    end, found = time.monotonic() + MEET_S, []
    for address in others:
        with meet(them, address, end) as here:
            found.append(exchange(here, mib))
    other = them.names[1] if len(others) == 1 else f"{len(others)} other nodes, the worst of them"
    add_line(report, "network", f"from {them.names[0]} to {other}", found, mib)


def add_line(
    report: Report, what: str, where: str, found: list[tuple[float, float]], mib: int
) -> None:
    """Note what `exchange` found."""
    how = f"TCP {where}, median of {PINGS} round trips"
    report.add(f"{what}_round_trip", max(trip_s for trip_s, _ in found) * 1e6, "us", how)
    how = f"TCP {where}, {mib} MiB, one stream"
    report.add(f"{what}_throughput", min(gbits for _, gbits in found), "Gbit/s", how)


def meet(them: Gang, address: str, end: float) -> socket.socket:
    """Return a connection to another node, which has answered our greeting.

    Raises:
        OSError: it was not found in time, or its name is unknown here.
    """
    while True:
        why = "it greets with another word"
        for port in them.ports():
            try:
                here = socket.create_connection((address, port), timeout=KNOCK_S)
            except socket.gaierror:
                raise
            except OSError as error:
                why = str(error)
                continue
            if greeted(here, them.word):
                return here
            here.close()
        if time.monotonic() > end:
            raise OSError(f"{address} was not reached: {why}")
        time.sleep(KNOCK_S / 10)


def greeted(line: socket.socket, word: bytes) -> bool:
    """Return whether who is at the other end says the same word."""
    line.settimeout(KNOCK_S)
    try:
        line.sendall(word)
        heard = taken(line, len(word))
    except OSError:
        return False
    line.settimeout(LINE_S)
    return heard == word


def wait_for_first(them: Gang) -> str:
    """Answer the gang's first node once; return what became of it."""
    end = time.monotonic() + MEET_S
    try:
        with listening(them) as server:
            while (left := end - time.monotonic()) > 0:
                server.settimeout(left)
                there, _ = server.accept()
                if greeted(there, them.word):
                    answer(there)
                    return "measured from the first node"
                there.close()
    except OSError as error:
        return f"not measured: {error}"
    return "not measured: the first node never came"


def listening(them: Gang) -> socket.socket:
    """Return a server on the first of our ports that is free.

    Raises:
        OSError: none is free, or our name is unknown, by which the first node looks for us.
    """
    address = them.addresses[them.rank]
    family = socket.getaddrinfo(address, None)[0][0]
    why = OSError("no port is free")
    # Behind a translated address, which is none of ours, on all that we have.
    for host, port in itertools.product((address, ""), them.ports()):
        try:
            return socket.create_server((host, port), family=family)
        except OSError as error:
            why = error
    raise why


def exchange(here: socket.socket, mib: int) -> tuple[float, float]:
    """Return (seconds of the median round trip, Gbit/s of one stream) to who answers."""
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
    if here.recv(1) != b"\0":
        raise OSError("the other end has hung up")
    seconds = max(time.perf_counter() - began, 1e-9)
    return statistics.median(took), mib * MIB * 8 / seconds / 1e9


def answer(there: socket.socket) -> None:
    """Give each ping back, then take in as many bytes as were announced."""
    with there:
        there.settimeout(LINE_S)
        there.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(PINGS):
            there.sendall(taken(there, 1))
        (left,) = struct.unpack("!Q", taken(there, LENGTH_BYTES))
        while left > 0:
            piece = there.recv(min(left, MIB))
            if not piece:
                return
            left -= len(piece)
        there.sendall(b"\0")


def taken(line: socket.socket, size: int) -> bytes:
    """Return so many bytes.

    Raises:
        OSError: the other end hung up before.
    """
    found = bytearray()
    while len(found) < size:
        piece = line.recv(size - len(found))
        if not piece:
            raise OSError("the other end has hung up")
        found += piece
    return bytes(found)


def measured(wish: argparse.Namespace, them: Gang) -> dict[str, object]:
    """Return all that can be measured here."""
    count = cores()
    for name in THREADS:  # before NumPy is loaded
        os.environ[name] = str(count)
    report = Report()
    # The other nodes are let go before what takes long.
    report.attempt("network", between, wish.net_mib, them)
    torch, card = card_library() if wish.card else (None, "no card was asked for")
    if torch is not None:
        report.attempt("card", products_on_card, torch, wish.size, wish.seconds)
    else:
        report.miss("card", card)
        report.attempt("products", products_on_cpu, wish.size, wish.seconds, count)
    report.attempt("memory_copy", memory, wish.memory_mib, wish.seconds, count)
    report.attempt("disk", disk, wish.disk_mib)
    report.attempt("loopback", loopback, wish.net_mib)
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
    wish, them = parser.parse_args(), gang()
    if them.rank:
        sys.stdout.write(f"{wait_for_first(them)}\n")
        return
    text = json.dumps(measured(wish, them), indent=2) + "\n"
    sys.stdout.write(text)
    kept = os.environ.get("FENGLIN_ARTIFACTS_DIR")
    if kept:
        Path(kept, "probe.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
