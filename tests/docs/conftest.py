"""The pages, as tests see them: blocks, commands, files to save, links, headings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^(#{1,6}) +(.+?)\s*$", re.MULTILINE)
_NOT_RUN = re.compile(r"^<!-- not run by tests/docs:\n(.*?)^-->", re.MULTILINE | re.DOTALL)
_NAMED = re.compile(r"# ([\w.-]+\.(?:ya?ml|toml))\n")
_EXITS = re.compile(r" +# exits (\d+)$")
SHELL = ("console", "bash", "sh")


@dataclass(frozen=True)
class Command:
    """One `$ ` line: what is run and how it must exit."""

    line: str
    exits: int


class Page:
    """One Markdown file of ours."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.relative_to(ROOT).as_posix()
        self.text = path.read_text(encoding="utf-8")

    @cached_property
    def blocks(self) -> list[tuple[str, str]]:
        """All fenced blocks as (language, body)."""
        return _FENCE.findall(self.text)

    @cached_property
    def prose(self) -> str:
        """The text without its fenced blocks and its list of what is not run."""
        return _FENCE.sub("", _NOT_RUN.sub("", self.text))

    @cached_property
    def commands(self) -> list[Command]:
        """The `$ ` lines of shell blocks, in order."""
        found = []
        for language, body in self.blocks:
            if language in SHELL:
                for line in body.splitlines():
                    if line.startswith("$ "):
                        exits = _EXITS.search(line)
                        code = int(exits[1]) if exits else 0
                        found.append(Command(_EXITS.sub("", line[2:]).strip(), code))
        return found

    @cached_property
    def skips(self) -> dict[str, str]:
        """Beginnings of commands that are not run, each with the page's own reason."""
        listed = _NOT_RUN.search(self.text)
        lines = listed[1].strip().splitlines() if listed else []
        return dict(tuple(map(str.strip, line.split("|", 1))) for line in lines)

    @cached_property
    def runnable(self) -> list[Command]:
        """The commands that the page does not list as not run."""
        return [c for c in self.commands if not c.line.startswith(tuple(self.skips))]

    @cached_property
    def files(self) -> dict[str, str]:
        """Blocks whose first line is their file's name: what the reader is told to save."""
        return {named[1]: body for _, body in self.blocks if (named := _NAMED.match(body))}

    @cached_property
    def shell_lines(self) -> list[str]:
        """Everything that a reader could take for a command: shell blocks and inline code."""
        lines = [
            line.removeprefix("$ ")
            for language, body in self.blocks
            if language in SHELL
            for line in body.splitlines()
        ]
        return lines + _INLINE.findall(self.prose)

    @cached_property
    def links(self) -> list[str]:
        """Targets of all links and pictures."""
        return _LINK.findall(_INLINE.sub("", self.prose))

    @cached_property
    def headings(self) -> list[tuple[int, str]]:
        """(level, text) of each heading."""
        return [(len(marks), text) for marks, text in _HEADING.findall(self.prose)]

    @cached_property
    def anchors(self) -> set[str]:
        """What a link may name behind `#`, made from headings as GitHub does."""
        return {
            re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for _, text in self.headings
        }


def all_pages() -> list[Page]:
    """Return README, its translation, the papers at the top, and all of docs/."""
    top = [ROOT / name for name in ("README.md", "README.zh-CN.md", "CONTRIBUTING.md")]
    return [Page(path) for path in (*top, *sorted((ROOT / "docs").rglob("*.md")))]


def pytest_generate_tests(metafunc):
    """Give `page` every page, and `told_page` those that tell the reader to run something."""
    pages = all_pages() if {"page", "told_page"} & set(metafunc.fixturenames) else []
    if "page" in metafunc.fixturenames:
        metafunc.parametrize("page", pages, ids=lambda page: page.name)
    if "told_page" in metafunc.fixturenames:
        told = [page for page in pages if page.runnable]
        metafunc.parametrize("told_page", told, ids=lambda page: page.name)
