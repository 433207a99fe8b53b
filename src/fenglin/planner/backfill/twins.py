"""Compiled twins of plain Python kernels: the same source, with Numba or without it.

A kernel is an ordinary function over columns: it only indexes them, compares and adds whole
numbers. As it stands it runs on lists; its twin is compiled and runs on NumPy arrays. There is
one text of each decision, so the two cannot differ but by a fault of the compiler, and tests
compare them all the same.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, MutableSequence, Sequence
from types import FunctionType
from typing import Any, TypeAlias

Column: TypeAlias = MutableSequence[int]
Kernel: TypeAlias = Callable[..., Any]


def compiled(kernels: Sequence[Kernel]) -> Mapping[str, Kernel] | None:
    """Return the compiled twin of each kernel by its name; None when there is no Numba.

    Args:
        kernels: Callees before their callers; a kernel calls nothing but kernels before it.
    """
    try:
        import numba  # noqa: PLC0415 - slow, and an extra
    except ImportError:
        return None
    twins: dict[str, Kernel] = {}
    digest = 0
    for kernel in kernels:
        digest = _digest(kernel, digest)
        # The copy sees the twins where the original sees the plain kernels.
        copy = FunctionType(kernel.__code__, {**kernel.__globals__, **twins}, kernel.__name__)
        copy.__module__ = kernel.__module__
        # Numba's cache looks at one file's date only. With what the kernel calls in its name,
        # a change in a callee's file never meets stale machine code.
        copy.__qualname__ = f"{kernel.__qualname__}_{digest:08x}"
        twins[kernel.__name__] = _compile(numba.njit, copy)
    return twins


def _compile(njit: Kernel, function: FunctionType) -> Kernel:
    """Compile with the cache on disk, or without it where no folder can be written."""
    try:
        return njit(cache=True, nogil=True)(function)  # type: ignore[no-any-return]
    except RuntimeError:
        return njit(nogil=True)(function)  # type: ignore[no-any-return]


def _digest(kernel: Kernel, before: int) -> int:
    """Return a number that changes with a kernel's code, given that of those before it.

    The constants that it names count too: they are built into the machine code, and may stand in
    another file.
    """
    code = kernel.__code__
    named = [kernel.__globals__.get(name) for name in code.co_names]
    constants = [one for one in named if isinstance(one, (int, float, str, tuple))]
    text = f"{code.co_consts!r}{code.co_names!r}{code.co_varnames!r}{constants!r}"
    return zlib.crc32(code.co_code + text.encode(), before)
