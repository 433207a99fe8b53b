"""One task of the array: the sector of one eye's panorama, path by path, haze included.

Below 60 degrees of latitude every column is a shot of its own, from its own eye point. Towards
the poles, where the eyes merge, small windows are shot from the eye point of their middle.
The renderer's noise depends on the film cell only, so neighbouring shots would repeat it as
streaks; each shot is therefore tipped or shifted by a few cells, by a rule of its own seed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from karst import landscape, ods, sky
from karst.luxcore import Renderer, Samples, Session
from karst.noise import FloatArray
from karst.ods import Eye

CHANNELS = 9  # colour, albedo, normal
_BRIGHTEST = 40.0
_WINDOW_ROWS = 12
_WINDOW_PAD = 6
# Over this azimuth one eye point serves a polar window: it errs along the view, by 3 mm at most.
_WINDOW_DEG = 5.7


@dataclass(frozen=True)
class Job:
    """What to render: the picture's width, samples along a pixel's side, and the sector."""

    width: int
    side_samples: int
    eye: Eye
    first_column: int
    last_column: int
    seed: int = 0

    @property
    def height(self) -> int:
        """Return the rows of one eye's picture."""
        return self.width // 2

    @property
    def columns(self) -> int:
        """Return the columns of the sector."""
        return self.last_column - self.first_column


def cell_rays(job: Job, rows: tuple[int, int], columns: tuple[int, int]) -> FloatArray:
    """Return mid-cell directions over pixel rows and columns, one row of cells after another."""
    n = job.side_samples
    row = (np.arange(rows[0] * n, rows[1] * n) + 0.5) / (job.height * n)
    column = (np.arange(columns[0] * n, columns[1] * n) + 0.5) / (job.width * n)
    azimuth = (column - 0.5) * 2.0 * math.pi
    return sky.direction(azimuth[None, :], (math.pi * (0.5 - row))[:, None])


def with_haze(samples: Samples, rays: FloatArray, mirror: FloatArray) -> FloatArray:
    """Return the colour of each path after haze.

    Water shows two things: its own body, hazed over the way to it, and a mirror image, hazed
    over the whole folded way. The mirrored share follows Schlick's formula as in the mesh.
    """
    through = np.ones_like(samples.distance_m)
    hit = np.isfinite(samples.distance_m)
    through[hit] = sky.transmittance(samples.distance_m[hit], rays[hit])
    light = np.zeros_like(samples.radiance)
    solid = hit & ~samples.water
    light[solid] = sky.haze_light(rays[solid])
    water = samples.water
    if water.any():
        down = rays[water]
        folded = landscape.mirror_transmittance(mirror, down)
        share = np.clip(0.02 + 0.98 * (1.0 + down[:, 2]) ** 5, 0.02, 0.8)
        through[water] = 1.0 - share + share * folded
        light[water] = sky.haze_light(down)
    return np.asarray(
        samples.radiance * through[..., None] + (1.0 - through[..., None]) * light, np.float32
    )


class StripRenderer:
    """Renders a sector band by band into ``pixels``: (height, columns, 9)."""

    def __init__(self, job: Job, mirror: FloatArray) -> None:
        """Allocate the sector."""
        self._job = job
        self._mirror = mirror
        self.pixels = np.zeros((job.height, job.columns, CHANNELS), dtype=np.float32)

    def _keep(
        self, samples: Samples, rays: FloatArray, rows: tuple[int, int], columns: tuple[int, int]
    ) -> None:
        """Average cells into pixels; bright paths are bounded, or they would leave specks."""
        colour = np.minimum(with_haze(samples, rays, self._mirror), _BRIGHTEST)
        stack = np.concatenate([colour, samples.albedo, samples.normal], axis=-1)
        n = self._job.side_samples
        shape = (rows[1] - rows[0], n, columns[1] - columns[0], n, CHANNELS)
        first = self._job.first_column
        self.pixels[rows[0] : rows[1], columns[0] - first : columns[1] - first] = stack.reshape(
            shape
        ).mean(axis=(1, 3))

    def columns(self, renderer: Renderer, band: ods.Band) -> None:
        """Render a band column by column, each from its own point on the viewing circle."""
        job, n = self._job, self._job.side_samples
        cells = job.height * n
        rng = np.random.default_rng([job.seed, job.eye, job.first_column])
        session = renderer.session(n, cells)
        rows = (band.first_row, band.last_row)
        for column in range(job.first_column, job.last_column):
            azimuth = ods.column_azimuth_rad(column + 0.5, job.width)
            eye = ods.eye_position_m(job.eye, azimuth, band.separation_m)
            tip = int(rng.integers(-40, 41))
            pitch = tip * math.pi / cells
            camera = renderer.column_camera(eye, azimuth, pitch, 360.0 / job.width)
            # Film rows count from the nadir, and the renderer's row formula lags by one row.
            wanted = cells - 2 - np.arange(rows[0] * n, rows[1] * n) - tip
            wanted = np.clip(wanted, 0, cells - 1)[:, None]
            samples = session.shoot(camera).take(wanted, np.arange(n)[None, :])
            span = (column, column + 1)
            self._keep(samples, cell_rays(job, rows, span), rows, span)
        session.stop()

    def windows(self, renderer: Renderer, bands: list[ods.Band]) -> None:
        """Render polar bands in small windows of about equal solid angle."""
        job, n = self._job, self._job.side_samples
        cells = _WINDOW_ROWS * n + _WINDOW_PAD
        session = renderer.session(cells, cells)
        rng = np.random.default_rng([job.seed, 77, job.first_column])
        for band in bands:
            for top in range(band.first_row, band.last_row, _WINDOW_ROWS):
                rows = (top, min(top + _WINDOW_ROWS, band.last_row))
                nearest = min(abs(90.0 - 180.0 * row / job.height) for row in rows)
                wide = _WINDOW_ROWS / max(math.cos(math.radians(nearest)), 0.02)
                if band.separation_m > 0.0:
                    wide = min(wide, job.width * _WINDOW_DEG / 360.0)
                group = max(1, min(int(wide), job.columns, job.width // 8))
                for left in range(job.first_column, job.last_column, group):
                    span = (left, min(left + group, job.last_column))
                    self._window(renderer, session, band, rows, span, rng)
        session.stop()

    def _window(
        self,
        renderer: Renderer,
        session: Session,
        band: ods.Band,
        rows: tuple[int, int],
        columns: tuple[int, int],
        rng: np.random.Generator,
    ) -> None:
        """Shoot one window through a perspective camera and look its cells up by direction."""
        job = self._job
        cells = _WINDOW_ROWS * job.side_samples + _WINDOW_PAD
        azimuth = ods.column_azimuth_rad(0.5 * (columns[0] + columns[1]), job.width)
        rays = cell_rays(job, rows, columns)
        ahead = rays.mean(axis=(0, 1))
        ahead /= np.linalg.norm(ahead)
        right = np.array([math.cos(azimuth), -math.sin(azimuth), 0.0], dtype=np.float32)
        up = np.cross(right, ahead)
        scale = rays @ ahead
        across, along = (rays @ right) / scale, (rays @ up) / scale
        side = max(float(np.ptp(across)), float(np.ptp(along)), 1e-4)
        cell = side / (cells - _WINDOW_PAD)
        shift = rng.uniform(0.5, _WINDOW_PAD - 0.5, size=2) * cell
        low = np.array([across.min(), along.min()]) - shift
        reach = cell * cells
        window = np.array([low[0], low[0] + reach, low[1], low[1] + reach], dtype=np.float32)
        eye = ods.eye_position_m(job.eye, azimuth, band.separation_m)
        shot = session.shoot(renderer.window_camera(eye, ahead, up, window))
        row = np.clip(((along - low[1]) / cell).astype(np.int64), 0, cells - 1)
        column = np.clip(((across - low[0]) / cell).astype(np.int64), 0, cells - 1)
        self._keep(shot.take(row, column), rays, rows, columns)


def render_strip(job: Job, scene: Path, threads: int) -> FloatArray:
    """Render a sector of the landscape and return (height, columns, 9) pixels."""
    strip = StripRenderer(job, np.load(scene / "mirror.npy"))
    bands = ods.bands(job.height)
    polar = [band for band in bands if band.separation_m < ods.INTEROCULAR_M]
    near = Renderer(threads)
    near.load_scene(scene, poles=True)
    strip.windows(near, polar)
    del near
    renderer = Renderer(threads)
    renderer.load_scene(scene)
    for band in bands:
        if band not in polar:
            strip.columns(renderer, band)
    return strip.pixels
