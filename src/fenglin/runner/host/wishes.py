# ruff: noqa: PTH123
"""What is left in an attempt's folder about single tasks while it runs, one file for each wish.

    peers     INDEX          a rank of the task has failed on another host
    unwanted  INDEX GRACE    somebody has cancelled the task

A file is only ever replaced by one that says more, so a reader may come at any time, twice, late,
or in another runner.
"""

from __future__ import annotations

PEERS = "peers"
UNWANTED = "unwanted"


def broken_gangs(directory: str) -> set[str]:
    """Return the tasks of which a rank has failed on another host."""
    return {words[0] for words in _rows(f"{directory}/{PEERS}")}


def unwanted(directory: str) -> dict[str, int]:
    """Return the tasks that were cancelled, each with its grace in ms."""
    return {words[0]: int(words[1]) for words in _rows(f"{directory}/{UNWANTED}")}


def _rows(path: str) -> list[list[str]]:
    try:
        with open(path, encoding="utf-8") as file:
            return [line.split() for line in file if line.strip()]
    except FileNotFoundError:
        return []
