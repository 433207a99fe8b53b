"""A node of a Ray cluster, or rather a folder that has what is sent to one."""

import io
import os
import subprocess
import sys
import zipfile

from fenglin.drivers.ray.packages import code_package, with_inputs
from fenglin.drivers.ray.spool import Attempt
from fenglin.model.allocation import Share
from fenglin.ports.driver import StartOrder
from fenglin.quantities.resources import Resources
from fenglin.runner.orders import order_lines
from fenglin.runner.records import Cursor, read_page

PYTHON = os.path.realpath(sys.executable)


class Node:
    """A node of a cluster that has unpacked our package."""

    def __init__(self, tmp_path):
        self.folder = tmp_path / "package"
        self.scratch = tmp_path / "scratch"
        self.scratch.mkdir()
        (tmp_path / "spool").mkdir()
        self.attempt = Attempt(tmp_path / "spool" / "h-a1-1", str(tmp_path / "artifacts"))
        self.artifacts = tmp_path / "artifacts"

    def unpack(self, **fields):
        """Lay out what is sent with an order."""
        plain = {
            "key": "h-a1-1", "epoch": 1, "hub": "h", "job": "j1", "job_name": "", "site": "rays",
            "flavor": "cpu", "tasks": "0", "task_count": 9, "tries": (),
            "shares": (Share("cpu-0", 2),), "nodes": 1, "resources": Resources(1_000, 2**28),
            "command": (), "script": "", "env": (), "workdir": "", "inputs": (), "artifacts": (),
            "artifacts_dir": "/nowhere", "timeout_ms": 0, "grace_ms": 2_000,
        }  # fmt: skip
        order = StartOrder(**{**plain, **fields})
        lines = [
            *order_lines(order, 10**6, 0), ("scratch", str(self.scratch)),
            ("artifact_cap", "1000"), ("cards_variable", "CUDA_VISIBLE_DEVICES"),
            ("ray_cpus", "1"),
        ]  # fmt: skip
        package = code_package(with_inputs(lines, None))
        zipfile.ZipFile(io.BytesIO(package.data)).extractall(self.folder)

    def start(self, **fields):
        self.unpack(**fields)
        return subprocess.Popen(
            [PYTHON, "-I", "-S", "-E", "place.py"],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "4,7", "SECRET": "canary"},
        )

    def finish(self, process):
        out, _ = process.communicate(timeout=60)
        self.attempt.take(out)
        return read_page(self.attempt.page(0, 10**6), Cursor())

    def said(self, task):
        return (self.attempt.folder / f"{task}.log").read_text()
