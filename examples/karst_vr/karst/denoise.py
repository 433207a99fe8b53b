"""Intel Open Image Denoise, as bundled inside the pyluxcore wheel, called through ctypes.

The whole panorama is denoised in one piece after all strips have come home, wrapped around at
the sides; no strip border exists for the filter, so none can show.
"""

from __future__ import annotations

import ctypes
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from karst import libatomic
from karst.errors import KarstError
from karst.noise import FloatArray

_WRAP_COLUMNS = 64
_CPU_DEVICE = 1
_FLOAT3 = 3
_MEMORY_MB = 900
# The wheel renames the C interface into a C++ namespace; these are its exported names.
_NAMES = {
    "new_device": ("_ZN3lux13oidnNewDeviceENS_14OIDNDeviceTypeE", ctypes.c_void_p),
    "set_device_int": ("_ZN3lux16oidnSetDeviceIntEPNS_14OIDNDeviceImplEPKci", None),
    "commit_device": ("_ZN3lux16oidnCommitDeviceEPNS_14OIDNDeviceImplE", None),
    "device_error": ("_ZN3lux18oidnGetDeviceErrorEPNS_14OIDNDeviceImplEPPKc", ctypes.c_int),
    "release_device": ("_ZN3lux17oidnReleaseDeviceEPNS_14OIDNDeviceImplE", None),
    "new_filter": ("_ZN3lux13oidnNewFilterEPNS_14OIDNDeviceImplEPKc", ctypes.c_void_p),
    "set_image": (
        "_ZN3lux24oidnSetSharedFilterImageEPNS_14OIDNFilterImplEPKcPvNS_10OIDNFormatEmmmmm",
        None,
    ),
    "set_bool": ("_ZN3lux17oidnSetFilterBoolEPNS_14OIDNFilterImplEPKcb", None),
    "set_int": ("_ZN3lux16oidnSetFilterIntEPNS_14OIDNFilterImplEPKci", None),
    "commit_filter": ("_ZN3lux16oidnCommitFilterEPNS_14OIDNFilterImplE", None),
    "execute": ("_ZN3lux17oidnExecuteFilterEPNS_14OIDNFilterImplE", None),
    "release_filter": ("_ZN3lux17oidnReleaseFilterEPNS_14OIDNFilterImplE", None),
}


def available() -> bool:
    """Return whether the bundled denoiser is installed."""
    return _library_path() is not None


def _library_path() -> Path | None:
    spec = importlib.util.find_spec("pyluxcore")
    if spec is None or spec.origin is None:
        return None
    libraries = Path(spec.origin).parent.parent / "pyluxcore.libs"
    found = sorted(libraries.glob("libLuxOpenImageDenoise-*.so*"))
    return found[0] if found else None


class _Library:
    """The functions that we need, with their return types set."""

    def __init__(self) -> None:
        path = _library_path()
        if path is None:
            raise KarstError("the denoiser is not installed: it comes with the pyluxcore wheel")
        libatomic.ensure()
        try:
            self._handle = ctypes.CDLL(str(path))
            for name, (symbol, result) in _NAMES.items():
                function = getattr(self._handle, symbol)
                function.restype = result
                setattr(self, name, function)
        except (OSError, AttributeError) as error:
            raise KarstError(f"the bundled denoiser does not load: {error}") from error

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


def _sphere_lookup(layer: FloatArray, row: FloatArray, column: FloatArray) -> FloatArray:
    """Return values between pixels; columns wrap around, rows stop at the edge."""
    height, width = layer.shape[:2]
    row = np.clip(row, 0.0, height - 1.0)
    top, left = np.floor(row).astype(np.int64), np.floor(column).astype(np.int64)
    down, right = (row - top)[..., None], (column - left)[..., None]
    low, left = np.minimum(top + 1, height - 1), left % width
    following = (left + 1) % width
    upper = layer[top, left] * (1.0 - right) + layer[top, following] * right
    lower = layer[low, left] * (1.0 - right) + layer[low, following] * right
    return np.asarray(upper * (1.0 - down) + lower * down, dtype=np.float32)


def _to_disc(layer: FloatArray) -> FloatArray:
    """Return the polar cap in the first rows as seen along the axis: one disc in a square.

    A pixel near the pole covers many columns; averaging that footprint keeps every path.
    """
    rows, width = layer.shape[:2]
    steps = np.arange(2 * rows) + 0.5 - rows
    x, y = np.meshgrid(steps, steps)
    radius = np.minimum(np.hypot(x, y), rows - 0.5)
    centre = (np.arctan2(x, y) / (2.0 * np.pi) + 0.5) * width
    reach = np.minimum(width / (2.0 * np.pi * radius), width) / 2.0
    sums = np.cumsum(np.concatenate([layer, layer, layer], axis=1), axis=1, dtype=np.float64)
    row = np.clip(radius - 0.5, 0, rows - 1).round().astype(np.int64)
    first = np.round(centre - reach).astype(np.int64) + width
    last = np.maximum(np.round(centre + reach).astype(np.int64) + width, first + 1)
    means = (sums[row, last - 1] - sums[row, first - 1]) / (last - first)[..., None]
    return np.asarray(means, dtype=np.float32)


def _from_disc(disc: FloatArray, rows: int, width: int) -> FloatArray:
    """Return the polar cap as rows of a panorama again."""
    radius = (np.arange(rows) + 0.5)[:, None]
    angle = ((np.arange(width) + 0.5) / width - 0.5) * 2.0 * np.pi
    x, y = radius * np.sin(angle), radius * np.cos(angle)
    middle = disc.shape[0] / 2.0 - 0.5
    return _sphere_lookup(disc, y + middle, x + middle)


def denoise(colour: FloatArray, albedo: FloatArray, normal: FloatArray, threads: int) -> FloatArray:
    """Return a denoised panorama, its poles cleaned in a view along the axis.

    In the panorama's own rows a polar path is smeared over many columns, and the filter would
    take the streaks for texture. Between 60 and 70 degrees one picture fades into the other.
    """
    result = _filter(colour, albedo, normal, threads).copy()
    height, width = colour.shape[:2]
    rows, solid = height // 6, height // 9
    if solid == 0:
        return result
    share = np.clip((rows - np.arange(rows)) / (rows - solid), 0.0, 1.0)[:, None, None]
    for order in (slice(None), slice(None, None, -1)):
        caps = [_to_disc(layer[order][:rows]) for layer in (colour, albedo, normal)]
        clean = _from_disc(_filter(caps[0], caps[1], caps[2], threads), rows, width)
        view = result[order]
        view[:rows] = view[:rows] * (1.0 - share) + clean * share
    return result


def _filter(colour: FloatArray, albedo: FloatArray, normal: FloatArray, threads: int) -> FloatArray:
    """Run the filter over an HDR picture; arrays are (height, width, 3), seamless sideways."""
    lib = _Library()
    layers = {}
    for name, layer in (("color", colour), ("albedo", albedo), ("normal", normal)):
        wrapped = np.pad(layer, ((0, 0), (_WRAP_COLUMNS, _WRAP_COLUMNS), (0, 0)), mode="wrap")
        layers[name] = np.ascontiguousarray(wrapped, dtype=np.float32)
    layers["output"] = np.empty_like(layers["color"])
    height, width = layers["color"].shape[:2]
    device = ctypes.c_void_p(lib.new_device(_CPU_DEVICE))
    lib.set_device_int(device, b"numThreads", ctypes.c_int(threads))
    lib.set_device_int(device, b"setAffinity", ctypes.c_int(0))
    lib.commit_device(device)
    task = ctypes.c_void_p(lib.new_filter(device, b"RT"))
    size = [ctypes.c_size_t(n) for n in (width, height, 0, 0, 0)]
    for name, layer in layers.items():
        pointer = ctypes.c_void_p(layer.ctypes.data)
        lib.set_image(task, name.encode(), pointer, ctypes.c_int(_FLOAT3), *size)
    lib.set_bool(task, b"hdr", ctypes.c_bool(1))
    lib.set_int(task, b"maxMemoryMB", ctypes.c_int(_MEMORY_MB))
    lib.commit_filter(task)
    lib.execute(task)
    message = ctypes.c_char_p()
    code = lib.device_error(device, ctypes.byref(message))
    lib.release_filter(task)
    lib.release_device(device)
    if code:
        raise KarstError(f"the denoiser failed: {(message.value or b'').decode()}")
    return np.asarray(layers["output"][:, _WRAP_COLUMNS:-_WRAP_COLUMNS])
