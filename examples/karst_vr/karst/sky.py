"""Morning sky, sun and haze as plain functions of direction and distance.

The renderer lights the scene with this sky, and the haze between the viewer and a tower takes
its colour from the same function, so far towers fade exactly into the sky behind them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from karst.noise import FloatArray, fbm, mix, smoothstep

# Low morning sun, ahead and to the left: towers are lit from the side, water glitters.
SUN_AZIMUTH_DEG = -52.0
SUN_ELEVATION_DEG = 13.0
SUN_IRRADIANCE = (9.5, 7.0, 4.5)
SUN_RADIUS_DEG = 0.9
HAZE_LENGTH_M = 2300.0
HAZE_HEIGHT_M = 420.0
MIST_LENGTH_M = 900.0
MIST_HEIGHT_M = 22.0


def direction(azimuth_rad: npt.ArrayLike, elevation_rad: npt.ArrayLike) -> FloatArray:
    """Return unit vectors; azimuth turns clockwise (to the right) from ahead (+y)."""
    azimuth, elevation = np.broadcast_arrays(azimuth_rad, elevation_rad)
    flat = np.cos(elevation)
    parts = [np.sin(azimuth) * flat, np.cos(azimuth) * flat, np.sin(elevation)]
    return np.stack(parts, axis=-1).astype(np.float32)


def sun_direction() -> FloatArray:
    """Return the unit vector from the ground towards the sun."""
    return direction(np.radians(SUN_AZIMUTH_DEG), np.radians(SUN_ELEVATION_DEG))


def clear_sky(rays: FloatArray) -> FloatArray:
    """Return the radiance of the cloudless sky along unit rays of shape (..., 3)."""
    up = np.clip(rays[..., 2], 0.0, 1.0)
    cos_sun = np.clip(rays @ sun_direction(), -1.0, 1.0)
    height = np.power(up, 0.45, dtype=np.float32)
    zenith, middle, low = (0.12, 0.25, 0.55), (0.42, 0.60, 0.86), (1.02, 0.90, 0.76)
    base = mix(low, middle, smoothstep(0.05, 0.55, height))
    base = mix(base, zenith, smoothstep(0.45, 1.0, height))
    away = np.asarray(0.5 - 0.5 * cos_sun, dtype=np.float32)
    base = mix(base, base * np.array([0.70, 0.79, 0.98], dtype=np.float32), away * (1.0 - up))
    glow = 0.9 * np.exp(-(1.0 - cos_sun) * 5.5) + 2.2 * np.exp(-(1.0 - cos_sun) * 60.0)
    warm = np.array([1.0, 0.74, 0.43], dtype=np.float32)
    return np.asarray(base + glow[..., None] * warm * (1.0 - 0.5 * up[..., None]), np.float32)


def sky_map(width: int, seed: int) -> FloatArray:
    """Return the whole sky with clouds as a (width / 2, width, 3) radiance map.

    Column 0 looks along +x and columns run towards +y (the renderer's convention); row 0 is the
    zenith. Below the horizon lies a dim ground colour, which only stray rays see.
    """
    columns = (np.arange(width) + 0.5) / width * 2.0 * np.pi
    rows = np.pi / 2 - (np.arange(width // 2) + 0.5) / (width // 2) * np.pi
    rays = direction(np.pi / 2 - columns[None, :], rows[:, None])
    sky = clear_sky(rays)
    up = rays[..., 2]
    # Clouds lie on a high plane; the stretch along one axis makes them streaks of cirrus.
    plane = rays[..., :2] / np.maximum(up, 0.03)[..., None]
    where = np.stack([plane[..., 0] * 0.55, plane[..., 1] * 1.25, np.zeros_like(up)], axis=-1)
    warp = fbm(where * np.float32(0.7), seed + 3, 3)
    cover = fbm(where + warp[..., None] * np.float32(0.9), seed + 9, 6, 0.55)
    amount = smoothstep(-0.06, 0.68, cover) * smoothstep(0.03, 0.22, up) * np.float32(0.78)
    cos_sun = np.clip(rays @ sun_direction(), 0.0, 1.0)
    lit = 0.95 + 0.9 * cos_sun**4
    tint = mix((0.98, 0.93, 0.90), (1.12, 0.90, 0.68), np.asarray(cos_sun**3, np.float32))
    sky = mix(sky, tint * lit[..., None], amount)
    # A bright but bounded disc: it glitters on the water without fireflies.
    disc = smoothstep(float(np.cos(np.radians(0.75))), float(np.cos(np.radians(0.45))), cos_sun)
    sky += disc[..., None] * np.array([26.0, 21.0, 14.0], dtype=np.float32)
    ground = np.array([0.16, 0.17, 0.14], dtype=np.float32)
    return np.where(up[..., None] < 0.0, ground, sky).astype(np.float32)


def _slab(distance_m: FloatArray, rise: FloatArray, height_m: float) -> FloatArray:
    """Return the metres of full-density air along a ray through an exponential atmosphere."""
    climb = np.asarray(distance_m * rise / height_m, dtype=np.float32)
    safe = np.where(np.abs(climb) < 1e-3, 1.0, np.clip(climb, -20.0, 60.0))
    factor = np.where(np.abs(climb) < 1e-3, 1.0 - climb / 2.0, -np.expm1(-safe) / safe)
    return np.asarray(distance_m * factor, dtype=np.float32)


def transmittance(distance_m: FloatArray, rays: FloatArray) -> FloatArray:
    """Return how much light survives haze and river mist, from the viewer to a distance."""
    rise = np.maximum(rays[..., 2], -0.02)
    depth = _slab(distance_m, rise, HAZE_HEIGHT_M) / HAZE_LENGTH_M
    # Mist starts some way off, or the boat itself would swim in milk.
    far = np.maximum(distance_m - 150.0, 0.0)
    depth = depth + _slab(far, rise, MIST_HEIGHT_M) / MIST_LENGTH_M
    return np.asarray(np.exp(-depth), dtype=np.float32)


def haze_light(rays: FloatArray) -> FloatArray:
    """Return the colour that thick haze shows along unit rays: the sky just over the horizon."""
    low = rays.copy()
    low[..., 2] = np.maximum(np.abs(low[..., 2]) * 0.5, 0.035)
    low /= np.linalg.norm(low, axis=-1, keepdims=True)
    return clear_sky(low) * np.float32(0.93)
