"""The Python on the page about Python runs as it stands there, in order, against a hub."""

import os
import subprocess
import sys
from pathlib import Path

from fenglin.testing import HubProcess, LocalSite, hub_file

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "python.md"


def test_the_pages_python_runs(tmp_path, monkeypatch):
    text = PAGE.read_text(encoding="utf-8")
    blocks = [part.partition("\n```")[0] for part in text.split("```python\n")[1:]]
    assert len(blocks) == 4
    program = tmp_path / "program.py"
    program.write_text("\n".join(blocks))
    # The page's reader has Python and joblib at the sites; here they are those of the tests.
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    with HubProcess(tmp_path / "hub", hub_file([LocalSite("here", cpu=2)])) as hub:
        hub.start()
        env = {**os.environ, "FENGLIN_HUB": hub.url, "FENGLIN_TOKEN": hub.token}
        done = subprocess.run(
            [sys.executable, program], capture_output=True, text=True, env=env, timeout=120,
            check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "succeeded b'hello\\n'" in done.stdout
    assert "['succeeded', 'succeeded', 'succeeded']" in done.stdout
    assert "[0, 1, 8, 27, 64, 125]" in done.stdout
    assert "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]" in done.stdout
