"""The picture of a far cluster's folders: what has come is kept, in order, once."""

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest

from fenglin.drivers.slurm.homing import Homing
from fenglin.drivers.slurm.picture import Picture
from fenglin.drivers.slurm.settings import read_settings
from fenglin.drivers.slurm.shared import Shared
from fenglin.errors import DriverError, InputError
from fenglin.model.site import Flavor, Node
from fenglin.model.states import ComputeClass
from fenglin.quantities.resources import Resources
from fenglin.runner.containers import NONE, ContainerSettings
from fenglin.runner.host import claim
from fenglin.runner.host.order import encode

KEY = "h1-a1-1"
ENDED = b"E 0 1 2 0 - 3 4 .\n"
CLOSED = b"D - 9 .\n"
FLAVORS = (Flavor("cpu", ComputeClass.SUPER, Resources(8_000, 2**33)),)
BASE = {"flavors": FLAVORS, "nodes": (Node("cpu-0", "cpu"),), "shared_dir": "/scratch"}


@pytest.fixture
def shared(tmp_path):
    return Shared(tmp_path / "mirror", 1_000, ContainerSettings(NONE))


@pytest.fixture
def picture(shared):
    made = Picture(shared)
    made.adopt(KEY, encode([("epoch", "1"), ("tasks", "0-9")]))
    return made


def journal(picture, element):
    return (picture.path(KEY) / f"e{element}" / "journal").read_bytes()


def news(picture, element, data, tasks=()):
    """Take a piece in as an answer brings it; return what is to be written."""
    picture.wanted([KEY])
    return picture.take([[KEY, "", [[element, 5_000, len(data), list(tasks)]]]], data)


def test_what_is_known_is_not_asked_for_again(picture):
    assert picture.wanted([KEY]) == {KEY: ("", {})}
    picture.write_all(news(picture, 3, b"S 3 1 1 .\n"))
    assert picture.wanted([KEY]) == {KEY: ("", {"3": 10})}
    picture.write_all(news(picture, 3, ENDED + CLOSED))
    assert picture.wanted([KEY]) == {KEY: ("3", {})}
    assert journal(picture, 3) == b"S 3 1 1 .\n" + ENDED + CLOSED
    assert (picture.path(KEY) / "e3" / "journal").stat().st_mtime == 5


def test_after_a_restart_the_files_tell_what_is_known(picture, shared):
    picture.write_all(news(picture, 1, ENDED + CLOSED))
    picture.write_all(news(picture, 2, b"S 2 1 1 .\n"))
    with (picture.path(KEY) / "e2" / "journal").open("ab") as file:
        file.write(b"E 2 1")  # torn by a crash
    again = Picture(shared)
    assert again.wanted([KEY]) == {KEY: ("1", {"2": 10})}
    assert journal(again, 2) == b"S 2 1 1 .\n"


def test_an_element_without_a_journal_has_a_folder(picture):
    picture.write_all(news(picture, 4, b""))
    assert (picture.path(KEY) / "e4").is_dir()
    assert picture.wanted([KEY]) == {KEY: ("", {"4": 0})}


def test_who_has_an_attempt_is_believed_once(picture):
    picture.claim(KEY, "17 ")
    picture.claim(KEY, "18")
    assert claim.read(str(picture.path(KEY))).pid == 17
    picture.claim("h1-a2-1", "0 cancelled")
    assert claim.read(str(picture.path("h1-a2-1"))).void == "cancelled"


def test_a_cluster_that_has_forgotten_is_forgotten(picture, shared):
    assert not picture.renew("one")
    assert picture.path(KEY).exists()
    assert picture.renew("two")
    assert not picture.path(KEY).exists()
    assert Picture(shared).lacking([KEY, "../x"]) == [KEY]
    assert not picture.renew("two")


class Far:
    """An agent and its files."""

    def __init__(self, **files):
        self.files = files
        self.line = self
        self.fails = False

    async def ask(self, operation, **head):
        assert operation == "kept"
        if self.fails:
            raise DriverError("away")
        names = [[head["tasks"][0], name, 1, 0o755] for name in self.files]
        return {"files": names, "base": "/far"}, b""

    async def sftp(self):
        return SimpleNamespace(get=self.get)

    async def get(self, source, target):
        await asyncio.to_thread(Path(target).write_bytes, self.files[source.rpartition("/")[2]])


def home(picture, far, pieces, rounds=1):
    async def work():
        far.line = SimpleNamespace(files=asyncio.Semaphore(1), sftp=far.sftp)
        homing = Homing(far, picture, lambda: None)
        picture.write_all(homing.keep_back(pieces))
        for _ in range(rounds):
            homing.go_on()
            await asyncio.gather(*homing._tasks.values())
            far.fails = False
            await asyncio.sleep(0)
        return homing.is_waiting(KEY)

    return asyncio.run(work())


def test_an_end_is_written_when_its_artifacts_are_here(picture):
    far = Far(frame=b"picture")
    first = news(picture, 0, ENDED, tasks=[0])
    assert not home(picture, far, [*first, *news(picture, 0, CLOSED)])
    assert journal(picture, 0) == ENDED + CLOSED
    frame = picture.path(KEY) / "out" / "0" / "frame"
    assert (frame.read_bytes(), frame.stat().st_mode & 0o777) == (b"picture", 0o755)


def test_what_cannot_be_fetched_now_is_fetched_later(picture):
    far = Far(frame=b"picture")
    far.fails = True
    pieces = news(picture, 0, ENDED, tasks=[0])
    assert home(picture, far, pieces)
    assert not (picture.path(KEY) / "e0").exists()
    far.fails = True
    assert not home(picture, far, pieces, rounds=2)
    assert journal(picture, 0) == ENDED


@pytest.mark.parametrize("name", ["../out", "/etc/x", "a/../../x", ""])
def test_names_from_afar_are_not_trusted(picture, name, tmp_path):
    far = Far(**{name: b"evil"})
    assert home(picture, far, news(picture, 0, ENDED, tasks=[0]))
    assert not list(tmp_path.rglob("x"))
    assert not (picture.path(KEY) / "e0").exists()


def test_a_login_node_and_the_way_to_it(tmp_path):
    key = tmp_path / "id"
    key.touch()
    ssh = {"address": "login", "user": "me", "key_file": str(key), "jump": {"address": "gate"}}
    place = read_settings({**BASE, "ssh": ssh}, "site.hpc").place
    assert (str(place), str(place.jump)) == ("me@login:22", "gate:22")
    assert read_settings(BASE, "site.hpc").place is None


@pytest.mark.parametrize(
    "ssh",
    [
        {},
        {"address": "-oProxyCommand=x"},
        {"address": "a b"},
        {"address": "login", "user": "-x"},
        {"address": "login", "key_file": "/no/such/key"},
        {"address": "login", "host_key": "md5"},
        {"address": "login", "port": 0},
        {"address": "login", "jump": {"address": "$(id)"}},
        {"address": "login", "options": "x"},
    ],
)
def test_wrong_ways_are_refused(ssh):
    with pytest.raises(InputError):
        read_settings({**BASE, "ssh": ssh}, "site.hpc")
