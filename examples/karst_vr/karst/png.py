"""A small PNG writer with XMP, and the chunk reader that proves what was written."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
XMP_KEYWORD = b"XML:com.adobe.xmp"


def panorama_xmp(width: int, height: int) -> str:
    """Return XMP that tells viewers: full equirectangular sphere, left eye over right eye.

    GPano is what photo viewers read; it has no word for stereo, so GSpherical says top-bottom.
    """
    pano = {
        "ProjectionType": "equirectangular",
        "UsePanoramaViewer": "True",
        "StitchingSoftware": "Fenglin karst_vr",
        "InitialViewHeadingDegrees": "0",
        "CroppedAreaImageWidthPixels": str(width),
        "CroppedAreaImageHeightPixels": str(height),
        "FullPanoWidthPixels": str(width),
        "FullPanoHeightPixels": str(height),
        "CroppedAreaLeftPixels": "0",
        "CroppedAreaTopPixels": "0",
    }
    spherical = {
        "Spherical": "true",
        "Stitched": "true",
        "StitchingSoftware": "Fenglin karst_vr",
        "ProjectionType": "equirectangular",
        "StereoMode": "top-bottom",
    }
    fields = [f"   <GPano:{key}>{value}</GPano:{key}>" for key, value in pano.items()]
    fields += [f"   <GSpherical:{k}>{v}</GSpherical:{k}>" for k, v in spherical.items()]
    return "\n".join(
        [
            '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>',
            '<x:xmpmeta xmlns:x="adobe:ns:meta/">',
            ' <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">',
            '  <rdf:Description rdf:about=""',
            '    xmlns:GPano="http://ns.google.com/photos/1.0/panorama/"',
            '    xmlns:GSpherical="http://ns.google.com/videos/1.0/spherical/">',
            *fields,
            "  </rdf:Description>",
            " </rdf:RDF>",
            "</x:xmpmeta>",
            '<?xpacket end="w"?>',
        ]
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _filtered(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Return scan lines under PNG's "up" filter, which packs smooth pictures better than none."""
    height, width, _ = pixels.shape
    lines = pixels.reshape(height, width * 3)
    above = np.concatenate([np.zeros_like(lines[:1]), lines[:-1]])
    kind = np.full((height, 1), 2, dtype=np.uint8)
    return np.concatenate([kind, lines - above], axis=1).tobytes()


def write(path: Path, pixels: npt.NDArray[np.uint8], xmp: str = "") -> None:
    """Write (height, width, 3) bytes as an RGB PNG, all of it or nothing."""
    height, width, _ = pixels.shape
    head = struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)
    parts = [_SIGNATURE, _chunk(b"IHDR", head), _chunk(b"sRGB", b"\0")]
    if xmp:
        # Keyword, no compression, no language, no translated keyword, then the text.
        parts.append(_chunk(b"iTXt", XMP_KEYWORD + b"\0\0\0\0\0" + xmp.encode("utf-8")))
    parts.append(_chunk(b"IDAT", zlib.compress(_filtered(pixels), 7)))
    parts.append(_chunk(b"IEND", b""))
    draft = path.with_name(f".{path.name}.part")
    draft.write_bytes(b"".join(parts))
    draft.replace(path)


def chunks(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """Yield (kind, data) of every chunk, checking signature and checksums."""
    data = path.read_bytes()
    if not data.startswith(_SIGNATURE):
        raise ValueError("not a PNG file")
    at = len(_SIGNATURE)
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        (check,) = struct.unpack_from(">I", data, at + 8 + length)
        if check != zlib.crc32(kind + body):
            raise ValueError(f"damaged chunk {kind!r}")
        yield kind, body
        at += 12 + length


def read(path: Path) -> npt.NDArray[np.uint8]:
    """Return the pixels of a picture that ``write`` made."""
    found = dict(chunks(path))
    width, height = struct.unpack_from(">2I", found[b"IHDR"])
    raw = np.frombuffer(zlib.decompress(found[b"IDAT"]), dtype=np.uint8)
    lines = raw.reshape(height, 1 + width * 3)[:, 1:]
    return np.cumsum(lines, axis=0, dtype=np.uint8).reshape(height, width, 3)
