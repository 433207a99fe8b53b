"""Which lines of a script are directives, and the words in them, read as sbatch reads them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from fenglin.intake.report import Place, show

if TYPE_CHECKING:
    from fenglin.intake.dialects.notes import Draft

MAGIC = "#SBATCH"
MAX_WORDS = 1_000
# `# SBATCH -n 1` was perhaps meant as a directive; `# sbatch -n 1 job.sh` tells how to submit.
_ALMOST = re.compile(r"\s*#(?:\s*SBATCH|[Ss]batch)\s+-")
_PIECE = re.compile(
    r"""(?P<blank>\s+)|(?P<comment>\#)|(?P<escaped>\\\S?)|(?P<single>'(?:[^'\\]|\\.)*+')"""
    r"""|(?P<double>"(?:[^"\\]|\\.)*+")|(?P<bare>[^\s"'\\#]+)"""
)
_ESCAPE = re.compile(r"\\(.)")
_HETEROGENEOUS = ("hetjob", "packjob")


class Word(NamedTuple):
    """One word of a directive."""

    text: str
    place: Place


def directive_words(script: str, draft: Draft) -> list[Word]:
    """Return the words of all directives, in order.

    As sbatch does, blank lines and comments are passed over, and the first other line ends the
    search. Directives below it are noted, and so are comments that were perhaps meant as one.
    """
    words: list[Word] = []
    header = True
    for number, line in enumerate(script.split("\n"), 1):
        header = header and (not line.strip() or line.lstrip().startswith("#"))
        if line.startswith(MAGIC):
            if header:
                words += _words(line, number, draft)
                if len(words) > MAX_WORDS:
                    what = f"more than {MAX_WORDS} words of directives"
                    draft.problem(Place(number, 1), MAGIC, what, "no job needs so many")
                    return []
            else:
                field = line[len(MAGIC) :].split(None, 1)[:1] or [MAGIC]
                text = "a directive after the first command; sbatch does not read it either"
                draft.ignored(Place(number, 1), field[0][:64], text)
        elif header and _ALMOST.match(line):
            text = "a comment; a directive begins with #SBATCH at the first character"
            draft.ignored(Place(number, 1), line.strip()[:32], text)
    return words


def _words(line: str, number: int, draft: Draft) -> list[Word]:
    """Return the words of one directive, or none after noting what is wrong with it."""
    place = Place(number, 1)
    found = split(line, number, len(MAGIC))
    if found is None:
        draft.problem(place, MAGIC, "a quote is not closed", "close it, or remove it")
        return []
    if found and found[0].text in _HETEROGENEOUS:
        hint = "write one job file for each part"
        draft.problem(place, found[0].text, "a heterogeneous job", hint)
        return []
    return found


def split(line: str, number: int, begin: int = 0) -> list[Word] | None:
    """Return the words of a line from a column on; None when a quote is not closed.

    As measured with sbatch 22.05: quotes join and vanish, `#` outside of quotes begins a comment
    even within a word, and a backslash takes the next character as it is, within either quotes
    too; but outside of quotes a blank ends the word nevertheless.
    """
    words: list[Word] = []
    text, at, column = "", 0, begin
    while column < len(line):
        piece = _PIECE.match(line, column)
        if piece is None:
            return None
        if piece.lastgroup == "comment":
            break
        if piece.lastgroup == "blank":
            words += [Word(text, Place(number, at))] if at else []
            text, at = "", 0
        else:
            at = at or column + 1
            text += _unquoted(piece)
        column = piece.end()
    return [*words, Word(text, Place(number, at))] if at else words


def _unquoted(piece: re.Match[str]) -> str:
    """Return what a piece of a word stands for."""
    kind, text = piece.lastgroup, piece[0]
    if kind in ("single", "double"):
        return _ESCAPE.sub(r"\1", text[1:-1])
    return text[1:] if kind == "escaped" else text


def looks_like_option(text: str) -> bool:
    """Return whether a word would be an option where one is looked for."""
    return len(text) > 1 and text[0] == "-" and not text[1].isdigit()


def shown(word: Word) -> str:
    """Return a word in quotes, fit for a message."""
    return show(word.text)
