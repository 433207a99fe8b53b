"""The whole scene: composed once from a seed, cached as files that every task can load fast."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from karst import land, plants, sky, village
from karst.errors import KarstError
from karst.meshes import Mesh, merge, write_ply
from karst.noise import FloatArray, f32

EYE_HEIGHT_M = 1.6 + 0.11  # standing eye over the deck of the raft
SEED = 20
_MIRROR_STEP_DEG = 0.5
_MANIFEST = "manifest.json"
_SKY_WIDTH = 2048

Instances = dict[str, FloatArray]


def _village_mesh() -> Mesh:
    """Place the houses on the right bank, the pagoda on the left, a bridge up the river."""
    parts = []
    rng = np.random.default_rng(77)
    spots = [(47, 34, 1), (40, 46, 2), (54, 50, 2), (46, 62, 1), (62, 38, 1), (68, 52, 2)]
    spots += [(56, 66, 2), (42, 74, 1), (72, 68, 1), (80, 44, 2), (52, 82, 2), (66, 84, 1)]
    spots += [(84, 62, 1), (50, 22, 1), (64, 24, 2), (78, 28, 1)]
    for wish, y, floors in spots:
        # Keep dry feet: move inland whatever would stand in the river.
        edge = float(land.bank_distance_m(f32([wish]), f32([y]))[0])
        x = wish + max(0.0, 9.0 - edge)
        z = float(land.ground_height_m(f32([x]), f32([y]))[0])
        turn = -0.9 + float(rng.normal()) * 0.22
        parts.append(village.house(floors).moved((x, y, z + 0.3), turn, 0.95))
    parts.append(village.pagoda().moved((-58.0, 118.0, 3.0), 0.2, 1.0))
    far = 330.0
    centre = float(land.river_centre_m(f32([far]))[0])
    parts.append(village.bridge(92.0).moved((centre, far, 0.0), -0.25))
    parts.append(village.fisherman_raft().moved((4.6, 9.5, 0.0), -0.55))
    parts.append(village.fisherman_raft().moved((-17.0, 34.0, 0.0), 0.7))
    parts.append(village.raft().moved((32.0, 34.0, 0.0), -1.1))
    return merge(parts)


def _mirror_map(meshes: list[Mesh]) -> FloatArray:
    """Return the transmittance of haze by azimuth and elevation above the horizon.

    Water mirrors what stands above it, and haze lies on that longer way too. Splatting the
    vertices into a coarse map of nearest distances is enough, for ripples blur it anyway.
    """
    rows, columns = int(90 / _MIRROR_STEP_DEG), int(360 / _MIRROR_STEP_DEG)
    nearest = np.full(rows * columns, np.inf, dtype=np.float32)
    for mesh in meshes:
        p = mesh.vertices[mesh.vertices[:, 2] > 0.0]
        flat = np.hypot(p[:, 0], p[:, 1])
        elevation = np.degrees(np.arctan2(p[:, 2], flat))
        azimuth = np.degrees(np.arctan2(p[:, 0], p[:, 1])) % 360.0
        row = np.clip(elevation / _MIRROR_STEP_DEG, 0, rows - 1).astype(np.int64)
        column = np.clip(azimuth / _MIRROR_STEP_DEG, 0, columns - 1).astype(np.int64)
        np.minimum.at(nearest, row * columns + column, flat)
    grid = nearest.reshape(rows, columns)
    grid = np.minimum(grid, np.minimum(np.roll(grid, 1, axis=1), np.roll(grid, -1, axis=1)))
    grid[:-1] = np.minimum(grid[:-1], grid[1:])
    elevation = (np.arange(rows)[:, None] + 0.5) * np.radians(_MIRROR_STEP_DEG)
    azimuth = (np.arange(columns)[None, :] + 0.5) * np.radians(_MIRROR_STEP_DEG)
    rays = sky.direction(azimuth, elevation)
    clear = np.isinf(grid)
    through = np.where(clear, 1.0, sky.transmittance(np.where(clear, 1.0, grid), rays))
    soft = (through + np.roll(through, 1, axis=1) + np.roll(through, -1, axis=1)) / 3.0
    padded = np.pad(soft, ((1, 1), (0, 0)), mode="edge")
    return np.asarray((padded[:-2] + padded[1:-1] + padded[2:]) / 3.0, dtype=np.float32)


def mirror_transmittance(table: FloatArray, rays: FloatArray) -> FloatArray:
    """Look up the haze on what calm water shows along downward unit rays."""
    rows, columns = table.shape
    elevation = np.degrees(np.arcsin(np.clip(-rays[..., 2], 0.0, 1.0)))
    azimuth = np.degrees(np.arctan2(rays[..., 0], rays[..., 1])) % 360.0
    row = np.clip(elevation / _MIRROR_STEP_DEG, 0, rows - 1).astype(np.int64)
    column = (azimuth / _MIRROR_STEP_DEG).astype(np.int64) % columns
    return np.asarray(table[row, column], dtype=np.float32)


def _plant_instances(towers: list[land.Tower], seed: int) -> Instances:
    """Return transforms per plant kind: shrubs on towers, trees and bamboo along the banks."""
    rng = np.random.default_rng(seed + 5)
    shrubs = []
    for tower in sorted(towers, key=lambda t: t.distance_m):
        if tower.distance_m < 700.0:
            most = int(1800 * min(1.0, (250.0 / tower.distance_m) ** 1.2))
            shrubs.append(plants.on_tower(tower, land.tower_mesh(tower), rng, most))
    copies = np.concatenate(shrubs)
    kind = rng.integers(0, 3, len(copies))
    result: Instances = {f"shrub{k}": copies[kind == k] for k in range(3)}

    def scatter(spots: FloatArray, low: float, high: float) -> FloatArray:
        sizes = rng.uniform(low, high, len(spots)).astype(np.float32)
        return plants.matrices(spots, sizes, f32(rng.uniform(0.0, 6.28, len(spots))))

    houses = np.array([(60.0, 52.0)], dtype=np.float32)

    def off_village(spots: FloatArray, radius_m: float) -> FloatArray:
        away = np.linalg.norm(spots[:, None, :2] - houses[None], axis=-1).min(axis=1)
        return f32(spots[away > radius_m])

    grove = off_village(plants.along_river(rng, 560, 420.0, (1.0, 13.0)), 40.0)
    for k in range(3):
        result[f"bamboo{k}"] = scatter(grove[k::3], 0.8, 1.5)
    wood = off_village(plants.along_river(rng, 900, 600.0, (5.0, 120.0)), 30.0)
    for k in range(2):
        result[f"tree{k}"] = scatter(wood[k::2], 0.7, 1.5)
    edge = plants.along_river(rng, 3200, 260.0, (0.0, 5.0))
    result["shrub0"] = np.concatenate([result["shrub0"], scatter(edge, 0.4, 1.3)])
    return result


def scene_key(seed: int) -> str:
    """Return the cache key: the seed and the text of every module that shapes the scene."""
    state = hashlib.sha256(str(seed).encode())
    here = Path(__file__).parent
    for name in ("land", "landscape", "meshes", "noise", "plants", "sky", "village"):
        state.update((here / f"{name}.py").read_bytes())
    return state.hexdigest()[:16]


def _write(folder: Path, seed: int) -> None:
    """Build everything and write it into an empty folder, the manifest last."""
    towers = land.place_towers(seed)
    towers_mesh = land.towers_mesh(towers)
    people = _village_mesh()
    meshes = {
        "towers": towers_mesh,
        "ground": land.ground_mesh(),
        "water": land.water_mesh(EYE_HEIGHT_M),
        "village": people,
        "raft": village.viewer_raft(),
        "coarse": land.towers_mesh(towers, 0.2),
        **{f"shrub{k}": plants.shrub(seed + k) for k in range(3)},
        **{f"tree{k}": plants.tree(seed + 10 + k) for k in range(2)},
        **{f"bamboo{k}": plants.bamboo(seed + 20 + k) for k in range(3)},
    }
    for name, mesh in meshes.items():
        write_ply(mesh, folder / f"{name}.ply")
    copies = _plant_instances(towers, seed)
    for name, array in copies.items():
        np.save(folder / f"{name}.npy", array)
    np.save(folder / "sky.npy", sky.sky_map(_SKY_WIDTH, seed))
    np.save(folder / "mirror.npy", _mirror_map([towers_mesh, people]))
    manifest = {
        "triangles": {name: len(mesh.faces) for name, mesh in meshes.items()},
        "copies": {name: len(array) for name, array in copies.items()},
        "digests": {name: mesh.digest() for name, mesh in meshes.items()},
    }
    (folder / _MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")


@contextmanager
def _one_builder(cache: Path, key: str) -> Iterator[None]:
    """Let one task of this machine build while others wait; the lock dies with its holder."""
    with (cache / f".{key}.lock").open("w", encoding="utf-8") as lock:
        # Some network file systems have no locks: then two may build, and one rename wins.
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def prepare(cache: Path, seed: int = SEED) -> Path:
    """Return the folder of the built scene, building it first if nobody has."""
    key = scene_key(seed)
    target = cache / key
    if (target / _MANIFEST).is_file():
        return target
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with _one_builder(cache, key):
            if not (target / _MANIFEST).is_file():
                draft = Path(tempfile.mkdtemp(prefix=f".{key}-", dir=cache))
                try:
                    _write(draft, seed)
                    os.rename(draft, target)  # noqa: PTH104 - one atomic step, named as such
                except OSError:
                    if not (target / _MANIFEST).is_file():
                        raise
                finally:
                    shutil.rmtree(draft, ignore_errors=True)
    except OSError as error:
        raise KarstError(f"cannot write the scene cache {cache}: {error.strerror}") from error
    return target


@dataclass(frozen=True)
class Manifest:
    """What a built scene says of itself."""

    triangles: dict[str, int]
    copies: dict[str, int]
    digests: dict[str, str]


def manifest(folder: Path) -> Manifest:
    """Read the manifest of a built scene."""
    data = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
    return Manifest(data["triangles"], data["copies"], data["digests"])
