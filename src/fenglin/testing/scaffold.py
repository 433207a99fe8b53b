"""Writes the package of a new driver: code that runs, its conformance test, its docs page."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import TYPE_CHECKING

from fenglin.errors import ConflictError, InputError
from fenglin.ports.discovery import installed_drivers

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable
    from pathlib import Path

_KIND = re.compile(r"[a-z][a-z0-9]{1,30}", re.ASCII)
_OURS = "fenglin.testing.skeleton"


def scaffold(kind: str, folder: Path) -> list[Path]:
    """Write the package `fenglin-KIND` to a folder; return its files, relative to that.

    Raises:
        InputError: the kind cannot be a name of a package, or is taken.
        ConflictError: the folder holds something already.
    """
    if not _KIND.fullmatch(kind):
        hint = "2 to 31 small letters and digits, a letter first"
        raise InputError(f"{kind[:80]!r} cannot be the name of a driver", hint=hint)
    if kind in installed_drivers():
        hint = "`fenglin driver list` shows the names that are taken"
        raise InputError(f"a driver {kind!r} is installed already", hint=hint)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise ConflictError("the folder is not empty", where=str(folder), hint="name a new one")
        written = _texts(kind)
        for path, text in written.items():
            place = folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write: {error.strerror}", where=str(folder)) from error
    return [folder / path for path in written]


def _texts(kind: str) -> dict[str, str]:
    """Return path → text. The code is our own skeleton, which is tested as any of our code."""
    root = files(_OURS)
    package = f"src/fenglin_{kind}"
    sources: dict[str, Traversable] = {
        "pyproject.toml": root / "templates" / "pyproject.toml.txt",
        f"{package}/__init__.py": root / "__init__.py",
        f"{package}/driver.py": root / "driver.py",
        f"{package}/agent.py": root / "agent.py",
        "tests/test_conformance.py": root / "templates" / "test_conformance.py.txt",
        f"docs/{kind}.md": root / "templates" / "docs.md.txt",
    }
    return {path: _named(source.read_text("utf-8"), kind) for path, source in sources.items()}


def _named(text: str, kind: str) -> str:
    """Return a text with our placeholder's name replaced by the kind's."""
    text = text.replace(_OURS, f"fenglin_{kind}")
    return text.replace("skeleton", kind).replace("Skeleton", kind.capitalize())
