"""What runs at the site: calls the function that came with the task and keeps what it returns.

This file travels. It is the `__main__` of an archive that also holds cloudpickle, and knows
nothing of Fenglin. The lines before the version is compared must work in any Python from 3.7 on.
A task may take less time than an import: what is not always needed is loaded where it is.
"""

# ruff: noqa: PTH105, PTH123, PLC0415 - see above

from __future__ import annotations

import binascii
import os
import pickle
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO

RESULT = "fenglin-result.pkl"
# Stands in front of the line of output that tells the caller why a task failed.
FAILURE = "fenglin-failure:"
MOST_FAILURE_BYTES = 1 << 18
NUMBER_BYTES = 8


class Unpickler(pickle.Unpickler):
    """Reads what `packing` wrote: large parts are files of their own."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self._parts: dict[int, Any] = {}

    def persistent_load(self, pid: tuple[int, str]) -> Any:  # noqa: ANN401 - whatever it is
        """Return a part, read once for each object that the caller had."""
        number, name = pid
        if number not in self._parts:
            with open(name, "rb") as file:
                self._parts[number] = pickle.load(file)  # noqa: S301 - the caller's own data
        return self._parts[number]


def read_chunk(path: str, index: int) -> list[tuple[Any, ...]]:
    """Return the arguments of one task of a map.

    The file holds the number of chunks, then the place where each ends, as 8 bytes each, then
    the chunks. Each task reads its own only.
    """
    with open(path, "rb") as file:
        count = int.from_bytes(file.read(NUMBER_BYTES), "little")
        file.seek(NUMBER_BYTES * max(1, index))
        ends = file.read(NUMBER_BYTES * 2)
        cut = [int.from_bytes(ends[at : at + NUMBER_BYTES], "little") for at in (0, NUMBER_BYTES)]
        before, end = (0, cut[0]) if index == 0 else cut
        file.seek(NUMBER_BYTES * (1 + count) + before)
        found: list[tuple[Any, ...]] = pickle.loads(file.read(end - before))  # noqa: S301
        return found


def run(payload: str, items: str) -> None:
    """Call the function and write what it returns.

    Args:
        payload: File with the call, `-` for standard input in base64.
        items: File with the arguments of a map; empty for a single call.
    """
    if payload == "-":
        import io

        call = Unpickler(io.BytesIO(binascii.a2b_base64(sys.stdin.buffer.read()))).load()
    else:
        with open(payload, "rb") as file:
            call = Unpickler(file).load()
    function, args, kwargs = call
    result: Any
    if items:
        chunk = read_chunk(items, int(os.environ["FENGLIN_TASK_INDEX"]))
        result = [function(*one) for one in chunk]
    else:
        result = function(*args, **kwargs)
    data = dumps(result)
    with open(RESULT + ".part", "wb") as file:
        file.write(data)
    os.replace(RESULT + ".part", RESULT)


def dumps(value: object) -> bytes:
    """Pickle a value, by cloudpickle only where that is needed: it takes time to load."""
    try:
        return pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    except Exception:  # noqa: BLE001 - whatever plain pickling cannot do
        import cloudpickle  # type: ignore[import-untyped] # in the archive, beside this file

        found: bytes = cloudpickle.dumps(value)
        return found


def tell(**what: str) -> None:
    """Write why the task failed, in one line that the caller looks for."""
    import json

    sys.stdout.flush()
    sys.stderr.write(f"\n{FAILURE} {json.dumps(what)}\n")
    sys.stderr.flush()


def pickled(error: BaseException) -> str:
    """Return an exception as text; empty when it cannot travel."""
    try:
        data = dumps(error)
    except Exception:  # noqa: BLE001 - whatever its pickling does
        return ""
    return (
        binascii.b2a_base64(data, newline=False).decode() if len(data) <= MOST_FAILURE_BYTES else ""
    )


def main(words: list[str]) -> int:
    """Run as `kit.pyz VERSION PAYLOAD ITEMS`; 0 when the function returned."""
    wanted, payload, items = words
    version = "{}.{}".format(*sys.version_info[:2])
    if version != wanted:
        tell(kind="version", have=version, want=wanted, where=sys.executable)
        return 1
    try:
        run(payload, items)
    except (Exception, KeyboardInterrupt, SystemExit) as error:  # noqa: BLE001 - told, not hidden
        import traceback

        kind = type(error)
        text = "".join(traceback.format_exception(kind, error, _skip(error)))
        sys.stderr.write(text)
        tell(
            kind="exception",
            text=text[-MOST_FAILURE_BYTES:],
            pickle=pickled(error),
            summary=f"{kind.__module__}.{kind.__qualname__}: {error}"[:4_000],
        )
        return 1
    return 0


def _skip(error: BaseException) -> Any:  # noqa: ANN401 - a traceback
    """Return the traceback without this file's frames, which tell the reader nothing."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return trace or error.__traceback__


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
