"""Where a job may run and what it must find there: sites, regions, labels, data."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

from fenglin.intake import words
from fenglin.intake.report import show
from fenglin.intake.things import items
from fenglin.model.job import DataNeed

if TYPE_CHECKING:
    from collections.abc import Callable

    from fenglin.intake.report import Path, Report

    Setter = Callable[[object, dict[str, object], Report], None]

DATA_KEYS = ("name", "sites", "size")
DATA_SYNONYMS = {
    "bytes": "did you mean 'size'?",
    "site": "did you mean 'sites', a list?",
    "at": "did you mean 'sites'?",
    "replicas": "did you mean 'sites'?",
    "dataset": "did you mean 'name'?",
}
MAX_LABELS = 64
MAX_LABEL = 256
MAX_SITES = 1_000
MAX_DATA = 100
_LABEL_KEY = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?", re.ASCII)


def is_label(name: str) -> bool:
    """Return whether a label may be called so."""
    return _LABEL_KEY.fullmatch(name) is not None


def names(value: object, path: Path, report: Report, thing: str, example: str) -> tuple[str, ...]:
    """Return a list of names without repetition, in the order given; an empty one is refused."""
    found = []
    for index, item in enumerate(items(value, path, report, MAX_SITES, f"such as {example}")):
        name = words.identifier(item, (*path, index), report)
        if name is not None:
            found.append(name)
    if value == []:
        report.add(path, f"no {thing} is allowed", "name one, or leave it out for any")
    return tuple(dict.fromkeys(found))


def sites(value: object, out: dict[str, object], report: Report) -> None:
    """Set `sites`."""
    out["sites"] = names(value, ("sites",), report, "site", "[gz1, gz2]")


def regions(value: object, out: dict[str, object], report: Report) -> None:
    """Set `regions`, sorted: jobs that mean the same share a shape."""
    found = names(value, ("regions",), report, "region", "[cn-guizhou]")
    out["regions"] = tuple(sorted(found))


def pairs(key: str, example: str) -> Setter:
    """Return the setter of a mapping of label to text or number."""
    path: Path = (key,)

    def set_it(value: object, out: dict[str, object], report: Report) -> None:
        if type(value) is not dict:
            report.wrong(path, value, "a mapping", f"write for example {example}")
            return
        if len(value) > MAX_LABELS:
            report.add(path, f"{len(value)} labels", f"at most {MAX_LABELS}")
            return
        found = []
        for name, item in value.items():
            at = (*path, name)
            if not is_label(name):
                hint = "1 to 63 letters, digits and . _ / -, a letter or digit at both ends"
                report.add(at, f"{show(name)} is not a name of a label", hint, at_key=True)
            word = words.number_word(item)
            if word is None:
                word = words.printable(item, at, report, MAX_LABEL)
            if word is not None:
                found.append((name, word))
        out[key] = tuple(sorted(found))

    return set_it


def data(value: object, out: dict[str, object], report: Report) -> None:
    """Set `data`, sorted."""
    hint = "write a list such as [{name: scene, size: 40GiB, sites: [gz1]}]"
    found: dict[str, DataNeed] = {}
    for index, item in enumerate(items(value, ("data",), report, MAX_DATA, hint)):
        path: Path = ("data", index)
        need = _dataset(item, path, report)
        if need is None:
            continue
        if need.name in found:
            report.add(path, f"{show(need.name)} stands here twice", "remove one of them")
        found[need.name] = need
    out["data"] = tuple(sorted(found.values()))


def _dataset(item: object, path: Path, report: Report) -> DataNeed | None:
    """Read `{name, size, sites}`."""
    if type(item) is not dict:
        report.wrong(path, item, "a mapping", "{name: scene, size: 40GiB, sites: [gz1]}")
        return None
    entry = cast("dict[str, object]", item)
    for key in entry:
        if key not in DATA_KEYS:
            report.unknown((*path, key), DATA_KEYS, DATA_SYNONYMS)
    missing = [key for key in DATA_KEYS if key not in entry]
    if missing:
        what = f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"
        report.add(path, what, "name the dataset, its size, and the sites that hold a copy")
        return None
    name = words.identifier(entry["name"], (*path, "name"), report)
    size_bytes = words.size(entry["size"], (*path, "size"), report)
    held_at = names(entry["sites"], (*path, "sites"), report, "site", "[gz1]")
    if name is None or size_bytes is None:
        return None
    return DataNeed(name, size_bytes, tuple(sorted(held_at)))
