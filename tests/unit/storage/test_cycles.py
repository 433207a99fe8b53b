"""Kept cycles in a folder."""

from __future__ import annotations

import asyncio
import threading
import time
import zlib

import pytest

from fenglin.errors import DamageError, NotFoundError
from fenglin.storage.cycles import MOST_WAITING, MOST_WAITING_JOBS, FolderCycles


def keep(cycles, index, data=b"x" * 100):
    return cycles.keep(index, 1_700_000_000_000 + index, starts=1, waiting=2, record=lambda: data)


def closed(cycles):
    asyncio.run(cycles.close())


def test_what_is_kept_is_there_after_a_restart(tmp_path):
    cycles = FolderCycles(tmp_path / "cycles")
    assert keep(cycles, 7, b"seven")
    assert keep(cycles, 8, b"eight")
    closed(cycles)
    again = FolderCycles(tmp_path / "cycles")
    assert [entry.index for entry in again.entries()] == [8, 7]
    assert (again.entries()[0].starts, again.entries()[0].waiting) == (1, 2)
    assert again.read(7) == b"seven"
    closed(again)


def test_the_oldest_go_when_there_are_too_many(tmp_path):
    cycles = FolderCycles(tmp_path, most=3)
    for index in range(1, 6):
        while not keep(cycles, index):
            pass
    closed(cycles)
    assert [entry.index for entry in cycles.entries()] == [5, 4, 3]
    assert len(list(tmp_path.iterdir())) == 3
    with pytest.raises(NotFoundError, match="cycle 1 is not kept"):
        cycles.read(1)


def test_the_oldest_go_when_they_are_too_large(tmp_path):
    cycles = FolderCycles(tmp_path, most_bytes=3 * len(zlib.compress(b"x" * 100, 1)))
    for index in range(1, 6):
        while not keep(cycles, index):
            pass
    closed(cycles)
    assert [entry.index for entry in cycles.entries()] == [5, 4, 3]


def test_a_slow_disk_never_stops_the_hub(tmp_path):
    cycles = FolderCycles(tmp_path)
    go, writing = threading.Event(), threading.Event()

    def slow():
        writing.set()
        go.wait(10)
        return b"slow"

    assert cycles.keep(1, 1, starts=0, waiting=0, record=slow)
    assert writing.wait(10)
    taken = [keep(cycles, index) for index in range(2, MOST_WAITING + 4)]
    assert taken == [True] * MOST_WAITING + [False] * 2
    go.set()
    closed(cycles)
    assert len(cycles.entries()) == MOST_WAITING + 1


def test_of_long_queues_fewer_cycles_wait(tmp_path):
    cycles = FolderCycles(tmp_path)
    go, writing = threading.Event(), threading.Event()

    def slow():
        writing.set()
        go.wait(10)
        return b"slow"

    whole = MOST_WAITING_JOBS
    # One alone is kept, however long its queue is.
    assert cycles.keep(1, 1, starts=0, waiting=2 * whole, record=slow)
    assert writing.wait(10)
    assert not cycles.keep(2, 1, starts=0, waiting=1, record=lambda: b"small")
    go.set()
    until_s = time.monotonic() + 30
    while not cycles.keep(3, 1, starts=0, waiting=whole, record=lambda: b"next"):
        assert time.monotonic() < until_s
        time.sleep(0.01)
    closed(cycles)
    assert [one.index for one in cycles.entries()] == [3, 1]


def test_half_a_file_is_cleared_away_and_damage_is_told(tmp_path):
    cycles = FolderCycles(tmp_path)
    keep(cycles, 1)
    closed(cycles)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-4])
    (tmp_path / ".000000000002-5-0-0.cycle").write_bytes(b"half")
    (tmp_path / "notes.txt").write_text("mine")
    again = FolderCycles(tmp_path)
    closed(again)
    assert sorted(path.name for path in tmp_path.iterdir()) == [file.name, "notes.txt"]
    with pytest.raises(DamageError, match="cycle 1 cannot be read"):
        again.read(1)
