"""From radiance to 8-bit colour: one curve for the whole picture, never per strip."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from karst.noise import FloatArray

EXPOSURE = 1.15
_SATURATION = 1.14


def develop(radiance: FloatArray, *, dither: bool = True) -> npt.NDArray[np.uint8]:
    """Return sRGB bytes: a filmic shoulder keeps the sun's glow, dither keeps the sky smooth."""
    light = np.maximum(radiance * np.float32(EXPOSURE), 0.0)
    grey = (light @ np.array([0.2126, 0.7152, 0.0722], dtype=np.float32))[..., None]
    light = np.maximum(grey + (light - grey) * np.float32(_SATURATION), 0.0)
    # A rational fit of the ACES film curve: toe, straight middle, soft shoulder.
    film = (light * (2.51 * light + 0.03)) / (light * (2.43 * light + 0.59) + 0.14)
    film = np.clip(film, 0.0, 1.0)
    srgb = np.where(film <= 0.0031308, film * 12.92, 1.055 * film ** (1 / 2.4) - 0.055)
    noise = np.full((*srgb.shape[:2], 1), 0.5, dtype=np.float32)
    if dither:
        np.random.default_rng(0).random(out=noise, dtype=np.float32)
    return np.asarray(np.clip(srgb * 255.0 + noise, 0.0, 255.0), dtype=np.uint8)


def shrink(radiance: FloatArray, width: int) -> FloatArray:
    """Return the picture averaged down to a width that divides its own."""
    factor = radiance.shape[1] // width
    rows, columns, depth = radiance.shape
    cells = radiance.reshape(rows // factor, factor, columns // factor, factor, depth)
    return np.asarray(cells.mean(axis=(1, 3)), dtype=np.float32)
