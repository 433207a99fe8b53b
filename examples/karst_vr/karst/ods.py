"""Omni-directional stereo: where each eye stands for every column and latitude of a panorama.

Seen from above, both eyes ride on a circle of half the interocular distance. The ray of a column
at azimuth a starts at the circle point whose tangent is that ray, so wherever the wearer turns,
the two pictures hold the parallax of two eyes side by side. Towards zenith and nadir the circle
shrinks to a point, since there "sideways" has no meaning and any parallax would twist the view.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise

INTEROCULAR_M = 0.065
MERGE_FROM_DEG = 60.0
MERGE_TO_DEG = 75.0
# Steps between full and no parallax. One step moves an eye by 4 mm, and what one sees at these
# latitudes is the sky or the raft 1.7 m below: less than half a pixel of the demo's picture.
MERGE_STEPS = 8


class Eye(IntEnum):
    """Which eye; the left one is drawn in the upper half of the panorama."""

    LEFT = 0
    RIGHT = 1

    @property
    def sign(self) -> int:
        """Return -1 for the left and +1 for the right eye."""
        return 2 * self.value - 1


@dataclass(frozen=True)
class Band:
    """Rows [first, last) of one eye's picture, rendered with one constant eye distance."""

    first_row: int
    last_row: int
    separation_m: float


def separation_m(latitude_deg: float) -> float:
    """Return the distance between the eyes at a latitude: full below 60, zero above 75 degrees."""
    t = (abs(latitude_deg) - MERGE_FROM_DEG) / (MERGE_TO_DEG - MERGE_FROM_DEG)
    t = min(max(t, 0.0), 1.0)
    return INTEROCULAR_M * (1.0 - t * t * (3.0 - 2.0 * t))


def column_azimuth_rad(column: float, width: int) -> float:
    """Return the azimuth of a column position: 0 at the picture's middle, growing to the right."""
    return (column / width - 0.5) * 2.0 * math.pi


def eye_position_m(eye: Eye, azimuth_rad: float, separation: float) -> tuple[float, float]:
    """Return the eye's (x, y) on the viewing circle, in metres, for rays at an azimuth."""
    half = 0.5 * separation * eye.sign
    return half * math.cos(azimuth_rad), -half * math.sin(azimuth_rad)


def disparity_rad(distance_m: float, separation: float = INTEROCULAR_M) -> float:
    """Return the theoretical shift, left minus right azimuth, of a point seen at the horizon.

    Both eyes' rays touch the circle of radius separation / 2, so each deviates from the line
    through the centre by the arc sine of radius over distance.
    """
    return 2.0 * math.asin(0.5 * separation / distance_m)


def bands(height: int) -> list[Band]:
    """Cut one eye's rows (0 at the zenith) into bands of constant eye distance."""
    edges = [90.0, MERGE_TO_DEG]
    step = (MERGE_TO_DEG - MERGE_FROM_DEG) / MERGE_STEPS
    edges += [MERGE_TO_DEG - step * (i + 1) for i in range(MERGE_STEPS)]
    edges += [-edge for edge in reversed(edges)]
    rows = [round((90.0 - edge) / 180.0 * height) for edge in edges]
    result = []
    for index, (first, last) in enumerate(pairwise(rows)):
        if last > first:
            middle = 0.5 * (edges[index] + edges[index + 1])
            separation = 0.0 if abs(middle) > MERGE_TO_DEG else separation_m(middle)
            result.append(Band(first, last, separation))
    return result
