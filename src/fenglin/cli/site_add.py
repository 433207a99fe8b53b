"""A `[site.NAME]` block at the end of the hub's configuration: checked whole, then written whole.

The block is added behind everything else, so that comments and order of the file stay.
"""

from __future__ import annotations

import json
import os
import re
import stat
import tempfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fenglin.cli.driver_check import build_site
from fenglin.errors import ConflictError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Keys of the block itself; all others are the driver's, and go into its table `settings`.
SITE_KEYS = frozenset(
    {
        "provider", "flavor", "licences", "region", "labels", "carbon", "pue", "link", "settings",
    }
)  # fmt: skip
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_PLAIN = (str, int, float, bool, list, dict)


class Setting(NamedTuple):
    """One `--set`.

    Attributes:
        path: Parts of its key.
        literal: Its value in TOML.
    """

    path: tuple[str, ...]
    literal: str


def add_site(name: str, driver: str, words: Iterable[str], config: Path, *, write: bool) -> str:
    """Return the block of a new site, and put it at the end of the configuration.

    Args:
        name: Of the site.
        driver: Kind of site.
        words: Settings as `key=value`; dots in the key name tables.
        config: The hub's configuration; it may not exist yet.
        write: False changes nothing.

    Raises:
        ConflictError: there is a site of this name.
        InputError: anything is wrong with the configuration as it would be.
    """
    block = block_of(name, driver, [setting(word) for word in words])
    target = config.resolve()
    old = _read(target, config)
    known = _sites(old, config)
    if name in known:
        raise ConflictError(
            f"there is a site {name!r} already",
            where=str(config),
            hint="change its block there, or choose another name",
        )
    end = "\r\n" if "\r\n" in old else "\n"
    gap = "" if not old else end if old.endswith("\n") else end * 2
    text = old + gap + block.replace("\n", end)
    build_site(name, text, str(config))
    if write:
        _replace(target, text)
    return block


def setting(word: str) -> Setting:
    """Read `key=value`. A value that is none of TOML's is taken as text.

    Raises:
        InputError: it has no key.
    """
    key, equals, value = word.partition("=")
    path = tuple(part.strip() for part in key.split("."))
    if not equals or not all(path) or not key.isprintable():
        raise InputError(f"{word[:80]!r} is no setting", where="--set", hint="write key=value")
    try:
        found = tomllib.loads(f"value = {value}\n")
    except (tomllib.TOMLDecodeError, ValueError, RecursionError):
        found = {}
    # Exactly one value: `1\nother = 2` would smuggle in another key. Dates are texts to drivers.
    whole = len(found) == 1 and isinstance(found["value"], _PLAIN)
    return Setting(path, value.strip() if whole else _text(value))


def block_of(name: str, driver: str, settings: Sequence[Setting]) -> str:
    """Return the block as TOML; tables come behind the site's own keys.

    A site whose provider is not said is its own: somebody must be paid for it.
    """
    own = [f"driver = {_text(driver)}"]
    if not any(one.path == ("provider",) for one in settings):
        own.append(f"provider = {_text(name)}")
    tables: dict[tuple[str, ...], list[str]] = {(): own}
    for one in settings:
        path = one.path if one.path[0] in SITE_KEYS else ("settings", *one.path)
        tables.setdefault(path[:-1], []).append(f"{_key(path[-1])} = {one.literal}")
    parts = []
    for path, lines in tables.items():
        head = ".".join(_key(part) for part in ("site", name, *path))
        parts.append("\n".join((f"[{head}]", *lines)) + "\n")
    return "\n".join(parts)


def _read(target: Path, shown: Path) -> str:
    """Return the configuration's text; empty when there is none."""
    try:
        return target.read_bytes().decode("utf-8") if target.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the configuration: {error}", where=str(shown)) from error


def _sites(text: str, shown: Path) -> set[str]:
    """Return the names of the sites that a configuration has."""
    try:
        sites = tomllib.loads(text).get("site", {})
    except (tomllib.TOMLDecodeError, ValueError, RecursionError) as error:
        raise InputError(f"not TOML: {error}", where=str(shown)) from error
    return set(sites) if isinstance(sites, dict) else set()


def _replace(target: Path, text: str) -> None:
    """Put a whole file in place of another, with the rights that it had: it may hold secrets."""
    try:
        mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o600
        handle, made = tempfile.mkstemp(prefix=f".{target.name[:100]}.", dir=target.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                os.fchmod(file.fileno(), mode)
                file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())
            Path(made).replace(target)
        except BaseException:
            Path(made).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InputError(
            f"cannot write the configuration: {error.strerror}", where=str(target)
        ) from error


def _key(part: str) -> str:
    return part if _BARE.fullmatch(part) else _text(part)


def _text(value: str) -> str:
    """Return a TOML string. JSON's is one, but for the one control character it lets through."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
