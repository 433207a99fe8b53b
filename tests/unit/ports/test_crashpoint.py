"""Crash points: what arms them, and that an armed one kills, at its turn and not before."""

import os
import signal
import subprocess
import sys

import pytest

from fenglin.errors import InputError
from fenglin.ports.crashpoint import POINTS, RARE_POINTS, crash_point, parse_crash_at


def test_what_arms_them():
    assert parse_crash_at("c3") == ("c3", 1)
    assert parse_crash_at("c20:40") == ("c20", 40)


@pytest.mark.parametrize("text", ["", "c21", "c3:0", "c3:x", "c3:-1", "3", "c3:" + "9" * 5000])
def test_what_does_not(text):
    with pytest.raises(InputError):
        parse_crash_at(text)


def test_off_by_default():
    assert "FENGLIN_CRASH_AT" not in os.environ
    for point in POINTS + RARE_POINTS:
        crash_point(point)


def test_an_armed_point_kills_at_its_turn():
    program = (
        "from fenglin.ports.crashpoint import crash_point\n"
        "for n in range(5):\n"
        "    crash_point('c4')\n"
        "    crash_point('c3')\n"
        "    print(n, flush=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "FENGLIN_CRASH_AT": "c3:3"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert done.stdout.split() == ["0", "1"]
