"""A long JSON list, one item after the other, without the whole of it in memory."""

from __future__ import annotations

import codecs
import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fenglin.simulator.readers.lines import note_damage, opened
from fenglin.simulator.trace import Findings

_PIECE = 2**18
# No item is longer; what is, is broken.
_LONGEST_ITEM = 2**23
_BETWEEN = " \t\r\n,"


def list_items(path: Path, findings: Findings) -> Iterator[tuple[int, Any]]:
    """Yield the items of a list with their places, from 1.

    Where the text stops to be JSON, a finding says so, and what follows is lost.
    """
    decoder = json.JSONDecoder()
    place, kept, begun, tried = 0, "", False, 0
    pieces = _pieces(path)
    while (piece := _next(pieces, place + 1, findings)) is not None:
        kept += piece
        at = 0
        if not begun:
            kept = kept.lstrip("\ufeff" + _BETWEEN)
            if not kept:
                continue
            begun, at = True, 1 if kept[0] == "[" else 0
        # An item that did not end is tried again when the text has doubled: not after each piece.
        while len(kept) - at >= tried:
            while at < len(kept) and kept[at] in _BETWEEN:
                at += 1
            if at == len(kept) or kept[at] == "]":
                break
            try:
                item, at = decoder.raw_decode(kept, at)
            except (json.JSONDecodeError, RecursionError):
                tried = 2 * (len(kept) - at)
                break
            tried = 0
            place += 1
            yield place, item
        kept = kept[at:]
        if len(kept) > _LONGEST_ITEM:
            break
    yield from _last(decoder, kept, place, findings)


def _last(
    decoder: json.JSONDecoder, kept: str, place: int, findings: Findings
) -> Iterator[tuple[int, Any]]:
    """Yield what is left at the end; note when it is no JSON, or the list never ends."""
    at = 0
    while (rest := kept[at:].strip(_BETWEEN)) and rest[0] != "]":
        kept, at = rest, 0
        try:
            item, at = decoder.raw_decode(kept)
        except (json.JSONDecodeError, RecursionError):
            findings.add("no JSON from here on: what follows is lost", [place + 1])
            return
        place += 1
        yield place, item


def _next(pieces: Iterator[str], place: int, findings: Findings) -> str | None:
    """Return the next piece; None at the end, and where a compressed file is damaged."""
    try:
        return next(pieces, None)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        note_damage(findings, place)
        return None


def _pieces(path: Path) -> Iterator[str]:
    """Yield the text in pieces."""
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode
    with opened(path) as file:
        while data := file.read1(_PIECE):
            yield decode(data)
