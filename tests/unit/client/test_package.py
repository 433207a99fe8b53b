"""`import fenglin` is quick, and loads each of its names when it is asked for."""

import subprocess
import sys

import pytest

import fenglin


def test_importing_it_loads_nothing_else():
    code = (
        "import sys; before = set(sys.modules); import fenglin;"
        " print(sorted(set(sys.modules) - before - {'fenglin', '__future__'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", fenglin.__all__)
def test_every_name_is_there(name):
    assert getattr(fenglin, name) is not None
    assert name in dir(fenglin)


def test_other_names_are_not():
    with pytest.raises(AttributeError, match="nosuch"):
        _ = fenglin.nosuch
