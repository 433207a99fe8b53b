import io
import zipfile

import pytest

from fenglin.drivers.ray.packages import code_package, input_package
from fenglin.errors import DriverError
from fenglin.ports.driver import StagedInput
from fenglin.runner.host.order import decode

CAP = 1_000


def content(package):
    with zipfile.ZipFile(io.BytesIO(package.data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_our_programs_travel_with_the_order():
    package = code_package([("key", "h-a1-1"), ("script", "echo 峰林\n")])
    files = content(package)
    assert {"place.py", "boarded.py", "spread.py", "host/loop.py", "host/main.py"} <= files.keys()
    assert decode(files["order"]) == {"key": ["h-a1-1"], "script": ["echo 峰林\n"]}
    assert package.uri == f"gcs://{package.folder}.zip"


def test_the_same_content_has_the_same_name_whatever_its_dates(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    for path in (one, other):
        path.write_text("x")
    names = [
        input_package((StagedInput("in", str(path)),), CAP, "site")[1].name for path in (one, other)
    ]
    other.write_text("y")
    names.append(input_package((StagedInput("in", str(other)),), CAP, "site")[1].name)
    assert names[0] == names[1] != names[2]


def test_folders_come_file_by_file_under_names_that_are_no_modules(tmp_path):
    tree = tmp_path / "tree"
    (tree / "deep").mkdir(parents=True)
    (tree / "json.py").write_text("evil")
    (tree / "deep" / "run").write_text("r")
    (tree / "deep" / "run").chmod(0o755)
    inputs = (StagedInput("scene", str(tree)), StagedInput("gone", str(tmp_path / "nowhere")))
    named, package = input_package(inputs, CAP, "site")
    assert named == (
        StagedInput("scene/json.py", "0"),
        StagedInput("scene/deep/run", "1", executable=True),
        StagedInput("gone", "2"),
    )
    assert content(package) == {"0": b"evil", "1": b"r"}


def test_links_in_a_folder_are_left_out(tmp_path):
    tree = tmp_path / "tree"
    (tree / "deep").mkdir(parents=True)
    (tmp_path / "hubs").write_text("of the hub")
    (tree / "mine").write_text("mine")
    (tree / "deep" / "link").symlink_to(tmp_path / "hubs")
    (tree / "up").symlink_to(tmp_path)
    named, package = input_package((StagedInput("scene", str(tree)),), CAP, "site")
    assert named == (StagedInput("scene/mine", "0"),)
    assert content(package) == {"0": b"mine"}


def test_too_much_input_is_refused_for_certain(tmp_path):
    (tmp_path / "big").write_bytes(b"x" * (CAP + 1))
    with pytest.raises(DriverError, match="larger than 1000 bytes") as caught:
        input_package((StagedInput("big", str(tmp_path / "big")),), CAP, "site")
    assert not caught.value.effect_unknown


def test_no_input_needs_no_package():
    assert input_package((), CAP, "site") == ((), None)
