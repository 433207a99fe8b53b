"""Rendering: arrays of frames, a few of them very long, submitted through the working day.

Not fitted to one published log; the forms are those that render farms are known for. The length
of an array falls as a power of its size (bounded Pareto). A scene has a typical frame time
(log-normal), and within a scene the logarithm of the frame time wanders slowly from frame to frame
(first-order autoregression): neighbours look alike. Scenes come again, as new versions of a shot:
same user, same name, nearly the same time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fenglin.errors import InputError
from fenglin.simulator.readers.options import at_least
from fenglin.simulator.readers.shapes import shape
from fenglin.simulator.synthetic.kind import Generator
from fenglin.simulator.synthetic.stream import (
    CHUNK,
    DAY_S,
    GIB,
    HOUR_S,
    Arrivals,
    BaseOptions,
    DayClock,
    Floats,
    bounded_pareto,
    chance,
    milliseconds,
    waves,
    zipf_users,
)
from fenglin.simulator.workload import WorkJob

_MEMORY_GIB = (4, 8, 16, 32)
_MEMORY_SHARES = (0.35, 0.35, 0.2, 0.1)
# The autoregression is summed in pieces, in which its powers stay in range.
_PIECE = 128
# Versions of a shot follow each other: only so many scenes are at work at once.
_OPEN_SCENES = 64
_VERSION_SPREAD = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderOptions(BaseOptions):
    """A farm and its artists.

    Attributes:
        capacity: Cores of the farm.
        arrays_per_hour: Mean rate of submissions.
        amplitude: How much busier the peak hour is than the mean, 0 to below 1.
        peak_hour: Of the day: artists submit before they leave.
        least_frames, most_frames: Bounds of an array.
        frames_tail: Power by which the share of longer arrays falls.
        frame_s: Median time of a frame.
        scene_sigma: Spread of the scenes' logarithms.
        frame_sigma: Spread of the frames' logarithms within a scene.
        coherence: Correlation of neighbouring frames, 0 to below 1.
        again: Share of submissions that are a new version of a scene.
        cores: Of one frame.
        deadline_share: Share of arrays that are wanted by the next morning.
        deadline_hour: That hour.
    """

    capacity: int = 4_096
    arrays_per_hour: float = 6.0
    amplitude: float = 0.7
    peak_hour: float = 17.0
    least_frames: int = 24
    most_frames: int = 10_000
    frames_tail: float = 1.2
    frame_s: float = 480.0
    scene_sigma: float = 1.0
    frame_sigma: float = 0.3
    coherence: float = 0.95
    again: float = 0.5
    cores: int = 8
    deadline_share: float = 0.3
    deadline_hour: float = 9.0

    def __post_init__(self) -> None:
        """Refuse what makes no farm."""
        BaseOptions.__post_init__(self)
        for name in ("capacity", "least_frames", "cores"):
            at_least(self, name, 1)
        for name in ("arrays_per_hour", "frames_tail", "frame_s"):
            at_least(self, name, 1e-6)
        for name in ("scene_sigma", "frame_sigma", "again", "deadline_share", "deadline_hour"):
            at_least(self, name, 0)
        at_least(self, "most_frames", self.least_frames)
        if not (0 <= self.amplitude < 1 and 0 <= self.coherence < 1):
            raise InputError("amplitude and coherence are shares", hint="0 to below 1")


class _Scene(NamedTuple):
    """What the versions of a shot have in common."""

    name: str
    user: str
    frames: int
    frame_s: float
    memory_gib: int


def stream(options: RenderOptions, seed: int, pace: float) -> Iterator[WorkJob]:
    """Yield arrays for ever."""
    dice = {one: chance(seed, "render", one) for one in ("gap", "scene", "user", "pick", "frame")}
    arrivals = Arrivals(DayClock(waves(options.amplitude, options.peak_hour)), pace)
    gap_s = HOUR_S / options.arrays_per_hour
    scenes: list[_Scene] = []
    count = 0
    while True:
        submitted_ms = arrivals.after(dice["gap"].exponential(gap_s, CHUNK))
        fresh = _fresh(options, dice["scene"], zipf_users(dice["user"], options.users), count)
        count += CHUNK
        picks = dice["pick"].random((CHUNK, 3)).tolist()
        for i, (again, which, wanted) in enumerate(picks):
            if scenes and again < options.again:
                scene = scenes[int(which * len(scenes))]
            else:
                scene = fresh[i]
                scenes.append(scene)
                del scenes[:-_OPEN_SCENES]
            deadline_ms = 0
            if wanted < options.deadline_share:
                deadline_ms = _next_morning_ms(submitted_ms[i], options.deadline_hour)
            yield WorkJob(
                number=0,
                submitted_ms=submitted_ms[i],
                shape=shape(cpu_milli=options.cores * 1_000, memory_bytes=scene.memory_gib * GIB),
                runtimes_ms=tuple(milliseconds(_frames_s(options, scene, dice["frame"]))),
                tasks=scene.frames,
                user=scene.user,
                name=scene.name,
                queue=options.queue,
                account=options.account,
                deadline_ms=deadline_ms,
                preemptible=True,
            )


def _fresh(
    options: RenderOptions, dice: np.random.Generator, users: list[str], count: int
) -> list[_Scene]:
    """Return new scenes for a chunk."""
    uniform = dice.random(CHUNK)
    lengths = bounded_pareto(
        uniform, options.least_frames, options.most_frames, options.frames_tail
    )
    times = options.frame_s * np.exp(dice.normal(0, options.scene_sigma, CHUNK))
    memory = dice.choice(_MEMORY_GIB, size=CHUNK, p=_MEMORY_SHARES)
    rows = zip(
        users, np.floor(lengths).astype(int).tolist(), times.tolist(), memory.tolist(), strict=True
    )
    return [_Scene(f"shot{count + i}", *row) for i, row in enumerate(rows)]


def _frames_s(options: RenderOptions, scene: _Scene, dice: np.random.Generator) -> Floats:
    """Return the time of each frame of one version."""
    version = np.exp(dice.normal(0, _VERSION_SPREAD))
    noise = dice.normal(0, 1, scene.frames)
    wander = coherent(noise, options.coherence) * options.frame_sigma
    return np.asarray(scene.frame_s * version * np.exp(wander), dtype=np.float64)


def coherent(noise: Floats, coherence: float) -> Floats:
    """Return a stationary first-order autoregression of variance 1 from white noise.

    `x[i] = coherence × x[i-1] + sqrt(1 - coherence²) × noise[i]`, with x[0] = noise[0].
    """
    if not coherence:
        return noise
    innovation = noise * np.sqrt(1 - coherence**2)
    innovation[0] = noise[0]
    result = np.empty_like(noise)
    powers = coherence ** np.arange(_PIECE)
    before = 0.0
    for start in range(0, len(noise), _PIECE):
        part = innovation[start : start + _PIECE]
        scale = powers[: len(part)]
        result[start : start + len(part)] = scale * (np.cumsum(part / scale) + coherence * before)
        before = float(result[start + len(part) - 1])
    return result


def _next_morning_ms(moment_ms: int, hour: float) -> int:
    """Return the next moment at an hour of the day."""
    day_ms, hour_ms = DAY_S * 1_000, round(hour * HOUR_S * 1_000)
    today = moment_ms - moment_ms % day_ms + hour_ms
    return today if today > moment_ms else today + day_ms


def rate(options: RenderOptions) -> float:
    """Return the mean number of jobs a second."""
    return options.arrays_per_hour / HOUR_S


GENERATOR = Generator(
    name="render",
    what="arrays of frames: heavy tails, coherent scenes, deadlines in the morning",
    stream=stream,
    rate=rate,
    options=RenderOptions,
    unit="cpu_milli",
)
