"""Shell text made at intake: quoting, here-documents, variables."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def quote(text: str) -> str:
    """Return one word that a POSIX shell reads back as `text`."""
    return shlex.quote(text)


def command_line(words: Iterable[str]) -> str:
    """Return a command of words, each as it is."""
    return " ".join(quote(word) for word in words)


def here_document(text: str, word: str) -> str:
    """Return `<<'WORD'`, the lines of a text, and WORD; nothing in the text is expanded.

    A text without a line end at its end gets one.
    """
    lines = set(text.split("\n"))
    end = word
    number = 1
    while end in lines:
        number += 1
        end = f"{word}_{number}"
    body = text if text.endswith("\n") or not text else f"{text}\n"
    return f"<<'{end}'\n{body}{end}\n"
