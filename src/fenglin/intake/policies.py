"""A policy by its name or file, with the terms that installed packages register for it."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from fenglin.errors import InputError, NotFoundError
from fenglin.intake.policyfile import SUFFIXES, read_policy_text
from fenglin.planner.policy import Policy, built_in, equip
from fenglin.planner.terms import BUILT_IN, GROUP, Rule


def read_policy(name_or_path: str, folder: Path | None = None) -> Policy:
    """Return a policy, ready to plan with.

    Args:
        name_or_path: Name of a built-in policy, or a file: a word with a slash or one that ends
            in .toml, .yaml, .yml or .json.
        folder: To which the file's path is relative; None for the present one.

    Raises:
        NotFoundError: no built-in policy has the name.
        LimitError: the file is too long.
        InputError: it cannot be read, or a term that it weighs cannot be loaded.
        InputProblems: everything that is wrong in it.
    """
    if not _is_path(name_or_path):
        try:
            return built_in(name_or_path)
        except NotFoundError as error:
            hint = f"{error.hint}, or name a file such as ./{name_or_path[:40]}.toml"
            raise NotFoundError(error.what, hint=hint) from error
    points = _registered()
    path = (folder or Path()) / name_or_path
    try:
        text = path.read_text(encoding="utf-8").removeprefix("\ufeff")
    except OSError as error:
        raise InputError(
            f"the policy cannot be read: {error.strerror}",
            where=name_or_path,
            hint="name a file, or a built-in policy (`fenglin policy list`)",
        ) from error
    except ValueError as error:  # no UTF-8, or no path at all
        raise InputError(f"the policy cannot be read: {error}", where=name_or_path) from error
    policy = read_policy_text(text, name_or_path, (*BUILT_IN, *points))
    wanted = [name for name, _ in policy.weights if name not in BUILT_IN]
    return equip(policy, {name: _load(points[name]) for name in wanted})


def registered_terms() -> dict[str, str]:
    """Return the terms that installed packages register: name → package, or what is wrong.

    None of them is loaded.
    """
    return {name: _origin(points) for name, points in sorted(_registered().items())}


def load_term(name: str) -> Rule:
    """Return a term, built-in or registered.

    Raises:
        NotFoundError: there is none of the name.
        InputError: it cannot be loaded; says why.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    points = _registered()
    if name not in points:
        known = ", ".join(sorted({*BUILT_IN, *points}))
        raise NotFoundError(f"no term is named {name!r}", hint=f"known terms are {known}")
    return _load(points[name])


def _is_path(word: str) -> bool:
    return "/" in word or (word.rpartition(".")[2].lower() in SUFFIXES and "." in word)


def _registered() -> dict[str, list[EntryPoint]]:
    """Return all registered terms that do not take a built-in one's name."""
    found: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=GROUP):
        if point.name not in BUILT_IN:
            found.setdefault(point.name, []).append(point)
    return found


def _origin(points: Iterable[EntryPoint]) -> str:
    """Return the package (or packages) that register a term."""
    names = sorted({point.dist.name if point.dist else point.module for point in points})
    return " and ".join(names)


def _load(points: list[EntryPoint]) -> Rule:
    """Load a term that exactly one package registers."""
    name, origin = points[0].name, _origin(points)
    if len({point.value for point in points}) > 1:
        raise InputError(
            f"several packages register the term {name!r}: {origin}",
            hint="uninstall all but one of them",
        )
    try:
        rule = points[0].load()
    except Exception as error:  # whatever a foreign module does while it is imported
        raise InputError(
            f"the term {name!r} of {origin} cannot be loaded: {type(error).__name__}: {error}",
            where=points[0].value,
            hint="mend or uninstall the package, or take the term out of the policy",
        ) from error
    if not isinstance(rule, Rule):
        raise InputError(
            f"the term {name!r} of {origin} is no Rule but {type(rule).__name__}",
            where=points[0].value,
            hint="its entry point must name a fenglin.planner.terms.Rule",
        )
    return rule
