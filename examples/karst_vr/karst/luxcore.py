"""Everything that speaks to the renderer (pyluxcore, the LuxCore path tracer).

LuxCore's own stereo camera only shifts two ordinary panoramas sideways. For true
omni-directional stereo we give it a sliver of a panorama at a time - one column, from its own
point on the viewing circle - by editing the camera of a running session. Geometry is not
touched, so the acceleration structure is built once and an edit costs some milliseconds.
"""

from __future__ import annotations

import importlib
import math
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import numpy.typing as npt

from karst import landscape, libatomic, sky
from karst.errors import KarstError
from karst.noise import FloatArray

_WATER_ID = 2
_FAR = 1e9


@dataclass(frozen=True)
class Samples:
    """One path per cell: colour, distance (m, inf for sky), water mask and denoiser guides."""

    radiance: FloatArray
    distance_m: FloatArray
    water: npt.NDArray[np.bool_]
    albedo: FloatArray
    normal: FloatArray

    def take(self, rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]) -> Samples:
        """Return the samples at film cells given by two index arrays of equal shape."""
        return Samples(
            self.radiance[rows, columns],
            self.distance_m[rows, columns],
            self.water[rows, columns],
            self.albedo[rows, columns],
            self.normal[rows, columns],
        )


def _mute() -> None:
    """Keep the renderer's chatter off our output: it logs to the bare file descriptors.

    Python's own streams move to duplicates first, so our words still come through. C++ flushes
    its log as late as the end of the process, hence for good and not around each call.
    """
    for stream, number in (("stdout", 1), ("stderr", 2)):
        current = getattr(sys, stream)
        current.flush()
        if number == _descriptor(current):
            setattr(sys, stream, os.fdopen(os.dup(number), "w", buffering=1, encoding="utf-8"))
    void = os.open(os.devnull, os.O_WRONLY)
    os.dup2(void, 1)
    os.dup2(void, 2)
    os.close(void)


def _descriptor(stream: TextIO) -> int:
    try:
        return stream.fileno()
    except (OSError, ValueError):
        return -1


@contextmanager
def _translated() -> Iterator[None]:
    """Turn the renderer's exceptions into ours."""
    try:
        yield
    except RuntimeError as error:
        raise KarstError(f"the renderer failed: {error}") from error


@cache
def load() -> Any:
    """Import and start pyluxcore, or say plainly what is missing."""
    libatomic.ensure()
    _mute()
    try:
        with redirect_stdout(StringIO()):
            pyluxcore = importlib.import_module("pyluxcore")  # heavy, and without type stubs
    except ImportError as error:
        raise KarstError(
            "the renderer pyluxcore is not usable here; install the pinned requirements of "
            f"examples/karst_vr with pip ({error})"
        ) from error
    with _translated():
        pyluxcore.Init()
    return pyluxcore


def _material_properties() -> dict[str, list[object]]:
    """Return textures and materials; vertex colours are stored as square roots."""
    colour = "scene.textures.c.type"
    return {
        colour: ["hitpointcolor"],
        "scene.textures.cc.type": ["scale"],
        "scene.textures.cc.texture1": ["c"],
        "scene.textures.cc.texture2": ["c"],
        "scene.textures.leafr.type": ["scale"],
        "scene.textures.leafr.texture1": ["cc"],
        "scene.textures.leafr.texture2": [0.95],
        "scene.textures.leaft.type": ["scale"],
        "scene.textures.leaft.texture1": ["cc"],
        "scene.textures.leaft.texture2": [0.60, 0.66, 0.32],
        "scene.textures.sharec.type": ["hitpointgrey"],
        "scene.textures.share.type": ["scale"],
        "scene.textures.share.texture1": ["sharec"],
        "scene.textures.share.texture2": ["sharec"],
        "scene.textures.waves.type": ["fbm"],
        "scene.textures.waves.octaves": [3],
        "scene.textures.waves.roughness": [0.55],
        "scene.textures.waves.mapping.type": ["globalmapping3d"],
        "scene.textures.waves.mapping.transformation": [
            *(0.9, 0.25, 0.0, 0.0, -0.12, 0.42, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)
        ],
        "scene.textures.ripple.type": ["scale"],
        "scene.textures.ripple.texture1": ["waves"],
        "scene.textures.ripple.texture2": [0.0065],
        "scene.materials.solid.type": ["matte"],
        "scene.materials.solid.kd": ["cc"],
        "scene.materials.leaf.type": ["mattetranslucent"],
        "scene.materials.leaf.kr": ["leafr"],
        "scene.materials.leaf.kt": ["leaft"],
        "scene.materials.deep.type": ["matte"],
        "scene.materials.deep.kd": [0.034, 0.135, 0.095],
        "scene.materials.mirror.type": ["mirror"],
        "scene.materials.mirror.kr": [0.97, 0.98, 0.97],
        "scene.materials.mirror.bumptex": ["ripple"],
        "scene.materials.water.type": ["mix"],
        "scene.materials.water.material1": ["deep"],
        "scene.materials.water.material2": ["mirror"],
        "scene.materials.water.amount": ["share"],
        "scene.materials.water.bumptex": ["ripple"],
        "scene.materials.water.id": [_WATER_ID],
    }


class Renderer:
    """A loaded scene; renders slivers of a panorama from given eye points."""

    def __init__(self, threads: int) -> None:
        """Start an empty scene rendered with so many threads."""
        self.lux = load()
        self._threads = threads
        self.scene = self.lux.Scene()
        self._height_m = 0.0

    def properties(self, values: Mapping[str, list[object]]) -> Any:
        """Return renderer properties from a plain mapping."""
        result = self.lux.Properties()
        for key, value in values.items():
            result.Set(self.lux.Property(key, value))
        return result

    def define(self, values: Mapping[str, list[object]], eye_height_m: float) -> None:
        """Parse scene properties directly; used for test scenes."""
        self._height_m = eye_height_m
        with _translated():
            self.scene.Parse(self.properties(values))

    def load_scene(self, folder: Path, *, poles: bool = False) -> None:
        """Load a built landscape from its cache folder.

        Towards the poles one sees nothing but sky, water and the raft. There ``poles`` puts
        coarse towers, which only shade and tint, in the place of fine ones, so the many short
        sessions of the polar bands start at once.
        """
        about = landscape.manifest(folder)
        copies, triangles = about.copies, list(about.triangles)
        if poles:
            copies, triangles = {}, ["coarse", "raft", "water"]
        else:
            triangles.remove("coarse")
        values = _material_properties()
        for name in triangles:
            values[f"scene.shapes.{name}.type"] = ["mesh"]
            values[f"scene.shapes.{name}.ply"] = [str(folder / f"{name}.ply")]
        solid_angle = 2.0 * math.pi * (1.0 - math.cos(math.radians(sky.SUN_RADIUS_DEG)))
        sun = [float(-part) for part in sky.sun_direction()]
        values |= {
            "scene.lights.sun.type": ["distant"],
            "scene.lights.sun.direction": list(sun),
            "scene.lights.sun.theta": [sky.SUN_RADIUS_DEG],
            "scene.lights.sun.gain": [part / solid_angle for part in sky.SUN_IRRADIANCE],
            "scene.lights.sky.type": ["infinite"],
            "scene.lights.sky.file": ["sky"],
            "scene.lights.sky.sampleupperhemisphereonly": [1],
        }
        for name in triangles:
            material = "water" if name == "water" else "leaf" if name in copies else "solid"
            values[f"scene.objects.{name}.shape"] = [name]
            values[f"scene.objects.{name}.material"] = [material]
            if name in copies:
                # The original hides far below; only its copies are seen.
                hidden = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, -500, 1]
                values[f"scene.objects.{name}.transformation"] = list(map(float, hidden))
        picture = np.ascontiguousarray(np.load(folder / "sky.npy"), dtype=np.float32)
        with _translated():
            self.scene.DefineImageMap("sky", picture, 1.0, 3, picture.shape[1], picture.shape[0])
        self.define(values, landscape.EYE_HEIGHT_M)
        with _translated():
            for name, count in copies.items():
                frames = np.ascontiguousarray(np.load(folder / f"{name}.npy"), dtype=np.float32)
                ids = np.zeros(count, dtype=np.uint32)
                self.scene.DuplicateObject(name, f"{name}_", count, frames, ids)

    def column_camera(
        self, eye_m: tuple[float, float], azimuth_rad: float, pitch_rad: float, degrees: float
    ) -> Any:
        """Return the camera for a sliver of a panorama around an azimuth, tipped by a pitch."""
        x, y, z = *eye_m, self._height_m
        flat, rise = math.cos(pitch_rad), math.sin(pitch_rad)
        east, north = math.sin(azimuth_rad), math.cos(azimuth_rad)
        return self.properties(
            {
                "scene.camera.type": ["environment"],
                "scene.camera.lookat.orig": [x, y, z],
                "scene.camera.lookat.target": [x + east * flat, y + north * flat, z + rise],
                "scene.camera.up": [-east * rise, -north * rise, flat],
                "scene.camera.environment.degrees": [degrees],
            }
        )

    def window_camera(
        self, eye_m: tuple[float, float], ahead: FloatArray, up: FloatArray, window: FloatArray
    ) -> Any:
        """Return a perspective camera that sees a window (left, right, low, high) in tangents."""
        origin = np.array([*eye_m, self._height_m])
        return self.properties(
            {
                "scene.camera.type": ["perspective"],
                "scene.camera.lookat.orig": origin.tolist(),
                "scene.camera.lookat.target": (origin + ahead).tolist(),
                "scene.camera.up": up.tolist(),
                "scene.camera.fieldofview": [90.0],
                "scene.camera.screenwindow": [float(part) for part in window],
            }
        )

    def session(self, columns: int, rows: int) -> Session:
        """Return a session with a film of so many cells."""
        return Session(self, columns, rows)

    def config(self, columns: int, rows: int) -> Any:
        """Return the render configuration: one path per film cell, all guides on.

        The tile engine is the one that renders exactly the same paths each time.
        """
        channels = ("RGB", "DEPTH", "MATERIAL_ID", "ALBEDO", "AVG_SHADING_NORMAL")
        values: dict[str, list[object]] = {
            "renderengine.type": ["TILEPATHCPU"],
            "sampler.type": ["TILEPATHSAMPLER"],
            "tilepath.sampling.aa.size": [1],
            "tile.multipass.enable": [0],
            "tile.size": [64],
            "native.threads.count": [self._threads],
            "film.width": [columns],
            "film.height": [rows],
            "film.filter.type": ["NONE"],
            "path.pathdepth.total": [5],
            "path.pathdepth.diffuse": [3],
            "path.pathdepth.specular": [3],
            "path.clamping.variance.maxvalue": [40.0],
        }
        for index, channel in enumerate(channels):
            values[f"film.outputs.{index}.type"] = [channel]
            # Never written; the renderer only insists on a fitting suffix.
            suffix = "png" if channel == "MATERIAL_ID" else "exr"
            values[f"film.outputs.{index}.filename"] = [f"{channel}.{suffix}"]
        return self.lux.RenderConfig(self.properties(values), self.scene)


class Session:
    """A running session; every shot edits the camera and renders the film once."""

    def __init__(self, renderer: Renderer, columns: int, rows: int) -> None:
        """Start the session with a first camera (its picture is thrown away)."""
        self._lux, self._scene = renderer.lux, renderer.scene
        self._shape = rows, columns
        with _translated():
            self._scene.Parse(renderer.column_camera((0.0, 0.0), 0.0, 0.0, 1.0))
            self._config = renderer.config(columns, rows)
            self._session = self._lux.RenderSession(self._config)
            self._session.Start()
        self._film = self._session.GetFilm()

    def shoot(self, camera: Any) -> Samples:
        """Render the film once through a camera; rows come back from the lowest upwards."""
        with _translated():
            self._session.BeginSceneEdit()
            self._scene.Parse(camera)
            self._session.EndSceneEdit()
            while not self._session.HasDone():
                time.sleep(0.0003)
        kinds = self._lux.FilmOutputType
        colour, albedo, normal = (np.empty((*self._shape, 3), dtype=np.float32) for _ in range(3))
        depth = np.empty(self._shape, dtype=np.float32)
        material = np.empty(self._shape, dtype=np.uint32)
        self._film.GetOutputFloat(kinds.RGB, colour)
        self._film.GetOutputFloat(kinds.ALBEDO, albedo)
        self._film.GetOutputFloat(kinds.AVG_SHADING_NORMAL, normal)
        self._film.GetOutputFloat(kinds.DEPTH, depth)
        self._film.GetOutputUInt(kinds.MATERIAL_ID, material)
        depth[~(depth < _FAR)] = np.inf
        return Samples(np.nan_to_num(colour), depth, material == _WATER_ID, albedo, normal)

    def stop(self) -> None:
        """End the session."""
        with _translated():
            self._session.Stop()
