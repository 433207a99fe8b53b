"""The karst VR example: stereo geometry, files, checks, and one real tiny render."""

from __future__ import annotations

import importlib.util
import math
import platform
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "karst_vr"
sys.path.insert(0, str(EXAMPLE))

from karst import land, landscape, libatomic, ods, plants, png, sky, store, strips, tasks  # noqa: E402
from karst.errors import KarstError  # noqa: E402
from karst.noise import f32  # noqa: E402
from karst.ods import Eye  # noqa: E402
from karst.presets import PRESETS, Preset  # noqa: E402

needs_renderer = pytest.mark.skipif(
    importlib.util.find_spec("pyluxcore") is None,
    reason="pyluxcore is not installed: see examples/karst_vr/requirements.txt",
)


class TestStereoGeometry:
    """Where the eyes stand, and what that does to the picture."""

    def test_every_ray_touches_the_viewing_circle(self) -> None:
        for azimuth in np.linspace(-math.pi, math.pi, 17):
            for eye in Eye:
                position = np.array(ods.eye_position_m(eye, azimuth, ods.INTEROCULAR_M))
                view = np.array([math.sin(azimuth), math.cos(azimuth)])
                assert np.hypot(*position) == pytest.approx(ods.INTEROCULAR_M / 2)
                assert position @ view == pytest.approx(0.0, abs=1e-12)

    def test_left_eye_is_on_the_left(self) -> None:
        assert ods.eye_position_m(Eye.LEFT, 0.0, 0.064) == pytest.approx((-0.032, 0.0))
        assert ods.eye_position_m(Eye.RIGHT, math.pi / 2, 0.064) == pytest.approx((0.0, -0.032))

    def test_eyes_merge_smoothly_towards_the_poles(self) -> None:
        latitudes = np.linspace(0.0, 90.0, 181)
        apart = np.array([ods.separation_m(float(lat)) for lat in latitudes])
        assert (apart[latitudes <= 60.0] == ods.INTEROCULAR_M).all()
        assert (apart[latitudes >= 75.0] == 0.0).all()
        assert (np.diff(apart) <= 0.0).all()
        assert ods.separation_m(-67.5) == pytest.approx(ods.INTEROCULAR_M / 2)

    @pytest.mark.parametrize("height", [32, 128, 768, 2048])
    def test_bands_cover_every_row_once(self, height: int) -> None:
        bands = ods.bands(height)
        assert bands[0].first_row == 0
        assert bands[-1].last_row == height
        assert all(a.last_row == b.first_row for a, b in pairwise(bands))
        assert [b.separation_m for b in bands] == [b.separation_m for b in reversed(bands)]

    def test_near_things_are_further_apart(self) -> None:
        assert ods.disparity_rad(1.0) == pytest.approx(2 * math.asin(0.0325))
        assert ods.disparity_rad(1.0) > ods.disparity_rad(2.0) > 0.0


class TestScene:
    """The landscape follows from its seed alone."""

    def test_same_seed_same_tower(self) -> None:
        tower = land.Tower(100.0, 200.0, 40.0, 120.0, 9, 0.7)
        assert land.tower_mesh(tower).digest() == land.tower_mesh(tower).digest()
        other = land.Tower(100.0, 200.0, 40.0, 120.0, 10, 0.7)
        assert land.tower_mesh(tower).digest() != land.tower_mesh(other).digest()

    def test_towers_stand_apart_and_off_the_river(self) -> None:
        towers = land.place_towers(landscape.SEED)
        assert towers == land.place_towers(landscape.SEED)
        assert len(towers) > 100
        for tower in towers:
            edge = land.bank_distance_m(f32([tower.x_m]), f32([tower.y_m]))
            assert edge[0] > 0.0

    def test_plants_follow_their_seed(self) -> None:
        assert plants.bamboo(4).digest() == plants.bamboo(4).digest()
        assert plants.bamboo(4).digest() != plants.bamboo(5).digest()

    def test_haze_thickens_with_distance_and_thins_with_height(self) -> None:
        rays = sky.direction(np.zeros(3), np.radians([0.5, 0.5, 40.0]))
        through = sky.transmittance(f32([200.0, 2000.0, 2000.0]), rays)
        assert 1.0 > through[0] > through[2] > through[1] > 0.0


class TestPng:
    """What we write is a PNG that viewers know as a stereo panorama."""

    def test_round_trip_and_chunk_order(self, tmp_path: Path) -> None:
        pixels = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        path = tmp_path / "a.png"
        png.write(path, pixels, png.panorama_xmp(32, 32))
        kinds = [kind for kind, _ in png.chunks(path)]
        assert kinds == [b"IHDR", b"sRGB", b"iTXt", b"IDAT", b"IEND"]
        assert (png.read(path) == pixels).all()

    def test_metadata_names_projection_and_stereo(self, tmp_path: Path) -> None:
        path = tmp_path / "a.png"
        png.write(path, np.zeros((8, 8, 3), np.uint8), png.panorama_xmp(8, 8))
        text = dict(png.chunks(path))[b"iTXt"]
        assert text.startswith(png.XMP_KEYWORD + b"\0\0\0\0\0")
        xmp = text.decode("utf-8")
        assert "<GPano:ProjectionType>equirectangular</GPano:ProjectionType>" in xmp
        assert "<GPano:FullPanoWidthPixels>8</GPano:FullPanoWidthPixels>" in xmp
        assert "<GSpherical:StereoMode>top-bottom</GSpherical:StereoMode>" in xmp

    def test_damage_is_noticed(self, tmp_path: Path) -> None:
        path = tmp_path / "a.png"
        png.write(path, np.zeros((8, 8, 3), np.uint8))
        data = bytearray(path.read_bytes())
        data[-20] ^= 1
        path.write_bytes(data)
        with pytest.raises(ValueError, match="damaged"):
            list(png.chunks(path))


def _leave_strips(folder: Path, preset: Preset, *, skip: int = -1) -> None:
    """Write plain strips as tasks would, each in a folder of its own."""
    width = preset.size // preset.strips
    for index in range(preset.tasks):
        if index != skip:
            eye, strip = tasks.task_place(preset, index)
            part = store.Part(preset.size, preset.strips, 1, 7, "scene", eye, strip)
            pixels = np.full((preset.size // 2, width, strips.CHANNELS), 0.1 * (1 + eye))
            store.save(folder / str(index), part, pixels.astype(np.float32))


class TestAssembly:
    """Only whole pictures are assembled."""

    preset = Preset(size=64, strips=2, side_samples=1)

    def test_left_eye_lies_over_right_eye(self, tmp_path: Path) -> None:
        _leave_strips(tmp_path, self.preset)
        tasks.assemble([str(tmp_path), "--out", str(tmp_path), "--denoise", "off"])
        picture = png.read(tmp_path / "panorama.png")
        assert picture.shape == (64, 64, 3)
        assert picture[:32].mean() < picture[32:].mean()
        assert (tmp_path / "preview.png").is_file()

    def test_missing_strip_is_named(self, tmp_path: Path) -> None:
        _leave_strips(tmp_path, self.preset, skip=3)
        with pytest.raises(KarstError, match="1 of 4 strips are missing: right 1"):
            tasks.assemble([str(tmp_path)])

    def test_no_strips_at_all(self, tmp_path: Path) -> None:
        with pytest.raises(KarstError, match="no strips"):
            tasks.assemble([str(tmp_path)])

    def test_strips_of_two_pictures_do_not_mix(self, tmp_path: Path) -> None:
        _leave_strips(tmp_path, self.preset)
        _leave_strips(tmp_path / "old", Preset(size=32, strips=2, side_samples=1))
        with pytest.raises(KarstError, match="another picture"):
            store.collect(tmp_path)

    def test_a_rerun_task_does_no_harm(self, tmp_path: Path) -> None:
        _leave_strips(tmp_path, self.preset)
        _leave_strips(tmp_path / "attempt-2", self.preset)
        assert len(store.collect(tmp_path)[1]) == self.preset.tasks

    def test_a_torn_file_is_named(self, tmp_path: Path) -> None:
        _leave_strips(tmp_path, self.preset)
        torn = tmp_path / "0" / "strip-left-000.npz"
        torn.write_bytes(torn.read_bytes()[:1000])
        with pytest.raises(KarstError, match=r"strip-left-000\.npz is not a whole strip"):
            store.collect(tmp_path)


class TestInputs:
    """Foreseeable mistakes end in one line, not in a traceback."""

    @pytest.mark.parametrize("name", sorted(PRESETS))
    def test_presets_are_sound(self, name: str) -> None:
        preset = PRESETS[name]
        places = {tasks.task_place(preset, index) for index in range(preset.tasks)}
        assert len(places) == preset.tasks
        assert preset.size % preset.strips == 0

    @pytest.mark.parametrize(
        ("arguments", "environment", "message"),
        [
            (["--index", "4", "--preset", "tiny"], {}, "task index 4 is not in 0 to 3"),
            ([], {"FENGLIN_TASK_INDEX": "x"}, "must be a whole number"),
            ([], {}, "no task index"),
            (["--index", "0", "--size", "100"], {}, "multiple of 16"),
            (["--index", "0", "--strips", "7"], {}, "do not divide"),
            (["--index", "0"], {"FENGLIN_TASK_COUNT": "5"}, "array has 5 tasks"),
            (["--index", "0"], {}, "no place to write"),
        ],
    )
    def test_refusals(
        self,
        arguments: list[str],
        environment: dict[str, str],
        message: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        for name in ("FENGLIN_TASK_INDEX", "FENGLIN_TASK_COUNT", "FENGLIN_ARTIFACTS_DIR"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(KarstError, match=message):
            tasks.render(arguments)

    def test_command_prints_one_line(self, tmp_path: Path) -> None:
        done = subprocess.run(
            [sys.executable, str(EXAMPLE / "assemble.py"), str(tmp_path / "nowhere")],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2
        assert done.stderr.startswith("error: there is no folder")
        assert "Traceback" not in done.stderr


@pytest.mark.skipif(platform.system() != "Linux", reason="ELF libraries are for Linux")
def test_empty_library_answers_to_its_name(tmp_path: Path) -> None:
    """The loader takes the stub for the library that others name as needed."""
    path = tmp_path / "stub.so"
    path.write_bytes(libatomic.empty_library("libkarst-nobody-has.so.1", platform.machine()))
    script = (
        "import ctypes, sys\n"
        "ctypes.CDLL(sys.argv[1], mode=ctypes.RTLD_GLOBAL)\n"
        "ctypes.CDLL('libkarst-nobody-has.so.1')\n"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=True)


_STEREO_SCRIPT = """
import math, sys
import numpy as np
sys.path.insert(0, sys.argv[1])
from karst import ods, strips
from karst.luxcore import Renderer
from karst.ods import Eye

def post(x, y, z):
    corners = [(x + a, y + b, z + c) for a in (-.03, .03) for b in (-.03, .03) for c in (-.6, .6)]
    quads = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))
    return corners, [t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))]

def renderer():
    result = Renderer(1)
    values = {
        "scene.materials.m.type": ["matte"],
        "scene.lights.l.type": ["constantinfinite"],
        "scene.lights.l.gain": [0.5, 0.5, 0.5],
    }
    places = [(1.0, 0.4, 0.0), (2.0, -1.2, 0.0), (1.2, 2.4, 0.0)]
    posts = [(d * math.sin(a), d * math.cos(a), 1.7) for d, a, _ in places] + [(0.0, 0.0, -2.0)]
    for k, place in enumerate(posts):
        corners, faces = post(*place)
        result.scene.DefineMesh(f"p{k}", corners, faces, None, None, None, None)
        values[f"scene.objects.p{k}.shape"] = [f"p{k}"]
        values[f"scene.objects.p{k}.material"] = ["m"]
    result.define(values, 1.7)
    return result, places

width, n = 512, 3
scene, places = renderer()
out = {}
for eye in Eye:
    job = strips.Job(width, n, eye, 0, width, 1)
    strip = strips.StripRenderer(job, np.ones((2, 4), np.float32))
    bands = ods.bands(job.height)
    polar = [b for b in bands if b.separation_m < ods.INTEROCULAR_M]
    strip.windows(scene, polar[:1] + polar[-1:])
    (main,) = [b for b in bands if b not in polar]
    main = ods.Band(124, 132, main.separation_m)
    strip.columns(scene, main)
    out[eye.name] = strip.pixels[..., 3:6].mean(axis=-1)
np.savez(sys.argv[2], places=np.array(places), **out)
"""


@pytest.fixture(scope="module")
def stereo(tmp_path_factory: pytest.TempPathFactory) -> dict[str, npt.NDArray[np.float64]]:
    """Render posts at known distances with both eyes, in a process of its own."""
    path = tmp_path_factory.mktemp("stereo") / "out.npz"
    done = subprocess.run(
        [sys.executable, "-c", _STEREO_SCRIPT, str(EXAMPLE), str(path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    with np.load(path) as data:
        return {name: np.asarray(data[name], dtype=np.float64) for name in data}


@needs_renderer
class TestRealRender:
    """The renderer itself obeys the geometry."""

    def test_disparity_at_the_horizon(self, stereo: dict[str, npt.NDArray[np.float64]]) -> None:
        width = stereo["LEFT"].shape[1]
        azimuth = np.array([ods.column_azimuth_rad(c + 0.5, width) for c in range(width)])
        for distance, where, _ in stereo["places"]:
            near = np.abs(azimuth - where) < 0.3
            at = {}
            for eye in Eye:
                row = stereo[eye.name][124:132].mean(axis=0) * near
                at[eye] = float((row * azimuth).sum() / row.sum())
            measured = at[Eye.LEFT] - at[Eye.RIGHT]
            # Posts are 6 cm thick: their silhouette stands off the centre by little.
            assert measured == pytest.approx(ods.disparity_rad(distance), abs=0.0018)
            middle = 0.5 * (at[Eye.LEFT] + at[Eye.RIGHT])
            assert middle == pytest.approx(where, abs=0.003)

    def test_no_disparity_at_the_nadir(self, stereo: dict[str, npt.NDArray[np.float64]]) -> None:
        rows = slice(-20, None)
        assert stereo["LEFT"][rows].max() > 0.1
        assert np.array_equal(stereo["LEFT"][rows], stereo["RIGHT"][rows])
