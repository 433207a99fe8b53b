"""The availability profile: how many processors are free from when on, as a step function."""

from __future__ import annotations

from typing import NamedTuple

from fenglin.planner.backfill.twins import Column


class Profile(NamedTuple):
    """Steps in time; the last one lasts for ever.

    Attributes:
        from_s: Where each step begins, strictly rising.
        free: Processors free from there to the next step.
        steps: How many steps there are, in its only entry.
    """

    from_s: Column
    free: Column
    steps: Column


def forget(profile: Profile, now_s: int) -> None:
    """Drop what lies before now; the first step begins now."""
    count = profile.steps[0]
    past = 0
    while past + 1 < count and profile.from_s[past + 1] <= now_s:
        past += 1
    if past > 0:
        for i in range(past, count):
            profile.from_s[i - past] = profile.from_s[i]
            profile.free[i - past] = profile.free[i]
        profile.steps[0] = count - past
    profile.from_s[0] = max(profile.from_s[0], now_s)


def split(profile: Profile, at_s: int) -> int:
    """Return the place of the step that begins at a time; make one when there is none."""
    low, high = 0, profile.steps[0]
    while low < high:
        middle = (low + high) // 2
        if profile.from_s[middle] < at_s:
            low = middle + 1
        else:
            high = middle
    count = profile.steps[0]
    if low < count and profile.from_s[low] == at_s:
        return low
    for i in range(count, low, -1):
        profile.from_s[i] = profile.from_s[i - 1]
        profile.free[i] = profile.free[i - 1]
    profile.from_s[low] = at_s
    profile.free[low] = profile.free[low - 1]
    profile.steps[0] = count + 1
    return low


def join(profile: Profile, place: int) -> None:
    """Take a step out that is level with the one before it."""
    if place == 0 or profile.free[place] != profile.free[place - 1]:
        return
    for i in range(place + 1, profile.steps[0]):
        profile.from_s[i - 1] = profile.from_s[i]
        profile.free[i - 1] = profile.free[i]
    profile.steps[0] -= 1


def change(profile: Profile, begin_s: int, end_s: int, procs: int) -> None:
    """Add to the free processors between two times; a negative number takes them."""
    first = split(profile, begin_s)
    last = split(profile, end_s)
    for i in range(first, last):
        profile.free[i] += procs
    join(profile, last)
    join(profile, first)


def earliest(profile: Profile, procs: int, length_s: int, until_s: int) -> int:
    """Return the first time from which that many processors stay free for that long.

    Args:
        profile: What is free.
        procs: How many.
        length_s: For how long.
        until_s: From here on they are the asker's in any case, so this is the latest answer.
    """
    count = profile.steps[0]
    place = 0
    while True:
        while place < count and profile.free[place] < procs:
            place += 1
        if place == count or profile.from_s[place] >= until_s:
            return until_s
        begin_s = profile.from_s[place]
        end_s = min(begin_s + length_s, until_s)
        place += 1
        while place < count and profile.from_s[place] < end_s and profile.free[place] >= procs:
            place += 1
        if place == count or profile.from_s[place] >= end_s:
            return begin_s


KERNELS = (forget, split, join, change, earliest)
