"""What is installed is what pyproject.toml asks for, pinned once and with hashes."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PIN = re.compile(r"^(?P<name>[\w.-]+)==(?P<version>[\w.+!]+)", re.MULTILINE)
WANTED = re.compile(r"^[\w.-]+")
EXTRAS = {
    "base": [],
    "python": ["python"],
    "render": ["render"],
    "simulate": ["simulate"],
    "ssh": ["ssh"],
    "ec2": ["ec2"],
    "openstack": ["openstack"],
    "kubernetes": ["kubernetes"],
    "postgres": ["postgres"],
    "dev": ["render", "simulate", "ssh", "ec2", "openstack", "kubernetes", "postgres", "dev"],
    "bench": ["bench", "simulate", "ssh"],
}


def plain(name: str) -> str:
    """Return the name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def entries(text: str) -> list[str]:
    """Split a list into its entries, each a pin with the hashes that follow it."""
    return text.replace("\\\n", " ").strip().splitlines()


def unhashed(text: str) -> list[str]:
    """Return the entries that pip could fill with something else than was locked."""
    return [one for one in entries(text) if not PIN.match(one) or "--hash=sha256:" not in one]


def pins(text: str) -> dict[str, str]:
    """Return version by name."""
    return {plain(found["name"]): found["version"] for found in PIN.finditer(text)}


def lock(name: str) -> str:
    """Return the text of one list."""
    return (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", EXTRAS)
def test_every_entry_is_pinned_with_hashes(name):
    assert unhashed(lock(name)) == []


@pytest.mark.parametrize("name", EXTRAS)
def test_every_wanted_package_is_locked(name):
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = [*declared["project"]["dependencies"], *declared["dependency-groups"]["build"]]
    for extra in EXTRAS[name]:
        wanted += declared["project"]["optional-dependencies"][extra]
    names = {plain(WANTED.match(one)[0]) for one in wanted}
    assert sorted(names - pins(lock(name)).keys()) == [], "run scripts/lock"


def test_lists_agree():
    versions: dict[str, set[str]] = {}
    for name in EXTRAS:
        for package, version in pins(lock(name)).items():
            versions.setdefault(package, set()).add(version)
    assert {package: found for package, found in versions.items() if len(found) > 1} == {}


def test_the_check_itself():
    good = "a==1 \\\n    --hash=sha256:00\nb==2 ; python_version < '3' \\\n    --hash=sha256:00\n"
    assert unhashed(good) == []
    assert unhashed(good + "c==3\n") == ["c==3"]
    assert unhashed(good + "c>=3 --hash=sha256:00\n") == ["c>=3 --hash=sha256:00"]
