"""Triangle meshes with vertex colours: a few primitives and a fast binary PLY writer."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from karst.noise import FloatArray

IntArray = npt.NDArray[np.int32]
Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Mesh:
    """Vertices in metres (x east, y ahead, z up), triangles, linear colour per vertex."""

    vertices: FloatArray
    faces: IntArray
    colours: FloatArray

    def digest(self) -> str:
        """Return a hash over all arrays; equal seeds must give equal digests."""
        state = hashlib.sha256()
        for array in (self.vertices, self.faces, self.colours):
            state.update(np.ascontiguousarray(array).tobytes())
        return state.hexdigest()

    def moved(self, offset_m: Sequence[float], turn_rad: float = 0.0, scale: float = 1.0) -> Mesh:
        """Return the mesh scaled, turned about the vertical, then shifted."""
        c, s = np.cos(turn_rad) * scale, np.sin(turn_rad) * scale
        matrix = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, scale]], dtype=np.float32)
        points = self.vertices @ matrix.T + np.asarray(offset_m, dtype=np.float32)
        return Mesh(points.astype(np.float32), self.faces, self.colours)


def make(vertices: npt.ArrayLike, faces: npt.ArrayLike, colour: npt.ArrayLike) -> Mesh:
    """Build a mesh from anything array-like; one colour is spread over all vertices."""
    points = np.asarray(vertices, dtype=np.float32).reshape(-1, 3)
    colours = np.broadcast_to(np.asarray(colour, dtype=np.float32), points.shape).copy()
    return Mesh(points, np.asarray(faces, dtype=np.int32).reshape(-1, 3), colours)


def merge(meshes: Sequence[Mesh]) -> Mesh:
    """Join meshes into one."""
    counts = np.cumsum([0] + [len(m.vertices) for m in meshes])
    return Mesh(
        np.concatenate([m.vertices for m in meshes]),
        np.concatenate(
            [m.faces + np.int32(start) for m, start in zip(meshes, counts[:-1], strict=True)]
        ),
        np.concatenate([m.colours for m in meshes]),
    )


def grid_faces(rows: int, columns: int, *, wrap: bool = False) -> IntArray:
    """Return triangles over a (rows, columns) lattice; ``wrap`` closes it along the columns."""
    index = np.arange(rows * columns, dtype=np.int32).reshape(rows, columns)
    if wrap:
        index = np.concatenate([index, index[:, :1]], axis=1)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    upper = np.stack([a, b, c], axis=-1).reshape(-1, 3)
    lower = np.stack([a, c, d], axis=-1).reshape(-1, 3)
    return np.concatenate([upper, lower])


def vertex_normals(mesh: Mesh) -> FloatArray:
    """Return unit normals per vertex, weighted by the area of the triangles around it."""
    corners = mesh.vertices[mesh.faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros_like(mesh.vertices)
    for axis in range(3):
        for corner in range(3):
            normals[:, axis] += np.bincount(
                mesh.faces[:, corner], weights=cross[:, axis], minlength=len(normals)
            ).astype(np.float32)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.asarray(normals / np.maximum(length, 1e-9), dtype=np.float32)


def box(low: Sequence[float], high: Sequence[float], colour: npt.ArrayLike) -> Mesh:
    """Return an axis-aligned box between two corners, in metres."""
    (x0, y0, z0), (x1, y1, z1) = low, high
    corners = [(x, y, z) for x in (x0, x1) for y in (y0, y1) for z in (z0, z1)]
    quads = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))
    faces = [t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))]
    return make(corners, faces, colour)


def tube(
    path: npt.ArrayLike, radii_m: npt.ArrayLike, colour: npt.ArrayLike, sides: int = 6
) -> Mesh:
    """Return a tube of given radii along a polyline, with closed ends."""
    points = np.asarray(path, dtype=np.float32)
    radii = np.broadcast_to(np.asarray(radii_m, dtype=np.float32), points.shape[:1])
    tangent = np.gradient(points, axis=0)
    tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-9)
    helper = np.where(np.abs(tangent[:, 2:3]) > 0.9, [[1.0, 0.0, 0.0]], [[0.0, 0.0, 1.0]])
    side = np.cross(tangent, helper)
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    up = np.cross(side, tangent)
    angle = np.linspace(0.0, 2.0 * np.pi, sides, endpoint=False)
    ring = np.cos(angle)[None, :, None] * side[:, None] + np.sin(angle)[None, :, None] * up[:, None]
    shell = points[:, None] + ring * radii[:, None, None]
    rows = len(points)
    faces = grid_faces(rows, sides, wrap=True)
    ends = [points[0], points[-1]]
    first, last = rows * sides, rows * sides + 1
    turn = np.arange(sides)
    following = (turn + 1) % sides
    top = (rows - 1) * sides
    caps = np.concatenate(
        [
            np.stack([np.full(sides, first), following, turn], axis=-1),
            np.stack([np.full(sides, last), top + turn, top + following], axis=-1),
        ]
    )
    vertices = np.concatenate([shell.reshape(-1, 3), np.asarray(ends)])
    return make(vertices, np.concatenate([faces, caps.astype(np.int32)]), colour)


def lathe(profile: Sequence[tuple[float, float]], colour: npt.ArrayLike, sides: int = 16) -> Mesh:
    """Turn a profile of (radius, height) pairs, in metres, about the vertical axis."""
    rings = np.asarray(profile, dtype=np.float32)
    angle = np.linspace(0.0, 2.0 * np.pi, sides, endpoint=False)
    x = rings[:, :1] * np.cos(angle)
    y = rings[:, :1] * np.sin(angle)
    z = np.broadcast_to(rings[:, 1:], x.shape)
    vertices = np.stack([x, y, z], axis=-1)
    return make(vertices, grid_faces(len(rings), sides, wrap=True), colour)


def write_ply(mesh: Mesh, path: Path) -> None:
    """Write a binary PLY with normals and 8-bit vertex colours (the renderer's fast path)."""
    vertex = np.dtype([("p", "<f4", 3), ("n", "<f4", 3), ("c", "u1", 3)])
    face = np.dtype([("k", "u1"), ("i", "<i4", 3)])
    rows = np.empty(len(mesh.vertices), dtype=vertex)
    rows["p"] = mesh.vertices
    rows["n"] = vertex_normals(mesh)
    # The square root keeps dark greens apart in 8 bits; the material squares it back.
    rows["c"] = np.clip(np.sqrt(np.clip(mesh.colours, 0.0, 1.0)) * 255.0 + 0.5, 0, 255)
    cells = np.empty(len(mesh.faces), dtype=face)
    cells["k"] = 3
    cells["i"] = mesh.faces
    header = [
        "ply",
        "format binary_little_endian 1.0",
        f"element vertex {len(rows)}",
        *(f"property float {name}" for name in ("x", "y", "z", "nx", "ny", "nz")),
        *(f"property uchar {name}" for name in ("red", "green", "blue")),
        f"element face {len(cells)}",
        "property list uchar int vertex_indices",
        "end_header\n",
    ]
    with path.open("wb") as file:
        file.write("\n".join(header).encode("ascii"))
        file.write(rows.tobytes())
        file.write(cells.tobytes())
