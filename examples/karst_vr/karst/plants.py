"""Plants: shrubs, trees and feathery bamboo as small meshes, and where each copy stands."""

from __future__ import annotations

import numpy as np

from karst.land import Tower, bank_distance_m, ground_height_m
from karst.meshes import Mesh, merge, tube, vertex_normals
from karst.noise import FloatArray, f32, fbm, smoothstep


def _leaves(
    centres: FloatArray, size_m: float, rng: np.random.Generator, droop: float = 0.0
) -> tuple[FloatArray, FloatArray]:
    """Return one leaf triangle per centre: (n, 3, 3) corners and a shade per leaf."""
    count = len(centres)
    along = rng.normal(size=(count, 3))
    along[:, 2] -= droop
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    across = np.cross(along, rng.normal(size=(count, 3)))
    across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-6)
    length = size_m * rng.uniform(0.7, 1.4, size=(count, 1))
    width = length * (0.55 if droop == 0.0 else 0.22)
    corners = [centres - across * width, centres + across * width, centres + along * length * 1.6]
    shade = rng.uniform(0.7, 1.25, size=count)
    return np.stack(corners, axis=1).astype(np.float32), shade.astype(np.float32)


def _leaf_mesh(corners: FloatArray, shade: FloatArray, colour: tuple[float, float, float]) -> Mesh:
    vertices = corners.reshape(-1, 3)
    colours = np.repeat(shade, 3)[:, None] * np.asarray(colour, dtype=np.float32)
    faces = np.arange(len(vertices), dtype=np.int32).reshape(-1, 3)
    return Mesh(vertices, faces, colours.astype(np.float32))


def shrub(seed: int, leaves: int = 130) -> Mesh:
    """Return a shrub of about 1 m radius, made of leaf triangles around a few lobes."""
    rng = np.random.default_rng(seed)
    lobes = rng.normal(scale=(0.45, 0.45, 0.25), size=(6, 3)) + f32((0.0, 0.0, 0.55))
    ball = rng.normal(size=(leaves, 3))
    ball /= np.linalg.norm(ball, axis=1, keepdims=True)
    centres = lobes[rng.integers(0, 6, leaves)] + ball * rng.uniform(0.3, 0.55, size=(leaves, 1))
    corners, shade = _leaves(centres.astype(np.float32), 0.26, rng)
    shade = shade * (0.55 + 0.5 * np.clip(centres[:, 2], 0.0, 1.2)).astype(np.float32)
    return _leaf_mesh(corners, shade, (0.075, 0.125, 0.028))


def tree(seed: int) -> Mesh:
    """Return a broad-leaved tree about 7 m high with a trunk and a lobed crown."""
    rng = np.random.default_rng(seed)
    trunk = tube([(0, 0, -0.5), (0.1, 0, 1.8), (0.0, 0.15, 4.2)], [0.24, 0.17, 0.07], (0.09,) * 3)
    lobes = rng.normal(scale=(1.25, 1.25, 1.1), size=(11, 3)) + f32((0.0, 0.0, 4.6))
    ball = rng.normal(size=(1100, 3))
    ball /= np.linalg.norm(ball, axis=1, keepdims=True)
    centres = lobes[rng.integers(0, 11, 1100)] + ball * rng.uniform(0.6, 1.1, size=(1100, 1))
    corners, shade = _leaves(centres.astype(np.float32), 0.24, rng)
    shade = shade * (0.5 + 0.11 * np.clip(centres[:, 2], 0.0, 7.0)).astype(np.float32)
    return merge([trunk, _leaf_mesh(corners, shade, (0.065, 0.115, 0.026))])


def bamboo(seed: int) -> Mesh:
    """Return a clump of feathery bamboo (凤尾竹), 8 to 12 m high, its tips bent outwards."""
    rng = np.random.default_rng(seed)
    parts = []
    t = np.linspace(0.0, 1.0, 9)
    for _ in range(22):
        turn, height = rng.uniform(0.0, 2.0 * np.pi), rng.uniform(7.0, 12.0)
        reach = rng.uniform(1.2, 4.2)
        out = 0.5 * rng.random() + reach * t**2.4
        z = height * (t - 0.30 * (reach / 4.2) * t**4.0)
        stem = np.stack([np.cos(turn) * out, np.sin(turn) * out, z - 0.3], axis=-1)
        parts.append(tube(stem, 0.045 * (1.08 - t), (0.16, 0.19, 0.05), 4))
        where = rng.beta(2.6, 1.3, size=150)
        spine = np.stack([np.interp(where, t, stem[:, axis]) for axis in range(3)], axis=-1)
        spread = rng.normal(scale=0.42, size=(150, 3)) * (0.4 + where[:, None])
        corners, shade = _leaves((spine + spread).astype(np.float32), 0.34, rng, droop=1.0)
        parts.append(_leaf_mesh(corners, shade, (0.12, 0.175, 0.035)))
    return merge(parts)


def matrices(
    positions: FloatArray, scales: FloatArray, turns: FloatArray, stretch: float = 1.0
) -> FloatArray:
    """Return column-major 4 x 4 transforms: scale, turn about the vertical, shift (metres)."""
    result = np.zeros((len(positions), 16), dtype=np.float32)
    c, s = np.cos(turns) * scales, np.sin(turns) * scales
    result[:, 0], result[:, 1] = c, s
    result[:, 4], result[:, 5] = -s, c
    result[:, 10] = scales * stretch
    result[:, 12:15] = positions
    result[:, 15] = 1.0
    return result


def on_tower(tower: Tower, mesh: Mesh, rng: np.random.Generator, most: int) -> FloatArray:
    """Return transforms of shrubs on a tower, where its colour says that plants hold."""
    faces = mesh.faces
    corners = mesh.vertices[faces]
    area = np.linalg.norm(
        np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1
    )
    tint = mesh.colours[faces[:, 0]]
    green = (tint[:, 1] > tint[:, 0] * 1.08) & (corners[:, 0, 2] > 0.5)
    # Only the side towards the viewer is ever seen.
    facing = (corners[:, 0, :2] - (tower.x_m, tower.y_m)) @ (-tower.x_m, -tower.y_m)
    weight = area * green * (facing > -0.35 * tower.radius_m * tower.distance_m)
    total = float(weight.sum())
    if total <= 0.0:
        return np.zeros((0, 16), dtype=np.float32)
    count = min(most, int(total / 2.0 / 9.0))
    chosen = rng.choice(len(faces), size=count, p=weight / total)
    normal_z = vertex_normals(mesh)[faces[chosen, 0], 2]
    scales = rng.uniform(1.1, 2.6, size=count) * (0.75 + 0.45 * np.clip(normal_z, 0.0, 1.0))
    spots = corners[chosen, 0]
    return matrices(spots, scales.astype(np.float32), f32(rng.uniform(0, 6.28, count)), 1.15)


def along_river(
    rng: np.random.Generator, count: int, reach_m: float, band_m: tuple[float, float]
) -> FloatArray:
    """Return (n, 3) ground points in a band of distance from the water's edge."""
    y = rng.uniform(-reach_m, reach_m, size=count * 14)
    x = rng.uniform(-260.0, 320.0, size=count * 14)
    x32, y32 = x.astype(np.float32), y.astype(np.float32)
    edge = bank_distance_m(x32, y32)
    groves = smoothstep(-0.15, 0.45, fbm(np.stack([x32, y32, 0 * x32], -1) / 55.0, 301, 2))
    keep = (edge > band_m[0]) & (edge < band_m[1]) & (rng.random(len(x)) < 0.15 + groves)
    spots = np.stack([x32[keep], y32[keep]], axis=-1)[:count]
    z = ground_height_m(spots[:, 0], spots[:, 1])
    return np.concatenate([spots, z[:, None]], axis=1).astype(np.float32)
