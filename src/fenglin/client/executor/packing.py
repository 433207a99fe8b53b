"""Calls as bytes: cloudpickle for functions, large values apart and under their content address."""

from __future__ import annotations

import hashlib
import io
import py_compile
import sys
import tempfile
import zipfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fenglin.client.executor import worker
from fenglin.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import ModuleType

# From this size on a value is a file of its own, uploaded and staged once however often it is used.
LARGE_BYTES = 1 << 16
# Up to this size a call travels inside its job; beyond it, as a file.
INLINE_BYTES = 1 << 15
KIT = "fenglin-kit.pyz"
ITEMS = "fenglin-items.bin"
PAYLOAD = "fenglin-payload.pkl"
VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"


@dataclass(slots=True)
class Parcel:
    """What a job needs to make its calls.

    Attributes:
        inline: The call, when it is small.
        files: Content by the name under which the task finds it.
    """

    inline: bytes = b""
    files: dict[str, bytes] = field(default_factory=dict)


def pack_call(
    function: object,
    args: tuple[object, ...],
    kwargs: dict[str, object],
    modules: Sequence[ModuleType],
) -> Parcel:
    """Pack one call.

    Args:
        function: What is called.
        args: Its arguments.
        kwargs: Its arguments by name.
        modules: Those that the site lacks: what is defined in them travels with the call.

    Raises:
        InputError: cloudpickle is not installed.
        Exception: whatever the pickling of a value raises.
    """
    parcel = Parcel(files={KIT: kit()})
    with _by_value(modules):
        data = _dumps((function, args, kwargs), parcel.files)
    if len(data) <= INLINE_BYTES:
        parcel.inline = data
    else:
        parcel.files[PAYLOAD] = data
    return parcel


def pack_map(
    function: object, chunks: Sequence[Sequence[tuple[object, ...]]], modules: Sequence[ModuleType]
) -> Parcel:
    """Pack the calls of a map: one file holds the arguments of all tasks; see `worker`."""
    parcel = pack_call(function, (), {}, modules)
    ends, packed = [], []
    total = 0
    with _by_value(modules):
        for chunk in chunks:
            packed.append(_cloudpickle().dumps(list(chunk)))
            total += len(packed[-1])
            ends.append(total)
    numbers = (number.to_bytes(worker.NUMBER_BYTES, "little") for number in (len(chunks), *ends))
    parcel.files[ITEMS] = b"".join((*numbers, *packed))
    return parcel


def address(content: bytes) -> str:
    """Return the content address."""
    return hashlib.sha256(content).hexdigest()


@cache
def kit() -> bytes:
    """Return the archive that runs at the site: `worker` and cloudpickle; always the same bytes.

    cloudpickle comes compiled too: to compile it anew takes longer than most small tasks.

    Raises:
        InputError: cloudpickle is not installed.
    """
    library = Path(_cloudpickle().__file__).parent
    contents = {"__main__.py": Path(worker.__file__).read_bytes()}
    for path in sorted(library.glob("*.py")):
        contents[f"cloudpickle/{path.name}"] = path.read_bytes()
        contents[f"cloudpickle/{path.name}c"] = _compiled(path)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), content)
    return buffer.getvalue()


def _compiled(path: Path) -> bytes:
    """Return a module's compiled form, good without a look at its source."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "module.pyc")
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
        py_compile.compile(str(path), str(target), path.name, doraise=True, invalidation_mode=mode)
        return target.read_bytes()


def _cloudpickle() -> Any:  # noqa: ANN401 - it has no types
    try:
        import cloudpickle  # type: ignore[import-untyped] # noqa: PLC0415 - an extra
    except ImportError as error:
        raise InputError(
            "Python functions travel by cloudpickle, which is not installed",
            hint="pip install 'fenglin[python]'",
        ) from error
    return cloudpickle


class _by_value:  # noqa: N801 - used as a function
    """Lets what is defined in modules travel by value while the block lasts."""

    def __init__(self, modules: Sequence[ModuleType]) -> None:
        self._modules = modules

    def __enter__(self) -> None:
        for module in self._modules:
            _cloudpickle().register_pickle_by_value(module)

    def __exit__(self, *_exc: object) -> None:
        for module in self._modules:
            _cloudpickle().unregister_pickle_by_value(module)


def _dumps(value: object, files: dict[str, bytes]) -> bytes:
    """Pickle a value; its large parts become files."""
    buffer = io.BytesIO()
    made: dict[int, tuple[int, str]] = {}
    kept: list[object] = []  # so that no other object takes the id of one that is done

    class Pickler(_cloudpickle().Pickler):  # type: ignore[misc]
        def persistent_id(self, one: object) -> tuple[int, str] | None:
            if _size_bytes(one) < LARGE_BYTES:
                return None
            if id(one) not in made:
                kept.append(one)
                content = _cloudpickle().dumps(one)
                name = f"fenglin-{address(content)[:32]}.pkl"
                files[name] = content
                made[id(one)] = (len(made), name)
            return made[id(one)]

    Pickler(buffer).dump(value)
    return buffer.getvalue()


def _size_bytes(one: object) -> int:
    """Return how large a value is that holds no other ones; 0 for all others."""
    kind = type(one)
    if kind in (bytes, bytearray, str):
        return len(one)  # type: ignore[arg-type]
    if kind.__module__ == "numpy" and kind.__name__ == "ndarray" and not one.dtype.hasobject:  # type: ignore[attr-defined]
        return int(one.nbytes)  # type: ignore[attr-defined]
    return 0


def chunked(items: Iterator[tuple[object, ...]], size: int) -> list[list[tuple[object, ...]]]:
    """Return items in lists of `size`, the last one shorter."""
    whole = list(items)
    return [whole[start : start + size] for start in range(0, len(whole), size)]
