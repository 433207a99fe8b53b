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
        estimate: Runtime of one strip on the fastest share, as a studio would know it.
        assembly: Runtime of the assembly.
        assembly_memory: What the assembly needs: the whole picture, and the denoiser's copy.
    """

    preset: str
    tasks: int
    estimate: str
    assembly: str
    assembly_memory: str


PICTURES = {
    "tiny": Picture("tiny", 4, "8s", "2s", "512MiB"),
    "demo": Picture("demo", 12, "26s", "9s", "1GiB"),
    "large": Picture("large", 64, "38s", "80s", "3GiB"),
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
        "estimate": "13s",
    }
    strips = {
        "name": STRIPS,
        "account": ACCOUNT,
        "tasks": picture.tasks,
        "resources": {"cpu": 0.5, "memory": "768MiB"},
        "script": script(f"render.py --preset {picture.preset} --cache scene/0"),
        "files": [*code, {"artifacts_of": SCENE, "target": "scene"}],
        "estimate": picture.estimate,
        "retries": 2,
        "labels": {"scene": "karst", "stereo": "ods"},
    }
    panorama = {
        "name": PANORAMA,
        "account": ACCOUNT,
        "resources": {"cpu": 1, "memory": picture.assembly_memory},
        "script": script("assemble.py strips"),
        "files": [*code, {"artifacts_of": STRIPS, "target": "strips"}],
        "estimate": picture.assembly,
    }
    return "---\n".join(json.dumps(job, indent=2) + "\n" for job in (scene, strips, panorama))
