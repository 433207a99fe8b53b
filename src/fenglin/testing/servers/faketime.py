"""A machine whose date jumps, for the processes that are started with it: libfaketime.

What has passed since the boot goes on as ever; only the date is another.
"""

from __future__ import annotations

from pathlib import Path

from fenglin.testing.servers import packages

LIBRARY = "faketime/libfaketimeMT.so.1"


def find_faketime() -> str:
    """Return why no date can be faked here; empty when one can. Installs it."""
    if _library() is not None:
        return ""
    why = packages.install("libfaketime")
    return "" if _library() else f"no libfaketime here: {why}"


def _library() -> Path | None:
    return next(iter(sorted(Path("/usr/lib").glob(f"*/{LIBRARY}"))), None)


class FakeDate:
    """The date of processes that are started with `env`, right until it jumps."""

    def __init__(self, file: Path) -> None:
        """Take the file by which they are told."""
        self._file = file
        self.jump(0)

    @property
    def env(self) -> dict[str, str]:
        """Return variables for those processes; `find_faketime` says before whether they do."""
        return {
            "LD_PRELOAD": str(_library() or ""),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def jump(self, to_s: float) -> None:
        """Set the date this far from the right one."""
        draft = self._file.with_suffix(".new")
        draft.write_text(f"{to_s:+f}s\n")
        draft.rename(self._file)
