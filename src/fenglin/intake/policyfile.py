"""Policy files: what a policy says, as a document that is checked like a job file."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from enum import StrEnum
from typing import Any, NamedTuple, cast

from msgspec.structs import replace

from fenglin.errors import InputProblems, Problem
from fenglin.intake import words
from fenglin.intake.limits import check_size
from fenglin.intake.read_json import read_json
from fenglin.intake.read_toml import read_toml
from fenglin.intake.read_yaml import read_yaml
from fenglin.intake.report import Path, Report, Tree, describe, locate, show, suggest
from fenglin.planner.policy import BUILT_IN, Backfill, Packing, Policy

SUFFIXES = ("toml", "yaml", "yml", "json")
DEFAULT_BASE = "balanced"
MAX_POLICY_BYTES = 2**16
MAX_PURPOSE = 256
MAX_WEIGHT = 1_000.0
_BARE_KEY = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")


class _Key(NamedTuple):
    """One key of a policy file.

    Attributes:
        field: Of `Policy`.
        read: Makes the field's value, or notes a problem and returns None.
        write: Makes the document's value of the field's.
    """

    field: str
    read: Callable[[object, Path, Report], object]
    write: Callable[[Any], object]


def read_policy_text(text: str, source: str, terms: Collection[str]) -> Policy:
    """Return the policy of a file.

    Args:
        text: TOML, YAML or JSON, as the suffix of the source says.
        source: The file's name; the policy takes its name from it unless it says its own.
        terms: Names of all terms that a policy may weigh here.

    Raises:
        LimitError: the text is longer than 64 KiB.
        InputProblems: everything that is wrong in it.
    """
    check_size(len(text.encode(errors="surrogatepass")), MAX_POLICY_BYTES, source)
    tree = _parsed(text, source)
    report = Report(0)
    policy = _policy(tree.data, source, terms, report) if not tree.broken else None
    problems = (*tree.problems, *locate(report, tree.marks))
    if problems or policy is None:
        raise InputProblems(source, problems)
    return policy


def to_document(policy: Policy) -> dict[str, object]:
    """Return the document that says everything of a policy."""
    document = {name: key.write(getattr(policy, key.field)) for name, key in KEYS.items()}
    # A table ends what stands before it: TOML wants it last.
    document["weights"] = document.pop("weights")
    return document


def to_toml(policy: Policy) -> str:
    """Return the policy as a TOML file."""
    lines: list[str] = []
    for name, value in to_document(policy).items():
        if isinstance(value, dict):
            lines += ["", f"[{name}]"]
            lines += [f"{_toml_key(key)} = {_toml(item)}" for key, item in value.items()]
        else:
            lines.append(f"{name} = {_toml(value)}")
    return "\n".join(lines) + "\n"


def _toml_key(key: str) -> str:
    return key if set(key) <= _BARE_KEY else _toml(key)


def _toml(value: object) -> str:
    """Return a text, a number or a truth value as TOML; JSON's form of them is also TOML's."""
    return json.dumps(value, ensure_ascii=False)


def _parsed(text: str, source: str) -> Tree:
    """Read the text in the format that the suffix names."""
    suffix = source.rpartition(".")[2].lower()
    if suffix == "toml":
        return read_toml(text)
    if suffix == "json":
        return read_json(text)
    trees = read_yaml(text)
    if len(trees) == 1:
        return trees[0]
    what = f"{len(trees)} documents" if trees else "the file is empty"
    return Tree(None, {}, (Problem("", what, "write one policy per file", 1, 1),), broken=True)


def _policy(data: object, source: str, terms: Collection[str], report: Report) -> Policy | None:
    """Check the document against the table of keys."""
    if type(data) is not dict:
        report.wrong((), data, "a mapping", 'write for example base = "balanced"')
        return None
    document = cast("dict[str, object]", data)
    base = _base(document.get("base", DEFAULT_BASE), report)
    stem = source.replace("\\", "/").rpartition("/")[2].rpartition(".")[0]
    changes: dict[str, Any] = {"purpose": f"Changed from {base.name}."}
    if "name" not in document:
        changes["name"] = words.identifier(stem, ("name",), report)
    for name, value in document.items():
        if name == "base":
            continue
        key = KEYS.get(name)
        if key is None:
            report.unknown((name,), ("base", *KEYS), _SYNONYMS)
        else:
            changes[key.field] = key.read(value, (name,), report)
    _check_terms(document.get("weights"), terms, report)
    if report.count:
        return None
    policy = replace(base, **changes)
    if policy.name in BUILT_IN and policy != BUILT_IN[policy.name]:
        # A receipt names its policy: that must not be another one than people know.
        hint = f'give it its own, such as name = "my-{policy.name}"'
        report.add(("name",), f"{policy.name} is the name of a built-in policy", hint)
    return policy


def _check_terms(weights: object, terms: Collection[str], report: Report) -> None:
    """Note terms that nobody has registered."""
    for term in weights if isinstance(weights, dict) else ():
        if term not in terms:
            hint = suggest(term, terms) or "known: " + ", ".join(sorted(terms))
            report.add(("weights", term), f"no term is named {show(term)}", hint, at_key=True)


def _base(value: object, report: Report) -> Policy:
    """Return the built-in policy that the file begins from."""
    if type(value) is str and value in BUILT_IN:
        return BUILT_IN[value]
    known = ", ".join(sorted(BUILT_IN))
    report.wrong(("base",), value, "the name of a built-in policy", f"one of {known}")
    return BUILT_IN[DEFAULT_BASE]


def _number(low: float, high: float) -> Callable[[object, Path, Report], float | None]:
    """Return the reader of a number of a range."""

    def read(value: object, path: Path, report: Report) -> float | None:
        if type(value) not in (int, float):
            report.wrong(path, value, "a number", "without quotes")
            return None
        number = cast("float", value)
        if not low <= number <= high:  # nor is NaN
            report.add(path, f"{describe(value)} is out of range", f"from {low:g} to {high:g}")
            return None
        return float(number)

    return read


def _whole(low: int, high: int) -> Callable[[object, Path, Report], int | None]:
    """Return the reader of a whole number of a range."""
    return lambda value, path, report: words.whole(value, path, report, low, high)


def _duration(*, none: bool) -> Callable[[object, Path, Report], int | None]:
    """Return the reader of a duration; `none` says whether 0 means something."""

    def read(value: object, path: Path, report: Report) -> int | None:
        zero = value in (0, "0", "0s", "0ms") and value is not False
        return 0 if none and zero else words.duration(value, path, report)

    return read


def _word(
    kind: type[StrEnum],
) -> Callable[[object, Path, Report], StrEnum | None]:
    """Return the reader of one of a few words."""

    def read(value: object, path: Path, report: Report) -> StrEnum | None:
        if type(value) is str and value in tuple(kind):
            return kind(value)
        report.wrong(path, value, "one of " + ", ".join(kind))
        return None

    return read


def _margin(value: object, path: Path, report: Report) -> int | None:
    """Read a factor of at least 1 in thousandths: to hold less would overdraw accounts."""
    milli = words.thousandths(value, path, report, "a factor such as 1.5")
    if milli is not None and not 1_000 <= milli <= 100_000:
        report.add(path, f"{value!s:.20} is out of range", "from 1 to 100")
        return None
    return milli


def _purpose(value: object, path: Path, report: Report) -> str | None:
    return words.printable(value, path, report, MAX_PURPOSE)


def _weights(value: object, path: Path, report: Report) -> tuple[tuple[str, float], ...]:
    """Read `{term: weight}`; what weighs nothing is left out."""
    if type(value) is not dict:
        report.wrong(path, value, "a table", "write for example [weights] with finish = 0.7")
        return ()
    read = _number(0, MAX_WEIGHT)
    pairs = [(term, read(weight, (*path, term), report)) for term, weight in value.items()]
    return tuple((term, weight) for term, weight in pairs if weight)


def _same(value: object) -> object:
    return value


def _spelled(length_ms: int) -> int | str:
    """Return a duration exactly as it can be read back; 0 for none."""
    for unit, size_ms in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)):
        if length_ms and length_ms % size_ms == 0:
            return f"{length_ms // size_ms}{unit}"
    return f"{length_ms}ms" if length_ms else 0


def _decimal(milli: int) -> float:
    return milli / 1_000


_SYNONYMS = {
    "weight": "did you mean 'weights'?",
    "terms": "did you mean 'weights'?",
    "extends": "did you mean 'base'?",
    "description": "did you mean 'purpose'?",
    "half_life": "did you mean 'decay'?",
    "packing": "did you mean 'pack'?",
    "preemption": "did you mean 'preempt'?",
}

# Keys by the names that people write: units are said by the value, not by the name.
KEYS: dict[str, _Key] = {
    "name": _Key("name", words.identifier, _same),
    "purpose": _Key("purpose", _purpose, _same),
    "weights": _Key("weights", _weights, dict),
    "fair": _Key("fair", words.truth, _same),
    "guard": _Key("guard_ms", _duration(none=True), _spelled),
    "decay": _Key("decay_ms", _duration(none=True), _spelled),
    "backfill": _Key("backfill", _word(Backfill), str),
    "reservations": _Key("reservations", _whole(0, 100_000), _same),
    "preempt": _Key("preempt", words.truth, _same),
    "preempt_gain": _Key("preempt_gain", _number(0, 1_000), _same),
    "pack": _Key("pack", _word(Packing), str),
    "patience": _Key("patience", _number(0, 1_000), _same),
    "split_divisor": _Key("split_divisor", _number(1, 1_000), _same),
    "horizon": _Key("horizon_ms", _duration(none=False), _spelled),
    "least": _Key("least_ms", _duration(none=True), _spelled),
    "probe_depth": _Key("probe_depth", _whole(1, 1_000_000), _same),
    "unknown": _Key("unknown_ms", _duration(none=False), _spelled),
    "hold_margin": _Key("hold_margin_milli", _margin, _decimal),
    "max_shares": _Key("max_shares", _whole(1, 100_000), _same),
    "improve_steps": _Key("improve_steps", _whole(0, 1_000_000_000), _same),
}
