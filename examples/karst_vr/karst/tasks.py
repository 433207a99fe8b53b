"""The three commands: build the scene, render one strip, assemble the panorama."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from karst import landscape, png, store, strips, tone
from karst.denoise import available, denoise
from karst.errors import KarstError
from karst.noise import f32
from karst.ods import Eye
from karst.presets import PRESETS, Preset

_SIZE_STEP, _LEAST_SIZE, _MOST_SIZE = 16, 32, 16384
_MOST_SAMPLES = 8
_PREVIEW_WIDTH = 1024


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def guarded(command: Callable[[Sequence[str]], None]) -> int:
    """Run a command; a foreseeable error becomes one line on stderr and exit status 2."""
    try:
        command(sys.argv[1:])
    except KarstError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _default_cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(home) if home else Path.home() / ".cache") / "fenglin-karst-vr"


def _scene_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cache", type=Path, default=_default_cache(), help="scene cache folder")
    parser.add_argument("--seed", type=int, default=landscape.SEED, help="seed of the landscape")


def _positive_env(env: Mapping[str, str], name: str) -> int | None:
    """Return a whole number >= 0 from the environment, or None where it is not set."""
    text = env.get(name, "")
    if not text:
        return None
    if not text.isascii() or not text.isdigit():
        raise KarstError(f"{name} is {text!r}, but must be a whole number")
    return int(text)


def chosen_preset(options: argparse.Namespace) -> Preset:
    """Return the preset with the given options laid over it, checked."""
    preset = PRESETS[options.preset]
    changes = {
        "size": options.size,
        "strips": options.strips,
        "side_samples": options.side_samples,
    }
    preset = replace(preset, **{k: v for k, v in changes.items() if v is not None})
    if not _LEAST_SIZE <= preset.size <= _MOST_SIZE or preset.size % _SIZE_STEP:
        raise KarstError(
            f"size is {preset.size}, but must be a multiple of {_SIZE_STEP} "
            f"from {_LEAST_SIZE} to {_MOST_SIZE}"
        )
    if preset.strips < 1 or preset.size % preset.strips:
        raise KarstError(f"{preset.strips} strips do not divide {preset.size} columns evenly")
    if not 1 <= preset.side_samples <= _MOST_SAMPLES:
        raise KarstError(f"side samples are {preset.side_samples}, not 1 to {_MOST_SAMPLES}")
    return preset


def task_place(preset: Preset, index: int) -> tuple[Eye, int]:
    """Return the eye and strip of a task: both eyes of a sector are neighbours in the array."""
    if not 0 <= index < preset.tasks:
        raise KarstError(f"task index {index} is not in 0 to {preset.tasks - 1}")
    return Eye(index % 2), index // 2


def render(arguments: Sequence[str]) -> None:
    """Render one strip, chosen by FENGLIN_TASK_INDEX, into FENGLIN_ARTIFACTS_DIR."""
    parser = argparse.ArgumentParser(prog="render.py", description=render.__doc__)
    parser.add_argument("--preset", choices=sorted(PRESETS), default="demo")
    parser.add_argument("--size", type=int, help="pixels along a side of the square picture")
    parser.add_argument("--strips", type=int, help="strips per eye")
    parser.add_argument("--side-samples", type=int, help="paths per pixel = the square of this")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--index", type=int, help="task index where FENGLIN_TASK_INDEX is unset")
    parser.add_argument("--out", type=Path, help="output where FENGLIN_ARTIFACTS_DIR is unset")
    _scene_options(parser)
    options = parser.parse_args(arguments)
    preset = chosen_preset(options)
    index = _positive_env(os.environ, "FENGLIN_TASK_INDEX")
    index = options.index if index is None else index
    if index is None:
        raise KarstError("no task index: set FENGLIN_TASK_INDEX or give --index")
    count = _positive_env(os.environ, "FENGLIN_TASK_COUNT")
    if count is not None and count != preset.tasks:
        raise KarstError(f"the array has {count} tasks, but this picture needs {preset.tasks}")
    if options.threads < 1:
        raise KarstError("threads must be at least 1")
    eye, strip = task_place(preset, index)
    folder = os.environ.get("FENGLIN_ARTIFACTS_DIR") or options.out
    if folder is None:
        raise KarstError("no place to write: set FENGLIN_ARTIFACTS_DIR or give --out")
    begun = time.monotonic()
    scene = landscape.prepare(options.cache, options.seed)
    built = time.monotonic()
    width = preset.size // preset.strips
    job = strips.Job(
        preset.size, preset.side_samples, eye, strip * width, (strip + 1) * width, options.seed
    )
    pixels = strips.render_strip(job, scene, options.threads)
    part = store.Part(
        preset.size, preset.strips, preset.side_samples, options.seed, scene.name, eye, strip
    )
    path = store.save(Path(folder), part, pixels)
    _say(
        f"{path.name}: {eye.name.lower()} eye, strip {strip + 1} of {preset.strips}; "
        f"scene {built - begun:.1f} s, rendering {time.monotonic() - built:.1f} s"
    )


def build(arguments: Sequence[str]) -> None:
    """Build the scene into the cache; rendering tasks do so themselves where it is missing."""
    parser = argparse.ArgumentParser(prog="scene.py", description=build.__doc__)
    _scene_options(parser)
    options = parser.parse_args(arguments)
    folder = landscape.prepare(options.cache, options.seed)
    about = landscape.manifest(folder)
    copies = sum(about.copies.values())
    _say(f"scene {folder.name}: {sum(about.triangles.values())} triangles, {copies} plants placed")


def assemble(arguments: Sequence[str]) -> None:
    """Join all strips below a folder into panorama.png (left eye over right) and preview.png."""
    parser = argparse.ArgumentParser(prog="assemble.py", description=assemble.__doc__)
    parser.add_argument("strips", type=Path, help="folder that holds strips at any depth")
    parser.add_argument("--out", type=Path, help="output where FENGLIN_ARTIFACTS_DIR is unset")
    parser.add_argument("--denoise", choices=("auto", "on", "off"), default="auto")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    part, found = store.collect(options.strips)
    folder = Path(options.out or os.environ.get("FENGLIN_ARTIFACTS_DIR") or ".")
    clean = options.denoise == "on" or (options.denoise == "auto" and available())
    halves = []
    preview = None
    for eye in Eye:
        whole = np.concatenate([found[eye, index] for index in range(part.strips)], axis=1)
        colour, albedo, normal = (f32(whole[..., k : k + 3]) for k in (0, 3, 6))
        light = denoise(colour, albedo, normal, options.threads) if clean else colour
        halves.append(tone.develop(light))
        if preview is None:
            width = max(
                w
                for w in range(1, min(_PREVIEW_WIDTH, part.size) + 1)
                if part.size % w == 0 and (part.size // 2) % (part.size // w) == 0
            )
            preview = tone.develop(tone.shrink(light, width), dither=False)
    picture = np.concatenate(halves)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / "panorama.png"
        png.write(target, picture, png.panorama_xmp(picture.shape[1], picture.shape[0]))
        if preview is not None:
            png.write(folder / "preview.png", preview)
    except OSError as error:
        raise KarstError(f"cannot write into {folder}: {error.strerror}") from error
    _say(f"{target.name}: {part.size} x {part.size}, {'denoised' if clean else 'not denoised'}")
