"""What a job brings along: its script, the image it runs in, the setup that goes before."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fenglin.intake import words
from fenglin.intake.report import show

if TYPE_CHECKING:
    from fenglin.intake.report import Path, Report

MAX_IMAGE = 1_024
MAX_SCRIPT_BYTES = 2**20
# A name with registry, tag and digest, an address, or the path of a file. Nothing in it can be
# an option, a second word or a mount to any runtime that is handed it.
IMAGE = re.compile(r"(?:[a-z][a-z0-9+.-]*://)?[A-Za-z0-9_/][A-Za-z0-9._/:@+~-]*", re.ASCII)
_IMAGE_HINT = "write it as for docker, such as debian:12 or nvcr.io/nvidia/pytorch:24.01-py3"


def image(value: object, out: dict[str, object], report: Report) -> None:
    """Set `image`."""
    path: Path = ("image",)
    if type(value) is not str:
        report.wrong(path, value, "the name of a container image", _IMAGE_HINT)
        return
    if len(value) > MAX_IMAGE or not IMAGE.fullmatch(value) or ".." in value.split("/"):
        what = f"{show(value)} is not the name of a container image" if value else "it is empty"
        report.add(path, what, _IMAGE_HINT)
        return
    out["image"] = value


def script(value: object, out: dict[str, object], report: Report) -> None:
    """Set `script`."""
    out["script"] = _shell_text(value, ("script",), report)


def setup(value: object, out: dict[str, object], report: Report) -> None:
    """Set `setup`."""
    out["setup"] = _shell_text(value, ("setup",), report)


def _shell_text(value: object, path: Path, report: Report) -> str:
    """Return a script's text; empty after noting what is wrong with it."""
    text = words.text(value, path, report, MAX_SCRIPT_BYTES)
    if text is None:
        return ""
    if not text.strip():
        report.add(path, f"the {path[0]} is empty", "write commands, or leave it out")
    elif "\r" in text:
        what = f"the {path[0]} has Windows line ends"
        report.add(path, what, "save it with Unix line ends (LF)")
    return text
