"""Strip files: how a task leaves its part, and how the assembler finds and checks all parts."""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from karst.errors import KarstError
from karst.noise import FloatArray
from karst.ods import Eye
from karst.strips import CHANNELS

_FORMAT = 1


@dataclass(frozen=True)
class Part:
    """What a strip says of itself; strips of one picture differ only in eye and index."""

    size: int
    strips: int
    side_samples: int
    seed: int
    scene: str
    eye: int
    index: int

    @property
    def name(self) -> str:
        """Return the file name of the strip."""
        return f"strip-{Eye(self.eye).name.lower()}-{self.index:03d}.npz"

    @property
    def picture(self) -> tuple[int, int, int, int, str]:
        """Return what must be equal over all strips of one picture."""
        return self.size, self.strips, self.side_samples, self.seed, self.scene


def save(folder: Path, part: Part, pixels: FloatArray) -> Path:
    """Write a strip as 16-bit floats under its name, all of it or nothing."""
    target = folder / part.name
    draft = folder / f".{part.name}.{os.getpid()}.part"
    about = json.dumps({"format": _FORMAT, **asdict(part)})
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as file:
            np.savez(file, pixels=pixels.astype(np.float16), about=np.array(about))
        draft.replace(target)
    except OSError as error:
        raise KarstError(f"cannot write {target}: {error.strerror}") from error
    return target


def load(path: Path) -> tuple[Part, npt.NDArray[np.float16]]:
    """Read one strip, refusing damaged or foreign files by name."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
            about = json.loads(str(data["about"]))
            pixels = data["pixels"]
        if about.pop("format") != _FORMAT:
            raise KarstError(f"{path}: written by another version of this example")
        part = Part(**about)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise KarstError(f"{path} is not a whole strip: {error}") from error
    expected = (part.size // 2, part.size // part.strips, CHANNELS)
    if pixels.shape != expected:
        raise KarstError(f"{path} holds {pixels.shape} pixels where {expected} belong")
    return part, pixels


def collect(folder: Path) -> tuple[Part, dict[tuple[int, int], npt.NDArray[np.float16]]]:
    """Find all strips below a folder and check that they make exactly one whole picture."""
    if not folder.is_dir():
        raise KarstError(f"there is no folder {folder}")
    paths = sorted(folder.rglob("strip-*.npz"))
    if not paths:
        raise KarstError(f"no strips (strip-*.npz) below {folder}")
    found: dict[tuple[int, int], npt.NDArray[np.float16]] = {}
    first: Part | None = None
    for path in paths:
        part, pixels = load(path)
        first = first or part
        if part.picture != first.picture:
            raise KarstError(f"{path} belongs to another picture than {paths[0]}")
        key = (part.eye, part.index)
        # A task that ran twice leaves equal strips, since seeds are fixed; anything else is odd.
        if key in found and not np.array_equal(found[key], pixels):
            raise KarstError(f"{path} differs from an earlier copy of the same strip")
        found[key] = pixels
    assert first is not None  # noqa: S101 - paths is not empty
    wanted = [(eye, index) for eye in Eye for index in range(first.strips)]
    missing = [f"{Eye(e).name.lower()} {i}" for e, i in wanted if (e, i) not in found]
    if missing:
        shown = ", ".join(missing[:8]) + (", ..." if len(missing) > 8 else "")
        raise KarstError(f"{len(missing)} of {len(wanted)} strips are missing: {shown}")
    return first, found
