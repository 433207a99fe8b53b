"""No wall functions, no god files: a reader must be able to hold a piece in the head."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLACES = ("src", "examples", "bench", "tests")
MAX_FUNCTION_LINES = 70
MAX_PYTHON_LINES = 500
MAX_TEXT_LINES = 800
TEXTS = {".css", ".html", ".js", ".mako", ".md", ".sh", ".sql", ".toml", ".yaml", ".yml"}


def too_long(path: Path) -> Iterator[str]:
    """Yield one sentence for each limit that the file breaks."""
    text = path.read_text(encoding="utf-8")
    lines = len(text.splitlines())
    limit = MAX_PYTHON_LINES if path.suffix == ".py" else MAX_TEXT_LINES
    if lines > limit:
        yield f"{path}: {lines} lines, at most {limit}"
    if path.suffix != ".py":
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = node.end_lineno - node.lineno + 1
            if length > MAX_FUNCTION_LINES:
                yield (
                    f"{path}:{node.lineno}: {node.name}() has {length} lines, "
                    f"at most {MAX_FUNCTION_LINES}"
                )


def test_no_file_and_no_function_is_too_long():
    files = [
        path
        for place in PLACES
        for path in sorted((ROOT / place).rglob("*"))
        if path.suffix in TEXTS | {".py"}
    ]
    assert any(path.suffix == ".py" for path in files)
    assert [complaint for path in files for complaint in too_long(path)] == []


@pytest.mark.parametrize(
    ("name", "text", "complaints"),
    [
        ("fits.py", "def f():\n" + "    x = 1\n" * 69, 0),
        ("wall.py", "def f():\n" + "    x = 1\n" * 70, 1),
        ("wall_async.py", "async def f():\n" + "    x = 1\n" * 70, 1),
        ("nested.py", "class A:\n    def f(self):\n" + "        x = 1\n" * 70, 1),
        ("full.py", "x = 1\n" * 500, 0),
        ("god.py", "x = 1\n" * 501, 1),
        ("full.yaml", "- x\n" * 800, 0),
        ("god.yaml", "- x\n" * 801, 1),
    ],
)
def test_the_check_itself(tmp_path, name, text, complaints):
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert len(list(too_long(tmp_path / name))) == complaints
