"""No file names a package index: every machine installs from the one it is set up for."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# In two halves, so that this file passes its own test.
HOSTS = tuple(
    ".".join(halves)
    for halves in (
        ("pypi", "org"),
        ("pypi", "python.org"),
        ("files", "pythonhosted.org"),
        ("conda", "anaconda.org"),
        ("registry", "npmjs.org"),
        ("registry", "yarnpkg.com"),
        ("static", "crates.io"),
        ("index", "crates.io"),
        ("proxy", "golang.org"),
        ("deb", "debian.org"),
        ("mirrors", "aliyun.com"),
        ("pypi.tuna", "tsinghua.edu.cn"),
    )
)


def hosts_in(path: Path) -> list[str]:
    """Return the registry hosts that the file names; a file that is not text names none."""
    text = path.read_bytes().decode("utf-8", errors="ignore").lower()
    return [f"{path}: {host}" for host in HOSTS if host in text]


def test_no_file_names_a_registry():
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout.split("\0")
    files = [ROOT / name for name in listed if name and (ROOT / name).is_file()]
    assert ROOT / "pyproject.toml" in files
    assert [found for path in files for found in hosts_in(path)] == []


@pytest.mark.parametrize("host", HOSTS)
def test_the_check_itself(tmp_path, host):
    sample = tmp_path / "list.txt"
    sample.write_text(f"pip install --from https://{host.upper()}/simple\n", encoding="utf-8")
    assert hosts_in(sample) == [f"{sample}: {host}"]
