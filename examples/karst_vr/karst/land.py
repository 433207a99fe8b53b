"""The plain, the river and the limestone towers (fenglin) standing on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from karst.meshes import Mesh, grid_faces, merge, vertex_normals
from karst.noise import FloatArray, f32, fbm, gradient_noise, mix, ridged, smoothstep

RIVER_HALF_WIDTH_M = 34.0
WATER_LEVEL_M = 0.0
GREEN = (0.055, 0.095, 0.022)
ROCK = (0.40, 0.375, 0.33)


@dataclass(frozen=True)
class Tower:
    """One limestone tower: where it stands, how wide and how high it is."""

    x_m: float
    y_m: float
    radius_m: float
    height_m: float
    seed: int
    squareness: float

    @property
    def distance_m(self) -> float:
        """Return the distance of its axis from the viewer."""
        return float(np.hypot(self.x_m, self.y_m))


# The picture's frame: hand-set towers to the left, right, ahead and behind (x, y, radius, height).
_HERO = (
    (-150.0, 255.0, 52.0, 150.0),
    (118.0, 205.0, 40.0, 118.0),
    (205.0, 330.0, 62.0, 185.0),
    (-45.0, 560.0, 66.0, 200.0),
    (52.0, 640.0, 50.0, 138.0),
    (-255.0, 420.0, 70.0, 175.0),
    (-185.0, 40.0, 46.0, 120.0),
    (-240.0, -130.0, 58.0, 165.0),
    (-120.0, -250.0, 40.0, 105.0),
    (165.0, -60.0, 44.0, 128.0),
    (250.0, 60.0, 60.0, 150.0),
    (135.0, -265.0, 52.0, 150.0),
    (-20.0, -520.0, 70.0, 190.0),
    (60.0, -640.0, 60.0, 150.0),
)


def river_centre_m(y_m: FloatArray) -> FloatArray:
    """Return the x of the river's centre line at each y; it winds, and passes the viewer."""
    y = np.asarray(y_m, dtype=np.float32)
    bend = 34.0 * np.sin(y / 210.0) + 120.0 * smoothstep(260.0, 800.0, y)
    return np.asarray(bend - 130.0 * smoothstep(240.0, 760.0, -y), dtype=np.float32)


def bank_distance_m(x_m: FloatArray, y_m: FloatArray) -> FloatArray:
    """Return the distance from the water's edge, positive on land (roughly, across the river)."""
    wobble = 6.0 * gradient_noise(np.stack([x_m / 40.0, y_m / 40.0, 0.0 * x_m], axis=-1), 71)
    return np.asarray(np.abs(x_m - river_centre_m(y_m)) - RIVER_HALF_WIDTH_M + wobble, np.float32)


def ground_height_m(x_m: FloatArray, y_m: FloatArray) -> FloatArray:
    """Return the height of the plain over the water; below zero in the river bed."""
    edge = bank_distance_m(x_m, y_m)
    p = f32(np.stack([x_m, y_m, np.zeros_like(x_m)], axis=-1))
    rise = np.where(edge < 0.0, np.maximum(edge * 0.25, -2.5), 2.3 * (1.0 - np.exp(-edge / 7.0)))
    rough = 0.35 * fbm(p / 9.0, 5, 3) + 1.1 * fbm(p / 70.0, 6, 3) * smoothstep(5.0, 60.0, edge)
    return np.asarray(rise + rough * smoothstep(-4.0, 4.0, edge), dtype=np.float32)


def place_towers(seed: int) -> list[Tower]:
    """Choose where towers stand: separate, clear of the river, in a wide plain."""
    rng = np.random.default_rng(seed)
    towers = [
        Tower(x, y, r, h, seed + 1000 + i, float(rng.uniform(0.5, 1.0)))
        for i, (x, y, r, h) in enumerate(_HERO)
    ]
    for _ in range(6000):
        if len(towers) >= 190:
            break
        distance = 300.0 + 3000.0 * float(rng.random()) ** 1.25
        angle = float(rng.uniform(0.0, 2.0 * np.pi))
        x, y = distance * np.sin(angle), distance * np.cos(angle)
        radius = float(rng.uniform(38.0, 95.0)) * (1.0 + distance / 5000.0)
        height = radius * float(rng.uniform(1.7, 3.5))
        edge = float(bank_distance_m(f32([x]), f32([y]))[0])
        apart = min(np.hypot(t.x_m - x, t.y_m - y) - t.radius_m - radius for t in towers)
        if edge > radius * 1.15 + 8.0 and apart > 0.12 * radius:
            number = seed + 2000 + len(towers)
            shape = float(rng.uniform(0.5, 1.05))
            towers.append(Tower(float(x), float(y), radius, min(height, 330.0), number, shape))
    return towers


def _tower_rows(distance_m: float) -> tuple[int, int]:
    """Return rings and segments of a tower's mesh: about one vertex per pixel, within reason."""
    scale = np.clip(240.0 / max(distance_m, 1.0), 0.16, 1.0)
    return int(210 * scale), int(230 * scale)


def tower_mesh(tower: Tower, detail: float = 1.0) -> Mesh:
    """Return a displaced, coloured tower.

    A superellipse gives the steep flank and the round top; low lobes make it irregular, ridged
    noise stretched along the vertical carves flutes, and beds of unequal hardness cut ledges
    and overhangs, since displacement is sideways and changes with height.
    """
    rows, columns = (max(int(n * detail), 12) for n in _tower_rows(tower.distance_m))
    radius, height, seed = tower.radius_m, tower.height_m, tower.seed
    t = np.linspace(0.0, 1.0, rows, dtype=np.float32)[:, None]
    turn = np.linspace(-np.pi, np.pi, columns, endpoint=False, dtype=np.float32)[None, :]
    # Segments crowd on the side that the viewer sees; the back only casts shadows.
    angle = np.arctan2(-tower.y_m, -tower.x_m) + turn - 0.62 * np.sin(turn)
    angle = angle.astype(np.float32)
    z = height * np.sin(t * np.pi / 2.0) ** 0.85
    r = radius * np.clip(np.cos(t * np.pi / 2.0), 0.0, 1.0) ** tower.squareness
    r = r + radius * 0.28 * np.exp(-z / (0.07 * height)) + 0.0 * angle
    z = z + 0.0 * angle
    unit = np.stack([np.cos(angle) + 0.0 * z, np.sin(angle) + 0.0 * z], axis=-1)
    body = f32(np.stack([unit[..., 0] * r, unit[..., 1] * r, z], axis=-1))
    lobes = fbm(body / np.float32(radius * 1.15), seed, 3)
    beds = gradient_noise(
        np.stack([body[..., 0] / 60.0, body[..., 1] / 60.0, z / 9.0], -1), seed + 11
    )
    around = (
        np.stack([unit[..., 0] * radius / 11.0, unit[..., 1] * radius / 11.0, z / 46.0], axis=-1)
        + 0.35 * lobes[..., None]
    )
    flutes = ridged(around, seed + 23)
    fine = fbm(body / np.float32(7.0), seed + 31, 3)
    steep = smoothstep(0.02, 0.12, t) * smoothstep(0.0, 0.25, 1.0 - t)
    push = 0.30 * lobes + steep * (0.15 * (flutes - 0.5) + 0.045 * beds) + 0.05 * fine
    shrink = np.minimum(1.0, r / (0.35 * radius))
    r = np.maximum(r + radius * push * shrink, 0.0)
    # Towers lean a little, and their tops are broken into knolls.
    bend = (t**1.6) * radius * np.float32(0.22)
    lean = np.random.default_rng(seed).uniform(-1.0, 1.0, size=2)
    lift = height * 0.13 * lobes * smoothstep(0.5, 1.0, t) + 2.5 * fine * t
    x = unit[..., 0] * r + tower.x_m + bend * lean[0]
    y = unit[..., 1] * r + tower.y_m + bend * lean[1]
    vertices = np.stack([x, y, z + lift - 4.0], axis=-1).reshape(-1, 3).astype(np.float32)
    bare = Mesh(vertices, grid_faces(rows, columns, wrap=True), vertices)
    return _dress(bare, tower, flutes.reshape(-1), fine.reshape(-1))


def _dress(bare: Mesh, tower: Tower, flutes: FloatArray, fine: FloatArray) -> Mesh:
    """Colour a tower: green where plants hold, streaked grey limestone where it is too steep."""
    p, seed = bare.vertices, tower.seed
    slope = vertex_normals(bare)[:, 2]
    hold = slope + 0.34 * fbm(p / 17.0, seed + 41, 3) + 0.10 * fine - 0.16 * (flutes - 0.5)
    # Talus and the top are always green; walls are bare in patches.
    hold = hold + 0.45 * np.exp(-np.maximum(p[:, 2], 0.0) / (0.10 * tower.height_m))
    green = smoothstep(0.10, 0.32, np.asarray(hold, np.float32))
    streak = fbm(np.stack([p[:, 0] / 3.0, p[:, 1] / 3.0, p[:, 2] / 38.0], -1), seed + 53, 3)
    stain = smoothstep(0.05, 0.6, streak) * np.float32(0.75)
    ochre = smoothstep(0.25, 0.8, fbm(p / 24.0, seed + 61, 2)) * np.float32(0.6)
    rock = mix(np.broadcast_to(ROCK, p.shape), (0.47, 0.36, 0.24), ochre)
    rock = mix(rock, (0.115, 0.115, 0.11), stain)
    rock = rock * (0.68 + 0.5 * flutes[:, None])
    leaf = 0.75 + 0.6 * fbm(p / 6.0, seed + 67, 3)[:, None]
    warm = smoothstep(0.0, 0.8, fbm(p / 30.0, seed + 73, 2))
    plant = mix(np.broadcast_to(GREEN, p.shape), (0.105, 0.115, 0.025), warm) * leaf
    colours = np.clip(mix(rock, plant, green), 0.004, 0.9).astype(np.float32)
    return Mesh(p, bare.faces, colours)


def towers_mesh(towers: list[Tower], detail: float = 1.0) -> Mesh:
    """Return all towers as one mesh; ``detail`` scales rings and segments."""
    return merge([tower_mesh(tower, detail) for tower in towers])


def _polar_grid(rings: int, spokes: int, near_m: float, far_m: float) -> FloatArray:
    """Return (rings, spokes, 2) ground points, dense near the viewer, sparse far away."""
    radius = np.geomspace(near_m, far_m, rings, dtype=np.float32)[:, None]
    angle = np.linspace(0.0, 2.0 * np.pi, spokes, endpoint=False, dtype=np.float32)[None, :]
    return np.stack([radius * np.sin(angle), radius * np.cos(angle)], axis=-1)


def ground_mesh() -> Mesh:
    """Return the plain with its fields; the river bed lies below the water."""
    xy = _polar_grid(330, 560, 18.0, 9000.0)
    x, y = xy[..., 0].reshape(-1), xy[..., 1].reshape(-1)
    z = ground_height_m(x, y)
    edge = bank_distance_m(x, y)
    p = np.stack([x, y, np.zeros_like(x)], axis=-1)
    # Fields: a warped checker of plots, each with a crop of its own.
    warp = fbm(p / 60.0, 83, 2)
    plot = np.stack([np.floor(x / 26.0 + warp), np.floor(y / 17.0 + 0.7 * warp), 0 * x], axis=-1)
    crop = (gradient_noise(plot * np.float32(0.37) + np.float32(0.21), 91) + 1.0) / 2.0
    field = mix((0.075, 0.125, 0.022), (0.25, 0.215, 0.055), smoothstep(0.35, 0.75, crop))
    grass = mix((0.05, 0.085, 0.02), (0.11, 0.125, 0.035), smoothstep(-0.5, 0.6, fbm(p / 5.0, 97)))
    colour = mix(grass, field, smoothstep(16.0, 26.0, edge))
    colour = mix((0.24, 0.205, 0.15), colour, smoothstep(0.4, 3.0, edge))
    z = z + 0.35 * smoothstep(20.0, 30.0, edge) * crop
    vertices = np.stack([x, y, z], axis=-1).astype(np.float32)
    faces = grid_faces(330, 560, wrap=True)[:, ::-1].copy()
    return Mesh(vertices, faces, colour.astype(np.float32))


def water_mesh(eye_height_m: float) -> Mesh:
    """Return the water plane; the red channel carries its mirror share seen from the viewer.

    The viewer never moves, so the Fresnel reflectance of calm water can be a vertex colour.
    """
    xy = np.concatenate([np.zeros((1, 240, 2), np.float32), _polar_grid(150, 240, 0.15, 9000.0)])
    flat = np.linalg.norm(xy, axis=-1)
    cos_in = np.clip(eye_height_m / np.sqrt(flat**2 + eye_height_m**2), 0.03, 1.0)
    share = 0.02 + 0.98 * (1.0 - cos_in) ** 5
    # Ripples tilt the far surface towards the viewer, so it never mirrors quite everything.
    share = np.clip(share, 0.02, 0.80).reshape(-1, 1)
    vertices = np.concatenate([xy.reshape(-1, 2), np.zeros((xy[..., 0].size, 1))], axis=1)
    colours = np.repeat(share, 3, axis=1).astype(np.float32)
    faces = grid_faces(xy.shape[0], 240, wrap=True)[:, ::-1].copy()
    return Mesh(vertices.astype(np.float32), faces, colours)
