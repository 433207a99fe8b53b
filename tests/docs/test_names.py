"""No page names a command, an option, a target or a variable that does not exist."""

from __future__ import annotations

import re
from importlib import import_module
from itertools import pairwise
from pathlib import Path

import pytest
from typer.main import get_command

from fenglin.cli.commands import COMMANDS

ROOT = Path(__file__).parents[2]
ROOT_OPTIONS = {"--help", "-h", "--version", "--install-completion", "--show-completion"}
HELP = {"--help", "-h"}
# `fenglin` as a word of its own and what follows it, up to the end of that command.
_CALL = re.compile(r"(?<![\w./@-])fenglin((?: +[^\s|;&<>()#`]+)+)")
_OPTION = re.compile(r"--?[a-zA-Z][\w-]*")
_MAKE = re.compile(r"(?:^|&& )make +([a-z][a-z0-9-]*)", re.MULTILINE)


@pytest.fixture(scope="module")
def tree():
    """Command → subcommand (empty for a command that has none) → options."""
    return {
        name: {words: _options(one) for words, one in _below(import_module(entry.module).app)}
        for name, entry in COMMANDS.items()
    }


def _below(app):
    """Yield a command's subcommands, those of a group within it as `group command`."""
    command = get_command(app)
    for name, one in getattr(command, "commands", {"": command}).items():
        inner = getattr(one, "commands", {})
        yield from ((f"{name} {sub}", deep) for sub, deep in inner.items())
        if not inner:
            yield name, one


def test_commands_and_options_exist(page, tree):
    wrong = [
        f"fenglin {' '.join(words)}: {why}"
        for line in page.shell_lines
        for words in _calls(line)
        if (why := _problem(words, tree))
    ]
    assert not wrong, f"{page.name}:\n" + "\n".join(wrong)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("fenglin jobs", "no command"),
        ("fenglin job lst -o json", "no command"),
        ("id=$(fenglin submit a.yaml --wate)", "no option"),
        ("fenglin job list --state=running -x", "no option"),
        ("fenglin --nothing", "no option"),
        ("fenglin voucher pool drain", "no command"),
        ("fenglin voucher pool add rules.toml --yaer 2026", "no option"),
    ],
)
def test_the_check_finds_what_does_not_exist(line, why, tree):
    assert any(why in _problem(words, tree) for words in _calls(line))


def test_the_reference_tells_of_every_command(tree):
    text = (ROOT / "docs/reference/cli.md").read_text(encoding="utf-8")
    for name, below in tree.items():
        for full in (f"{name} {sub}".strip() for sub in below):
            assert re.search(rf"\b{full}\b", text), f"docs/reference/cli.md lacks `{full}`"


def test_make_targets_exist(page):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    known = set(re.findall(r"^([a-z0-9-]+):", makefile, re.MULTILINE))
    named = {target for line in page.shell_lines for target in _MAKE.findall(line)}
    assert named <= known, f"{page.name} names make {sorted(named - known)}"


def test_variables_exist(page):
    files = [path for room in ("src", "tests") for path in (ROOT / room).rglob("*.py")]
    source = "\n".join(path.read_text(encoding="utf-8") for path in files)
    named = set(re.findall(r"\bFENGLIN_[A-Z_]*[A-Z]\b", page.text))
    unknown = sorted(name for name in named if name not in source)
    assert not unknown, f"{page.name} names {unknown}"


def test_source_files_exist(page):
    for path in re.findall(r"`((?:src|examples|tests|scripts|docs)/[\w./-]+)`", page.prose):
        assert (ROOT / path).exists(), f"{page.name} names {path}"
    for path in re.findall(r"`([a-z_]+/[\w/]+\.(?:py|json))`", page.prose):
        homes = (ROOT, ROOT / "src" / "fenglin", ROOT / "src" / "fenglin" / "drivers")
        assert any((home / path).exists() for home in homes), f"{page.name} names {path}"


def _options(command):
    """Return every spelling of a command's options, and whether a value follows it."""
    return dict.fromkeys(HELP, False) | {
        word: not one.is_flag
        for one in command.params
        for word in (*one.opts, *one.secondary_opts)
        if word.startswith("-")
    }


def _calls(line):
    """Return the words behind each `fenglin` of a line."""
    return [match.split() for match in _CALL.findall(line)]


def _problem(words, tree):
    """Return what of a call does not exist; empty when all does."""
    first = words[0]
    if first.startswith("-"):
        return "" if first in ROOT_OPTIONS else f"no option {first}"
    if first.isupper():  # COMMAND, a placeholder
        return ""
    if first not in tree:
        return f"no command {first}"
    below = tree[first]
    rest = words[1:]
    if "" in below:
        known = below[""]
    else:
        if not rest or rest[0].isupper() or rest[0] in HELP or rest[0] == "…":
            return ""
        if len(rest) > 1 and any(name.startswith(f"{rest[0]} ") for name in below):
            rest = [" ".join(rest[:2]), *rest[2:]]
        subs = rest[0].split("|")
        if unknown := [sub for sub in subs if sub not in below]:
            return f"no command {first} {unknown[0]}"
        known = {word: value for sub in subs for word, value in below[sub].items()}
        rest = rest[1:]
    for before, word in pairwise(["", *rest]):
        option = _OPTION.match(word)
        if option and not known.get(before) and option[0] not in known:
            return f"no option {option[0]}"
    return ""
