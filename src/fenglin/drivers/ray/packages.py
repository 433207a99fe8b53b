"""What is sent with an attempt: our code with its order, and its inputs, as packages of Ray.

Packages are named after their content, so that the inputs of a thousand attempts are sent and
unpacked once. Files of inputs get numbers for names: the folder they are unpacked to is on the
search path of Python, and none of them may stand for a module there.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from fenglin.drivers.ray import node
from fenglin.errors import DriverError
from fenglin.ports.driver import StagedInput
from fenglin.remote.contents import pieces
from fenglin.runner import host
from fenglin.runner.host.order import ORDER, encode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

# Any date will do, as long as it is always the same: the content alone makes the name.
_DATE = (1980, 1, 1, 0, 0, 0)


class Package(Struct, frozen=True):
    """A zip file for the cluster.

    Attributes:
        name: As Ray files it, with the digest of its content.
        data: Its bytes.
    """

    name: str
    data: bytes

    @property
    def uri(self) -> str:
        """As a job's runtime environment names it."""
        return f"gcs://{self.name}"

    @property
    def folder(self) -> str:
        """The folder's name that Ray unpacks it to."""
        return self.name.removesuffix(".zip")


def code_package(lines: Iterable[tuple[str, str]]) -> Package:
    """Return our programs with an order beside them.

    Raises:
        UnicodeEncodeError: the order holds a lone surrogate.
    """
    return _package([*sorted(_CODE.items()), (ORDER, encode(lines))])


def input_package(
    inputs: Sequence[StagedInput], cap_bytes: int, where: str
) -> tuple[tuple[StagedInput, ...], Package | None]:
    """Return the inputs file by file, by their name in the package, and the package.

    A source that is not there keeps its name: bringing it fails on the node, as staging.

    Raises:
        DriverError: they are larger than can be sent.
        OSError: one cannot be read.
    """
    files: list[tuple[str, bytes]] = []
    named: list[StagedInput] = []
    size = 0
    for item in inputs:
        for piece in pieces(item):
            if piece.folder:
                continue
            name, path = str(len(named)), piece.path
            named.append(StagedInput(piece.target, name, piece.executable))
            if not path.is_file():
                continue
            size += path.stat().st_size
            if size > cap_bytes:
                raise DriverError(
                    f"the inputs are larger than {cap_bytes} bytes",
                    where=where,
                    hint="put them where the nodes can read them, or raise input_cap",
                )
            files.append((name, path.read_bytes()))
    return tuple(named), _package(files) if files else None


def with_inputs(
    lines: Iterable[tuple[str, str]], package: Package | None
) -> Iterator[tuple[str, str]]:
    """Yield the lines of an order, and where its inputs are."""
    yield from lines
    yield "inputs_package", package.folder if package is not None else ""


def _package(files: Sequence[tuple[str, bytes]]) -> Package:
    digest = hashlib.sha256()
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, data in files:
            digest.update(b"%d %s %d " % (len(name), name.encode(), len(data)))
            digest.update(data)
            archive.writestr(zipfile.ZipInfo(name, _DATE), data, zipfile.ZIP_DEFLATED)
    return Package(f"fenglin_{digest.hexdigest()[:40]}.zip", target.getvalue())


def _code() -> dict[str, bytes]:
    """Return what runs on the nodes: name → content."""
    own, others = Path(node.__file__).parent, Path(host.__file__).parent
    files = {f.name: f for f in own.glob("*.py") if f.name != "__init__.py"}
    files |= {f"host/{f.name}": f for f in others.glob("*.py")}
    return {name: path.read_bytes() for name, path in files.items()}


# Read once, at import: an upgrade under a running hub must not mix two versions.
_CODE = _code()
