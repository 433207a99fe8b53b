"""Building a Kubernetes control plane from Debian's source package, once per user and machine.

No distribution ships the API server as a package, but Debian 12's source package has it whole. The
result is kept in a cache folder and moved into place when it is complete, so that an interrupted
build leaves nothing that looks finished; a lock makes others wait instead of building too.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from fenglin.testing.servers import packages

VERSION = "1.20.2"
PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
PACKAGES = ("golang-go", "etcd-server", "dpkg-dev")
INSTALL_WITHIN_S = 300.0
BUILD_WITHIN_S = 1_500.0
_ROOT = "k8s.io/kubernetes"
_OPENAPI = f"{_ROOT}/vendor/k8s.io/kube-openapi/cmd/openapi-gen"
_MARK = "+k8s:openapi-gen="


def folder() -> Path:
    """Return where the programs are or will be; FENGLIN_KUBERNETES names another place."""
    own = os.environ.get("FENGLIN_KUBERNETES")
    if own:
        return Path(own)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "fenglin" / f"kubernetes-{VERSION}"


def find_kubernetes(*, build: bool = True) -> str:
    """Return why no control plane can be started here; empty when one can.

    Args:
        build: Whether to install what is missing and to build, when we are root on Debian.
    """
    if os.geteuid() != 0:
        return "no Kubernetes here: its kubelet stand-in needs root for namespaces of its own"
    if _is_there():
        return ""
    if not build or shutil.which("apt-get") is None:
        return f"no Kubernetes here: nothing in {folder()}, and no Debian to build it on"
    folder().parent.mkdir(parents=True, exist_ok=True)
    with folder().with_name(f"{folder().name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _is_there():
            return ""
        try:
            _build()
        except (OSError, subprocess.SubprocessError) as error:
            said = getattr(error, "stderr", None) or b""
            last = said.decode(errors="replace").strip().rpartition("\n")[2]
            return f"Kubernetes could not be built: {last or error}"
    return ""


def _is_there() -> bool:
    return shutil.which("etcd") is not None and all((folder() / p).exists() for p in PROGRAMS)


def _build() -> None:
    """Install the tools, fetch the source, build, move into place."""
    if why := packages.install(*PACKAGES):
        raise OSError(why)
    if all((folder() / p).exists() for p in PROGRAMS):
        return
    with tempfile.TemporaryDirectory(prefix=".kubernetes-", dir=folder().parent) as name:
        place = Path(name)
        source = _fetch(place)
        out = _compile(place, source)
        shutil.rmtree(folder(), ignore_errors=True)
        out.rename(folder())


def _fetch(place: Path) -> Path:
    """Return the unpacked source, where Go looks for it.

    Raises:
        OSError: this Debian's source package has no API server.
    """
    lists = place / "apt"
    for part in ("lists/partial", "cache/archives/partial", "sources"):
        (lists / part).mkdir(parents=True)
    (lists / "sources" / "source.sources").write_text(_source_entries())
    options = [
        "-o", "Dir::Etc::sourcelist=/dev/null", "-o", f"Dir::Etc::sourceparts={lists}/sources",
        "-o", f"Dir::State::lists={lists}/lists", "-o", f"Dir::Cache={lists}/cache",
        "-o", "APT::Sandbox::User=root",
    ]  # fmt: skip
    _run(["apt-get", *options, "update"], within_s=INSTALL_WITHIN_S)
    _run(
        ["apt-get", *options, "source", "--download-only", "kubernetes"],
        within_s=INSTALL_WITHIN_S,
        cwd=place,
    )
    (description,) = place.glob("*.dsc")
    source = place / "src" / _ROOT
    source.parent.mkdir(parents=True)
    _run(["dpkg-source", "-x", str(description), str(source)], within_s=INSTALL_WITHIN_S)
    if not (source / "cmd" / "kube-apiserver").is_dir():
        raise OSError("this Debian's source package has no API server")
    return source


def _source_entries() -> str:
    """Return entries for source packages, made from those that the machine has for Debian."""
    stanzas = []
    for path in sorted(Path("/etc/apt/sources.list.d").glob("*.sources")):
        stanzas += [
            re.sub(r"^Types:.*$", "Types: deb-src", stanza, flags=re.MULTILINE)
            for stanza in re.split(r"\n\s*\n", path.read_text())
            if re.search(r"^URIs:.*/debian/?\s*$", stanza, re.MULTILINE)
        ]
    one_line = re.compile(r"^deb\s+(\[.*?\]\s+)?(\S+/debian/?)\s+(\S+)\s+main", re.MULTILINE)
    lists = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*.list"))]
    for path in lists:
        stanzas += [
            f"Types: deb-src\nURIs: {match[2]}\nSuites: {match[3]}\nComponents: main"
            for match in one_line.finditer(path.read_text() if path.exists() else "")
        ]
    return "\n\n".join(stanzas) + "\n"


def _compile(place: Path, source: Path) -> Path:
    """Return the folder with the programs."""
    out = place / "out"
    out.mkdir()
    env = {
        **os.environ, "GOPATH": str(place), "GO111MODULE": "off", "GOFLAGS": "",
        "CGO_ENABLED": "0", "GOCACHE": os.environ.get("GOCACHE") or str(place / "cache"),
    }  # fmt: skip
    generator = place / "openapi-gen"
    _run(
        ["go", "build", "-o", str(generator), _OPENAPI],
        within_s=BUILD_WITHIN_S,
        cwd=source,
        env=env,
    )
    command = [
        str(generator), "--logtostderr",
        "--go-header-file", "hack/boilerplate/boilerplate.generatego.txt",
        "-i", ",".join(_described(source)), "-p", f"{_ROOT}/pkg/generated/openapi",
        "-O", "zz_generated.openapi", "-r", "/dev/null", "-o", str(place / "src"),
    ]  # fmt: skip
    _run(command, within_s=BUILD_WITHIN_S, cwd=source, env=env)
    stamp = f"{_ROOT}/vendor/k8s.io/component-base/version"
    major, minor, _ = VERSION.split(".")
    flags = (
        f"-s -w -X {stamp}.gitVersion=v{VERSION} -X {stamp}.gitMajor={major}"
        f" -X {stamp}.gitMinor={minor}"
    )
    programs = [f"{_ROOT}/cmd/{name}" for name in PROGRAMS]
    command = ["go", "build", "-ldflags", flags, "-o", f"{out}/", *programs]
    _run(command, within_s=BUILD_WITHIN_S, cwd=source, env=env)
    return out


def _described(source: Path) -> list[str]:
    """Return the packages whose types the API describes."""
    staging = sorted((source / "staging/src/k8s.io").iterdir())
    roots = [(source / "pkg", "pkg"), (source / "cmd", "cmd")]
    roots += [(path, f"vendor/k8s.io/{path.name}") for path in staging]
    roots += [
        (path, f"vendor/k8s.io/{path.name}")
        for path in sorted((source / "vendor/k8s.io").iterdir())
        if path.is_dir() and not path.is_symlink()
    ]
    found = set()
    for root, name in roots:
        if "code-generator" in name or "sample-apiserver" in name:
            continue
        for path in root.rglob("*.go"):
            if not path.name.startswith("zz_generated") and _MARK in path.read_text("utf-8"):
                found.add(f"{_ROOT}/{name}/{path.parent.relative_to(root)}".removesuffix("/."))
    return sorted(found)


def _run(
    command: list[str],
    *,
    within_s: float,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
) -> None:
    """Run a command, out of the way of everything else; its output is told when it fails."""
    command = ["nice", "-n", "15", *command]
    subprocess.run(command, cwd=cwd, env=env, capture_output=True, timeout=within_s, check=True)
