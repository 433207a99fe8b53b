"""Sizes of the picture, in one place."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Preset:
    """Pixels along a side of the square picture, strips per eye, samples along a pixel's side."""

    size: int
    strips: int
    side_samples: int

    @property
    def tasks(self) -> int:
        """Return the tasks of the array: two eyes times the strips."""
        return 2 * self.strips


PRESETS = {
    # A quick look: seconds.
    "tiny": Preset(size=256, strips=2, side_samples=1),
    # The product's demo: under three minutes on two cores.
    "demo": Preset(size=1536, strips=6, side_samples=2),
    # For a headset: 4096 pixels around, per eye.
    "large": Preset(size=4096, strips=32, side_samples=3),
}
