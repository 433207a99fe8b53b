"""The demo's job file: a scene, an array over eye and strip, and the assembly."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

ACCOUNT = "studio"
SCENE, STRIPS, PANORAMA = "karst-scene", "karst-strips", "karst-panorama"


@dataclass(frozen=True)
class Picture:
    """What is rendered.

    Attributes:
        preset: Name of the size.
        tasks: Tasks of the array: two eyes times the strips.
        estimate: Runtime of one task on the fastest share, as a studio would guess it.
    """

    preset: str
    tasks: int
    estimate: str


PICTURES = {
    "tiny": Picture("tiny", 4, "5s"),
    "demo": Picture("demo", 12, "20s"),
    "large": Picture("large", 64, "1m"),
}


def job_file(picture: Picture, python: str, payload: Path) -> str:
    """Return the three jobs as one YAML file of several documents (JSON is YAML).

    Args:
        picture: What to render.
        python: Interpreter that has the renderer.
        payload: Folder of the renderer's own code, sent along with each job.
    """
    code = [
        {"source": str(path), "target": path.relative_to(payload).as_posix()}
        for path in sorted(payload.rglob("*.py"))
    ]

    def script(line: str) -> str:
        return f'#!/bin/sh\nexec "{python}" {line}\n'

    scene = {
        "name": SCENE,
        "account": ACCOUNT,
        "resources": {"cpu": 0.5, "memory": "1GiB"},
        "script": script('scene.py --cache "$FENGLIN_ARTIFACTS_DIR"'),
        "files": code,
        "estimate": "5s",
    }
    strips = {
        "name": STRIPS,
        "account": ACCOUNT,
        "tasks": picture.tasks,
        "resources": {"cpu": 0.5, "memory": "1GiB"},
        "script": script(f"render.py --preset {picture.preset} --cache scene/0"),
        "files": [*code, {"artifacts_of": SCENE, "target": "scene"}],
        "estimate": picture.estimate,
        "retries": 2,
        "labels": {"scene": "karst", "stereo": "ods"},
    }
    panorama = {
        "name": PANORAMA,
        "account": ACCOUNT,
        "resources": {"cpu": 1, "memory": "2GiB"},
        "script": script("assemble.py strips"),
        "files": [*code, {"artifacts_of": STRIPS, "target": "strips"}],
        "estimate": "10s",
    }
    return "---\n".join(json.dumps(job, indent=2) + "\n" for job in (scene, strips, panorama))
