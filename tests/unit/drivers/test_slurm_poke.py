"""The FIFO by which elements of an array tell the hub that there is news."""

import asyncio
import os
from pathlib import Path

import pytest

from fenglin.drivers.slurm import poke as pokes
from fenglin.drivers.slurm.poke import Poke

LONGEST_S = 30.0


async def _until(heard: list[int], count: int) -> None:
    async with asyncio.timeout(LONGEST_S):
        while len(heard) < count:  # noqa: ASYNC110 - it is counted
            await asyncio.sleep(0.005)


def _write(path: Path) -> None:
    file = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    os.write(file, b"key\n")
    os.close(file)


@pytest.mark.slow
def test_what_follows_the_first_news_is_passed_on_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pokes, "REST_S", 1.0)
    heard: list[int] = []
    poke = Poke(tmp_path / "poke", lambda: heard.append(1))

    async def tell() -> None:
        poke.listen()
        _write(tmp_path / "poke")
        await _until(heard, 1)
        for _ in range(20):
            _write(tmp_path / "poke")
            await asyncio.sleep(0.005)
        await _until(heard, 2)
        await asyncio.sleep(0.05)

    try:
        asyncio.run(tell())
    finally:
        poke.close()
    # A machine that stands still for a while may need one more; twenty it must not be.
    assert 2 <= len(heard) <= 4


def test_nothing_is_passed_on_after_the_end(tmp_path: Path) -> None:
    heard: list[int] = []
    poke = Poke(tmp_path / "poke", lambda: heard.append(1))

    async def tell() -> None:
        poke.listen()
        _write(tmp_path / "poke")
        await _until(heard, 1)
        _write(tmp_path / "poke")
        await asyncio.sleep(0.05)
        poke.close()
        await asyncio.sleep(pokes.REST_S + 0.1)

    asyncio.run(tell())
    assert len(heard) == 1
