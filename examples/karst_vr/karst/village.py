"""What people made: houses, a pagoda, a stone bridge, bamboo rafts and a fisherman."""

from __future__ import annotations

import numpy as np

from karst.meshes import Colour, Mesh, box, grid_faces, lathe, make, merge, tube

_TILE: Colour = (0.075, 0.078, 0.085)
_WALL: Colour = (0.74, 0.69, 0.60)
_WOOD: Colour = (0.17, 0.085, 0.04)
_STONE: Colour = (0.30, 0.285, 0.25)
_CANE: Colour = (0.36, 0.31, 0.13)


def _roof(length_m: float, depth_m: float, base_m: float, rise_m: float) -> Mesh:
    """Return a gabled roof whose slope sags and whose eaves turn up at the corners."""
    u = np.linspace(-1.0, 1.0, 17)[:, None]
    v = np.linspace(-1.0, 1.0, 21)[None, :]
    slope = 1.0 - np.abs(u)
    z = base_m + rise_m * (0.35 * slope + 0.65 * slope**1.7) + 0.35 * np.abs(v) ** 5 * (1.0 + 0 * u)
    x = length_m * v + 0.0 * u
    y = depth_m * u + 0.0 * v
    top = np.stack([x, y, z], axis=-1)
    lower = top - (0.0, 0.0, 0.14)
    # Rows of tiles: alternate shades along the ridge.
    shade = np.where(np.arange(21) % 2 == 0, 1.0, 0.72)[None, :, None] * np.ones((17, 1, 1))
    colours = np.concatenate([(shade * _TILE).reshape(-1, 3), np.full((17 * 21, 3), 0.05)])
    faces = grid_faces(17, 21)
    vertices = np.concatenate([top.reshape(-1, 3), lower.reshape(-1, 3)])
    return make(vertices, np.concatenate([faces[:, ::-1], faces + 17 * 21]), colours)


def house(floors: int) -> Mesh:
    """Return a house of one or two floors: pale walls, dark timber, grey tiled roof."""
    parts = []
    top = 2.9 * floors
    parts.append(box((-5.0, -3.2, -1.0), (5.0, 3.2, top), _WALL))
    parts.append(box((-5.3, -3.5, -1.0), (5.3, 3.5, 0.3), _STONE))
    for floor in range(floors):
        z = 2.9 * floor
        for x in (-3.4, 0.0, 3.4):
            wide = 0.85 if x == 0.0 and floor == 0 else 0.6
            foot = 0.3 if x == 0.0 and floor == 0 else 1.1
            for side in (-1.0, 1.0):
                low, high = sorted((side * 3.16, side * 3.26))
                panel = ((x - wide, low, z + foot), (x + wide, high, z + 2.35))
                parts.append(box(*panel, (0.05, 0.03, 0.02)))
        parts.extend(
            box((x - 0.12, -3.3, z), (x + 0.12, 3.3, z + 2.9), _WOOD)
            for x in (-5.0, -1.7, 1.7, 5.0)
        )
        parts.append(box((-5.1, -3.3, z + 2.7), (5.1, 3.3, z + 2.9), _WOOD))
    gable = make(
        [(x, y, top + rise) for x in (-5, 5) for y, rise in ((-3.2, 0.0), (3.2, 0.0), (0, 2.0))],
        [(0, 2, 1), (3, 4, 5)],
        _WALL,
    )
    return merge([*parts, gable, _roof(6.1, 4.5, top - 0.35, 2.7)])


def pagoda() -> Mesh:
    """Return a seven-storey octagonal pagoda, about 33 m high."""
    parts = []
    z, radius = 0.0, 4.6
    parts.append(lathe([(0.0, 0.0), (6.6, -3.0), (6.4, 0.5), (0.0, 0.5)], _STONE, 8))
    for _ in range(7):
        wall = [(radius, z), (radius, z + 3.0)]
        parts.append(lathe(wall, (0.55, 0.44, 0.33), 8))
        parts.append(lathe([(radius + 0.08, z + 2.3), (radius + 0.08, z + 3.0)], _WOOD, 8))
        eave = [(radius, z + 3.7), (radius + 0.7, z + 3.2), (radius + 1.7, z + 2.95)]
        parts.append(lathe([*eave, (radius + 1.7, z + 2.8), (radius, z + 2.9)], _TILE, 8))
        for turn in np.arange(8) * np.pi / 4.0 + np.pi / 8.0:
            door = box((radius * 0.9, -0.45, z + 0.6), (radius * 0.96, 0.45, z + 2.1), (0.03,) * 3)
            parts.append(door.moved((0, 0, 0), float(turn)))
        z, radius = z + 4.0, radius * 0.9
    spire = [(radius + 0.9, z), (0.35, z + 1.8), (0.5, z + 2.4), (0.12, z + 2.8)]
    parts.append(lathe([*spire, (0.28, z + 3.3), (0.03, z + 5.2)], _TILE, 8))
    return merge(parts)


def bridge(span_m: float, arches: int = 5) -> Mesh:
    """Return a humped stone bridge along x with open round arches."""
    n = 40 * arches + 1
    x = np.linspace(-span_m / 2.0, span_m / 2.0, n)
    deck = 4.0 + 3.2 * np.cos(np.pi * x / span_m) ** 2
    phase = np.abs((x / span_m + 0.5) * arches % 1.0 * 2.0 - 1.0) / 0.86
    arch = np.sqrt(np.clip(1.0 - phase**2, 0.0, 1.0)) * (deck - 1.4)
    soffit = np.where(phase < 1.0, arch, -3.0)
    columns = []
    for y in (-2.2, 2.2):
        columns += [np.stack([x, x * 0 + y, soffit], -1), np.stack([x, x * 0 + y, deck + 0.9], -1)]
    bottom_a, top_a, bottom_b, top_b = columns
    strip = grid_faces(2, n)
    noise = 0.8 + 0.4 * np.random.default_rng(5).random((2 * n, 1))
    pairs = ((bottom_a, top_a), (top_a, top_b), (top_b, bottom_b), (bottom_b, bottom_a))
    return merge([make(np.concatenate(pair), strip, noise * _STONE) for pair in pairs])


def raft(length_m: float = 7.2) -> Mesh:
    """Return a bamboo raft: nine poles with nodes, curved up at the bow, lashed to battens."""
    parts = []
    y = np.linspace(-length_m * 0.45, length_m * 0.55, 49)
    bow = 0.42 * np.clip((y - length_m * 0.28) / (length_m * 0.27), 0.0, 1.0) ** 2
    for i in range(9):
        x = (i - 4) * 0.138
        radius = 0.064 + 0.006 * (np.arange(49) % 4 == 0)
        shade = 0.8 + 0.08 * (i * 7 % 5)
        path = np.stack([x + 0 * y, y, 0.045 + bow], axis=-1)
        pole = tube(path, radius, np.array(_CANE) * shade, 10)
        ring = np.repeat(np.arange(49) % 4 == 0, 10)
        colours = pole.colours.copy()
        colours[: len(ring)] *= np.where(ring, 0.55, 1.0)[:, None]
        parts.append(Mesh(pole.vertices, pole.faces, colours.astype(np.float32)))
    for at in (-2.6, -1.2, 0.9, 1.9):
        batten = [(-0.68, at, 0.125), (0.0, at, 0.13), (0.68, at, 0.125)]
        parts.append(tube(batten, 0.035, (0.20, 0.14, 0.06), 6))
        for i in range(9):
            x = (i - 4) * 0.138
            lash = box((x - 0.02, at - 0.06, 0.08), (x + 0.02, at + 0.06, 0.172), (0.30, 0.22, 0.1))
            parts.append(lash)
    return merge(parts)


def _basket() -> Mesh:
    profile = [(0.0, 0.0), (0.17, 0.0), (0.21, 0.14), (0.16, 0.26), (0.18, 0.31), (0.14, 0.30)]
    body = lathe([*profile, (0.12, 0.05), (0.0, 0.03)], (0.30, 0.20, 0.08), 20)
    bands = [
        lathe([(r, z), (r + 0.012, z + 0.012), (r, z + 0.024)], (0.16, 0.09, 0.03), 20)
        for r, z in ((0.185, 0.05), (0.203, 0.12), (0.185, 0.2))
    ]
    return merge([body, *bands])


def _stool() -> Mesh:
    legs = [
        tube([(x, y, 0.0), (x * 0.85, y * 0.85, 0.3)], 0.022, _CANE, 6)
        for x in (-0.17, 0.17)
        for y in (-0.14, 0.14)
    ]
    slats = [
        box((-0.2, y, 0.3), (0.2, y + 0.05, 0.325), _CANE) for y in np.arange(-0.16, 0.16, 0.065)
    ]
    return merge([*legs, *slats])


def viewer_raft() -> Mesh:
    """Return the raft the viewer stands on, with a stool, a basket and a punting pole."""
    pole = tube([(0.5, -3.0, 0.17), (0.47, 0.0, 0.17), (0.42, 2.6, 0.2)], 0.024, _CANE, 8)
    return merge(
        [
            raft(),
            _stool().moved((-0.28, 1.35, 0.11), 0.3),
            _basket().moved((0.25, 1.75, 0.11)),
            _basket().moved((-0.2, -1.5, 0.11), 0.0, 1.25),
            pole,
        ]
    )


def _cormorant() -> Mesh:
    body = lathe(
        [(0.0, 0.0), (0.07, 0.06), (0.1, 0.2), (0.06, 0.36), (0.035, 0.45)], (0.02,) * 3, 10
    )
    neck = tube([(0, 0, 0.42), (0.02, 0, 0.55), (0.1, 0, 0.6)], [0.04, 0.03, 0.02], (0.02,) * 3)
    beak = tube([(0.1, 0, 0.6), (0.2, 0, 0.6)], [0.015, 0.004], (0.45, 0.28, 0.06))
    return merge([body, neck, beak])


def fisherman_raft() -> Mesh:
    """Return a fisherman in a conical hat, poling a raft with a lantern and two cormorants."""
    coat, cloth, skin = (0.10, 0.10, 0.15), (0.06, 0.06, 0.075), (0.42, 0.25, 0.16)
    torso = lathe([(0.17, 0.85), (0.2, 1.0), (0.23, 1.3), (0.17, 1.48), (0.06, 1.54)], coat, 14)
    skirt = lathe([(0.25, 0.62), (0.2, 0.9), (0.19, 1.0)], coat, 14)
    head = lathe([(0.0, 1.52), (0.08, 1.56), (0.105, 1.65), (0.09, 1.74), (0.0, 1.79)], skin, 12)
    hat = lathe(
        [(0.34, 1.70), (0.2, 1.80), (0.02, 1.95), (0.0, 1.93), (0.3, 1.69)], (0.5, 0.4, 0.2), 24
    )
    legs = [tube([(x, 0, 0.1), (x, 0.02, 0.9)], [0.07, 0.1], cloth, 8) for x in (-0.11, 0.11)]
    arms = [
        tube([(0.2, 0, 1.42), (0.36, 0.1, 1.2), (0.38, 0.3, 1.25)], [0.06, 0.05, 0.035], coat, 8),
        tube(
            [(-0.2, 0, 1.42), (-0.05, 0.32, 1.3), (0.36, 0.32, 1.5)], [0.06, 0.05, 0.035], coat, 8
        ),
    ]
    pole = tube([(0.44, 0.25, -1.0), (0.38, 0.31, 1.3), (0.30, 0.36, 3.4)], 0.02, _CANE, 6)
    post = tube([(0.0, 2.4, 0.2), (0.0, 2.4, 1.5), (0.0, 2.8, 1.75)], 0.018, _WOOD, 6)
    lamp = lathe(
        [(0.0, 0.0), (0.1, 0.03), (0.12, 0.17), (0.07, 0.3), (0.0, 0.33)], (0.5, 0.2, 0.05), 12
    )
    birds = [
        _cormorant().moved((x, y, 0.11), t) for x, y, t in ((0.3, 1.6, 0.6), (-0.3, -1.2, 2.4))
    ]
    person = merge([torso, skirt, head, hat, *legs, *arms, pole])
    return merge(
        [
            raft(),
            person.moved((0.0, -0.6, 0.06)),
            post,
            lamp.moved((0.0, 2.82, 1.36)),
            _basket().moved((0.1, 0.7, 0.11), 0.0, 1.2),
            *birds,
        ]
    )
