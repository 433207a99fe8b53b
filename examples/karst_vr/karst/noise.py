"""Seeded gradient noise on NumPy arrays; the only source of roughness in the landscape."""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
_IntArray = npt.NDArray[np.uint32]


def f32(values: npt.ArrayLike) -> FloatArray:
    """Return values as an array of 32-bit floats."""
    return np.asarray(values, dtype=np.float32)


def _hash(ix: _IntArray, iy: _IntArray, iz: _IntArray, seed: int) -> _IntArray:
    """Mix three lattice coordinates and a seed into 32 well-stirred bits."""
    h = ix * np.uint32(0x8DA6B343) ^ iy * np.uint32(0xD8163841) ^ iz * np.uint32(0xCB1AB31F)
    h ^= np.uint32(seed * 0x9E3779B1 & 0xFFFFFFFF)
    h ^= h >> np.uint32(15)
    h *= np.uint32(0x2C1B3C6D)
    h ^= h >> np.uint32(12)
    h *= np.uint32(0x297A2D39)
    h ^= h >> np.uint32(15)
    return np.asarray(h, dtype=np.uint32)


def gradient_noise(points: FloatArray, seed: int) -> FloatArray:
    """Return smooth noise in about [-1, 1] at points of shape (..., 3), in lattice units."""
    p = np.asarray(points, dtype=np.float32)
    cell = np.floor(p)
    frac = p - cell
    base = cell.astype(np.int32).astype(np.uint32)
    fade = frac * frac * frac * (frac * (frac * 6.0 - 15.0) + 10.0)
    total = np.zeros(p.shape[:-1], dtype=np.float32)
    for corner in product((0, 1), repeat=3):
        dx, dy, dz = corner
        h = _hash(
            base[..., 0] + np.uint32(dx),
            base[..., 1] + np.uint32(dy),
            base[..., 2] + np.uint32(dz),
            seed,
        )
        # Three 10-bit fields of the hash give a cheap, nearly isotropic gradient.
        gx = (h & np.uint32(1023)).astype(np.float32) / 511.5 - 1.0
        gy = (h >> np.uint32(10) & np.uint32(1023)).astype(np.float32) / 511.5 - 1.0
        gz = (h >> np.uint32(20) & np.uint32(1023)).astype(np.float32) / 511.5 - 1.0
        dot = gx * (frac[..., 0] - dx) + gy * (frac[..., 1] - dy) + gz * (frac[..., 2] - dz)
        weight = np.ones_like(total)
        for axis, side in enumerate(corner):
            weight *= fade[..., axis] if side else 1.0 - fade[..., axis]
        total += weight * dot
    return np.asarray(total * 1.4, dtype=np.float32)


def fbm(points: FloatArray, seed: int, octaves: int = 4, gain: float = 0.5) -> FloatArray:
    """Return fractal noise in about [-1, 1]: octaves of gradient noise, each twice as fine."""
    p = np.asarray(points, dtype=np.float32)
    total = np.zeros(p.shape[:-1], dtype=np.float32)
    amplitude, norm = 1.0, 0.0
    for octave in range(octaves):
        total += np.float32(amplitude) * gradient_noise(p, seed + octave * 101)
        norm += amplitude
        amplitude *= gain
        p = p * np.float32(2.03) + np.float32(17.7)
    return np.asarray(total / np.float32(norm) * np.float32(1.5), dtype=np.float32)


def ridged(points: FloatArray, seed: int, octaves: int = 3) -> FloatArray:
    """Return ridged noise in [0, 1]: sharp crests between rounded hollows, like limestone flutes.

    Rain dissolves limestone into rounded gullies which meet in sharp edges; this is the shape
    of one minus the absolute value of noise.
    """
    p = np.asarray(points, dtype=np.float32)
    total = np.zeros(p.shape[:-1], dtype=np.float32)
    amplitude, norm = 1.0, 0.0
    for octave in range(octaves):
        crest = 1.0 - np.minimum(np.abs(gradient_noise(p, seed + octave * 131)) * 1.8, 1.0)
        total += np.float32(amplitude) * crest * crest
        norm += amplitude
        amplitude *= 0.5
        p = p * np.float32(2.1) + np.float32(5.3)
    return np.asarray(total / np.float32(norm), dtype=np.float32)


def smoothstep(low: float, high: float, value: FloatArray) -> FloatArray:
    """Return 0 below ``low``, 1 above ``high`` and a smooth ramp between."""
    t = np.clip((value - low) / (high - low), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t), dtype=np.float32)


def mix(a: npt.ArrayLike, b: npt.ArrayLike, amount: FloatArray) -> FloatArray:
    """Blend colour ``a`` into colour ``b`` by an amount per point."""
    t = amount[..., None]
    return np.asarray(np.asarray(a) * (1.0 - t) + np.asarray(b) * t, dtype=np.float32)
