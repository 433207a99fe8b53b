"""What one task needs: CPU, memory, disk, accelerators by model or capability, licences."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

from fenglin.catalog.devices import lookup, registry
from fenglin.intake import words
from fenglin.model.job import AcceleratorNeed, JobSpec
from fenglin.quantities.resources import Resources

if TYPE_CHECKING:
    from fenglin.intake.report import Path, Report

RESOURCE_KEYS = ("accelerators", "cpu", "disk", "licences", "memory")
ACCELERATOR_KEYS = ("count", "domestic", "fp16", "fp64", "memory", "model", "vendor")
RESOURCE_SYNONYMS = {
    "cpus": "did you mean 'cpu'?",
    "cores": "did you mean 'cpu'?",
    "ncpus": "did you mean 'cpu'?",
    "mem": "did you mean 'memory'?",
    "ram": "did you mean 'memory'?",
    "gpu": "did you mean 'accelerators'?",
    "gpus": "did you mean 'accelerators'?",
    "npu": "did you mean 'accelerators'?",
    "npus": "did you mean 'accelerators'?",
    "cards": "did you mean 'accelerators'?",
    "storage": "did you mean 'disk'?",
    "scratch": "did you mean 'disk'?",
    "licenses": "did you mean 'licences'?",
    "nodes": "`nodes` stands beside `resources`, not in it",
}
MAX_CARDS = 1_024
MAX_LICENCES = 64
MAX_LICENCE_COUNT = 1_000_000
MAX_TFLOPS_MILLI = 10**9
_LEAST = re.compile(r"(?:>=|≥)?\s*(.*)", re.DOTALL)
_MODEL = re.compile(r"\w[\w ./+-]{0,63}")
DEFAULTS = JobSpec(name="defaults").resources


def resources(value: object, out: dict[str, object], report: Report) -> None:
    """Set `resources`, `accelerator` and `licences` from the mapping `resources`."""
    path: Path = ("resources",)
    if type(value) is not dict:
        report.wrong(path, value, "a mapping", "write for example {cpu: 2, memory: 4GiB}")
        return
    cpu_milli: int | None = DEFAULTS.cpu_milli
    memory_bytes: int | None = DEFAULTS.memory_bytes
    disk_bytes: int | None = 0
    cards_milli = 0
    for key, item in value.items():
        if key == "cpu":
            cpu_milli = words.cores(item, ("resources", "cpu"), report)
        elif key == "memory":
            memory_bytes = words.size(item, ("resources", "memory"), report)
        elif key == "disk":
            disk_bytes = words.size(item, ("resources", "disk"), report)
        elif key == "accelerators":
            cards_milli = accelerators(item, out, report)
        elif key == "licences":
            out["licences"] = licences(item, report)
        else:
            report.unknown((*path, key), RESOURCE_KEYS, RESOURCE_SYNONYMS)
    if cpu_milli is not None and memory_bytes is not None and disk_bytes is not None:
        out["resources"] = Resources(cpu_milli, memory_bytes, disk_bytes, cards_milli)


def accelerators(value: object, out: dict[str, object], report: Report) -> int:
    """Set `accelerator` and return thousandths of cards, 0 for none or when refused."""
    path: Path = ("resources", "accelerators")
    if type(value) is dict:
        return _capability(cast("dict[str, object]", value), path, out, report)
    if type(value) is str:
        model, colon, count = value.rpartition(":")
        if not colon:
            model, count = value, "1"
        name = _model(model, path, report)
        if not count.isdecimal() or not count.isascii() or not 0 < int(count[:9]) <= MAX_CARDS:
            hint = f"write for example A100-80:2, at most {MAX_CARDS}"
            report.wrong(path, value, "`model` or `model:count`", hint)
            return 0
        if name is not None:
            out["accelerator"] = AcceleratorNeed(model=name)
        return int(count[:9]) * 1_000
    if value == 0 and type(value) is int:
        return 0
    milli = _cards(value, path, report)
    if milli:
        out["accelerator"] = AcceleratorNeed()
    return milli or 0


def _capability(
    value: dict[str, object], path: Path, out: dict[str, object], report: Report
) -> int:
    """Read `{model, count, vendor, domestic, memory, fp16, fp64}`."""
    milli: int | None = 1_000
    name: str | None = ""
    memory_bytes: int | None = 0
    least_gflops: dict[str, int | None] = {"fp16": 0, "fp64": 0}
    vendor: str | None = ""
    domestic: bool | None = False
    for key, item in value.items():
        at = (*path, key)
        if key == "count":
            milli = _cards(item, at, report)
        elif key == "model":
            name = _model(item, at, report)
        elif key == "memory":
            memory_bytes = words.size(_least(item), at, report)
        elif key == "vendor":
            vendor = _vendor(item, at, report)
        elif key == "domestic":
            domestic = words.truth(item, at, report)
        elif key in least_gflops:
            least_gflops[key] = _tflops(item, at, report)
        else:
            report.unknown(at, ACCELERATOR_KEYS, {"name": "did you mean 'model'?"})
    fp16_gflops, fp64_gflops = least_gflops["fp16"], least_gflops["fp64"]
    if name is None or memory_bytes is None or fp16_gflops is None or fp64_gflops is None:
        return 0
    if vendor is None or domestic is None:
        return 0
    out["accelerator"] = AcceleratorNeed(
        name, memory_bytes, fp16_gflops, fp64_gflops, vendor, domestic
    )
    return milli or 0


def _cards(value: object, path: Path, report: Report) -> int | None:
    """Return thousandths of cards: a share of one card, or whole cards."""
    hint = f"a part of one card such as 0.5, or 1 to {MAX_CARDS} whole cards"
    milli = words.thousandths(value, path, report, "a number of cards", hint)
    if milli is None:
        return None
    if not 0 < milli <= MAX_CARDS * 1_000 or (milli > 1_000 and milli % 1_000):
        report.add(path, f"{value!s:.40} cards cannot be given to a task", hint)
        return None
    return milli


def _model(value: object, path: Path, report: Report) -> str | None:
    """Return the registry's name of a model, or the given one when the registry lacks it."""
    if type(value) is not str:
        return words.text(value, path, report)
    if not _MODEL.fullmatch(value):
        report.wrong(path, value, "the name of an accelerator", "for example A100-80")
        return None
    device = lookup(value)
    return device.key if device else value


def _vendor(value: object, path: Path, report: Report) -> str | None:
    """Return a maker's name as the registry has it."""
    known = registry()
    found = known.vendor(value) if type(value) is str else None
    if found is None:
        makers = ", ".join(sorted(known.vendors.values()))
        report.wrong(path, value, "a maker that the registry knows", f"one of {makers}")
    return found


def _least(value: object) -> object:
    """Return the amount behind an optional `>=`: every capability is a lower bound."""
    match = _LEAST.fullmatch(value) if type(value) is str and len(value) < 64 else None
    return match[1] if match else value


def _tflops(value: object, path: Path, report: Report) -> int | None:
    """Return GFLOPS for a bound in TFLOPS."""
    amount = _least(value)
    hint = "write for example 100 or '>=19.5', with at most 3 decimals"
    if type(amount) is str and amount.endswith("m"):
        report.wrong(path, value, "TFLOPS", hint)
        return None
    milli = words.thousandths(amount, path, report, "TFLOPS", hint)
    if milli is not None and not 0 < milli <= MAX_TFLOPS_MILLI:
        report.add(path, f"{value!s:.40} TFLOPS is out of range", "leave it out for any")
        return None
    return milli


def licences(value: object, report: Report) -> tuple[tuple[str, int], ...]:
    """Return (name, count) pairs, sorted by name."""
    path: Path = ("resources", "licences")
    if type(value) is not dict:
        report.wrong(path, value, "a mapping of name to count", "write for example {ansys: 2}")
        return ()
    if len(value) > MAX_LICENCES:
        report.add(path, f"{len(value)} kinds of licence", f"at most {MAX_LICENCES}")
        return ()
    pairs = []
    for key, item in value.items():
        at = (*path, key)
        name = words.identifier(key, at, report)
        count = words.whole(item, at, report, 1, MAX_LICENCE_COUNT)
        if name is not None and count is not None:
            pairs.append((name, count))
    return tuple(sorted(pairs))
