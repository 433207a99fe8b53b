"""How long a job will run, learned from jobs that have ended, and how wrong that tends to be.

Users ask for far more time than they need, but repeat themselves (Tsafrir, Etsion and Feitelson
2007). So every job belongs to a chain of classes, from the widest to the narrowest: all jobs
with about the same request; those of its user; those of the same application; of the same size;
and, for an array, its own finished tasks. A class remembers the mean of the last few runtimes in
it, where each new one counts for a quarter, and leans on the class around it: that one's guess
counts like `LEAN` runtimes. So a class that has seen nothing says what the wider one says, and
one that has seen a few jobs mostly speaks for itself.

Means are taken of logarithms, for a runtime is off by a factor, not by minutes. All arithmetic is
on whole numbers, so that compiled and plain code agree to the last bit and a stored predictor
goes on exactly as the one that was stored.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

from fenglin.errors import InputError
from fenglin.planner.backfill.twins import Column

# Parts of an octave, the unit of logarithms.
OCTAVE = 1_024
# Halves of the places in which the highest bit of a number of 63 bits is looked for.
SHIFTS = (32, 16, 8, 4, 2, 1)
# A request is taken for 2^1.5 times the runtime until something is known.
EXAGGERATION = 3 * OCTAVE // 2
# How many runtimes the guess of the wider class counts for.
LEAN = 3
# What a class keeps of the past at each new runtime: the widest forgets slowly, since its jobs
# come from everybody; the others quickly, since a user does one thing at a time.
KEEP_WIDEST = (63, 64)
KEEP = (3, 4)

# Quantiles of the error that are followed, in percent, and the most that one error moves them.
QUANTILES = (10, 50, 90)
STEP = OCTAVE // 8
FIRST_ERRORS = (-2 * OCTAVE, 0, 2 * OCTAVE)

WIDEST, USER, APPLICATION, SIZE, OWN = range(5)
LEVELS = 5
# Assumed for a job of which nothing is known, not even what its user asks for.
UNKNOWN_MS = 600_000
VERSION = 1

Key: TypeAlias = tuple[Hashable, ...]


class Memory(NamedTuple):
    """What the classes remember, one entry each.

    Attributes:
        weight: How many runtimes it has seen, older ones counting less, in parts of `OCTAVE`.
        total: Sum of their logarithms, weighted alike.
    """

    weight: Column
    total: Column


def octaves(value: int) -> int:
    """Return the binary logarithm of a whole number from 1 on, in parts of an octave.

    Straight lines between the powers of two, at most 0.09 octaves off: whole numbers throughout.
    Numbers have at most 63 bits.
    """
    whole = 0
    for shift in SHIFTS:
        if value >> (whole + shift):
            whole += shift
    power = 1 << whole
    return whole * OCTAVE + (value - power) * OCTAVE // power


def amount(octave: int) -> int:
    """Return the number that has this logarithm: the inverse of `octaves`, rounded down."""
    power = 1 << (octave // OCTAVE)
    return power + power * (octave % OCTAVE) // OCTAVE


def learn(memory: Memory, slot: int, level: int, octave: int) -> None:
    """Let a class see one more runtime."""
    keep, of = KEEP
    if level == WIDEST:
        keep, of = KEEP_WIDEST
    memory.weight[slot] = memory.weight[slot] * keep // of + OCTAVE
    memory.total[slot] = memory.total[slot] * keep // of + octave


def guess(memory: Memory, slots: Column, first: int, levels: int, base: int) -> int:
    """Return the expected logarithm of a runtime.

    Args:
        memory: What the classes remember.
        slots: The classes of the job, widest first, at `first` and the places behind it.
        first: Where they begin.
        levels: How many they are.
        base: What is guessed of a job in whose classes nothing was seen.
    """
    octave = base
    for i in range(first, first + levels):
        slot = slots[i]
        weight = memory.weight[slot]
        octave = (memory.total[slot] * OCTAVE + LEAN * OCTAVE * octave) // (weight + LEAN * OCTAVE)
    return octave


KERNELS = (octaves, amount, learn, guess)


class Prediction(NamedTuple):
    """How long one task is expected to run, on speed 1.

    Attributes:
        ms: Expected runtime.
        low_ms: One of ten such jobs has run shorter.
        high_ms: One of ten such jobs has run longer.
        evidence: How much it rests on: how many classes of the job's chain have seen a runtime,
            from 0 (its user's word alone) to `LEVELS` (its own finished tasks).
    """

    ms: int
    low_ms: int
    high_ms: int
    evidence: int


class Predictor:
    """Learns from finished jobs and predicts others.

    Runtimes are those on flavor speed 1: who observes a task on a faster one multiplies.

    Attributes:
        most_classes: What it remembers at most; the class longest unseen is forgotten first.
    """

    def __init__(self, most_classes: int = 65_536) -> None:
        """Begin without any experience.

        Raises:
            InputError: there is no room for the chain of one job.
        """
        if most_classes < LEVELS:
            raise InputError(f"a predictor of {most_classes} classes", hint=f"at least {LEVELS}")
        self.most_classes = most_classes
        # Slot 0 never sees anything: the class of jobs that have none at a level.
        self._memory = Memory([0], [0])
        # In the order of the last observation, the oldest first.
        self._slots: dict[Key, int] = {}
        self._errors = [list(FIRST_ERRORS) for _ in range(LEVELS + 1)]

    def predict(
        self,
        user: str,
        name: str = "",
        *,
        request_ms: int = 0,
        procs: int = 1,
        job: int = 0,
        limit_ms: int = 0,
    ) -> Prediction:
        """Return how long a task is expected to run.

        Args:
            user: Whose it is.
            name: Of the application; without one, equal requests of one user count as one.
            request_ms: What its user says or asks for; 0 for nothing.
            procs: Size of the task.
            job: Number of the array that it belongs to; 0 for none.
            limit_ms: When it is stopped; 0 for never.
        """
        asked = _asked(request_ms)
        slots, evidence = self._chain(user, name, request_ms, procs, job, asked)
        octave = guess(self._memory, slots, 0, LEVELS, asked - EXAGGERATION)
        low, middle, high = sorted(self._errors[evidence])
        ms = _limited(octave + middle, limit_ms)
        low_ms, high_ms = _limited(octave + low, limit_ms), _limited(octave + high, limit_ms)
        return Prediction(ms, low_ms, high_ms, evidence)

    def observe(
        self,
        user: str,
        name: str = "",
        *,
        runtime_ms: int,
        request_ms: int = 0,
        procs: int = 1,
        job: int = 0,
    ) -> None:
        """Learn from a task that has ended of itself; the arguments are those of `predict`."""
        actual, asked = octaves(max(1, runtime_ms)), _asked(request_ms)
        slots, evidence = self._chain(user, name, request_ms, procs, job, asked)
        error = actual - guess(self._memory, slots, 0, LEVELS, asked - EXAGGERATION)
        followed = self._errors[evidence]
        for i, percent in enumerate(QUANTILES):
            # Robbins and Monro: in the balance, `percent` of the errors lie below.
            move = percent if error > followed[i] else percent - 100
            followed[i] += STEP * move // 100
        for level, key in enumerate(_keys(user, name, request_ms, procs, job, asked)):
            learn(self._memory, self._renew(key), level, actual)

    def errors(self) -> list[tuple[float, float, float]]:
        """Return by evidence the 10 %, 50 % and 90 % quantile of runtime / guess so far."""
        factors = ([2.0 ** (one / OCTAVE) for one in followed] for followed in self._errors)
        return [(low, middle, high) for low, middle, high in factors]

    def as_dict(self) -> dict[str, Any]:
        """Return the whole state in plain lists and numbers, as JSON can keep them."""
        weight, total = self._memory
        return {
            "version": VERSION,
            "most_classes": self.most_classes,
            "errors": [list(one) for one in self._errors],
            "classes": [
                [list(key), weight[slot], total[slot]] for key, slot in self._slots.items()
            ],
        }

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Predictor:
        """Return a predictor that goes on where another one stopped.

        Raises:
            InputError: that is no state of a predictor, or one of another version.
        """
        if state.get("version") != VERSION:
            raise InputError(
                f"a predictor's state of version {state.get('version')!r}",
                hint=f"this is version {VERSION}; begin without experience",
            )
        try:
            made = cls(int(state["most_classes"]))
            for followed, (low, middle, high) in zip(made._errors, state["errors"], strict=True):
                followed[:] = int(low), int(middle), int(high)
            for key, weight, total in state["classes"]:
                slot = made._renew(tuple(key))
                made._memory.weight[slot], made._memory.total[slot] = int(weight), int(total)
        except (KeyError, TypeError, ValueError):
            raise InputError(
                "a damaged state of a predictor", hint="begin without experience"
            ) from None
        return made

    def _chain(
        self, user: str, name: str, request_ms: int, procs: int, job: int, asked: int
    ) -> tuple[list[int], int]:
        """Return the slot of each class of a job, and how many have seen a runtime."""
        find = self._slots.get
        slots = [find(key, 0) for key in _keys(user, name, request_ms, procs, job, asked)]
        if not job:
            slots.append(0)
        evidence = LEVELS
        while evidence and not slots[evidence - 1]:
            evidence -= 1
        return slots, evidence

    def _renew(self, key: Key) -> int:
        """Return the slot of a class, from now on the last to be forgotten."""
        slots, memory = self._slots, self._memory
        slot = slots.pop(key, 0)
        if not slot and len(slots) < self.most_classes:
            slot = len(memory.weight)
            memory.weight.append(0)
            memory.total.append(0)
        elif not slot:
            slot = slots.pop(next(iter(slots)))
            memory.weight[slot] = memory.total[slot] = 0
        slots[key] = slot
        return slot


@lru_cache(maxsize=4_096)
def _asked(request_ms: int) -> int:
    """Return the logarithm of a request; of a made-up one where there is none."""
    return octaves(request_ms) if request_ms > 0 else octaves(UNKNOWN_MS) + EXAGGERATION


def _limited(octave: int, limit_ms: int) -> int:
    """Return the runtime that has this logarithm, at most the limit if there is one."""
    ms = amount(max(0, octave))
    return min(ms, limit_ms) if limit_ms else ms


def _keys(user: str, name: str, request_ms: int, procs: int, job: int, asked: int) -> list[Key]:
    """Return the classes of a job, widest first; a job of no array has none of its own."""
    same = name or request_ms
    keys: list[Key] = [
        (WIDEST, asked * 2 // OCTAVE if request_ms > 0 else -1),
        (USER, user),
        (APPLICATION, user, same),
        (SIZE, user, same, request_ms, procs),
    ]
    if job:
        keys.append((OWN, job))
    return keys
