"""Let pyluxcore load on machines without libatomic1, where nobody may install it.

The wheel names libatomic.so.1 as needed, yet imports no symbol from it (`nm -D` shows none), so
any loaded library of that name satisfies the loader. Where the system has none, we write an
empty one: an ELF image of a few hundred bytes that holds a name and nothing else.
"""

from __future__ import annotations

import ctypes
import platform
import struct
import tempfile
from pathlib import Path

_NAME = "libatomic.so.1"
_MACHINES = {"x86_64": 62, "aarch64": 183}


def empty_library(soname: str, machine: str) -> bytes:
    """Return a minimal 64-bit ELF shared library without symbols, called ``soname``."""
    strings = b"\0" + soname.encode("ascii") + b"\0"
    header_size, program_size, programs = 64, 56, 2
    symbols_at = header_size + program_size * programs
    symbols = bytes(24)  # the obligatory null symbol
    hash_at = symbols_at + len(symbols)
    hash_table = struct.pack("<4I", 1, 1, 0, 0)  # one bucket, one chain, both empty
    strings_at = hash_at + len(hash_table)
    dynamic_at = (strings_at + len(strings) + 7) // 8 * 8
    entries = (
        (14, 1),  # DT_SONAME
        (4, hash_at),  # DT_HASH
        (5, strings_at),  # DT_STRTAB
        (6, symbols_at),  # DT_SYMTAB
        (10, len(strings)),  # DT_STRSZ
        (11, 24),  # DT_SYMENT
        (0, 0),  # DT_NULL
    )
    dynamic = b"".join(struct.pack("<qQ", *entry) for entry in entries)
    size = dynamic_at + len(dynamic)
    ident = b"\x7fELF" + bytes((2, 1, 1)) + bytes(9)
    header = ident + struct.pack(
        "<HHIQQQIHHHHHH", 3, _MACHINES[machine], 1, 0, 64, 0, 0, 64, program_size, programs, 0, 0, 0
    )
    load = struct.pack("<IIQQQQQQ", 1, 6, 0, 0, 0, size, size, 0x1000)
    pointer = struct.pack(
        "<IIQQQQQQ", 2, 6, dynamic_at, dynamic_at, dynamic_at, len(dynamic), len(dynamic), 8
    )
    body = header + load + pointer + symbols + hash_table + strings
    return body.ljust(dynamic_at, b"\0") + dynamic


def ensure() -> str:
    """Make libatomic loadable and return how: ``system``, ``stub`` or ``none`` (not Linux)."""
    if platform.system() != "Linux" or platform.machine() not in _MACHINES:
        return "none"
    try:
        ctypes.CDLL(_NAME, mode=ctypes.RTLD_GLOBAL)
    except OSError:
        with tempfile.TemporaryDirectory(prefix="karst-") as folder:
            stub = Path(folder) / _NAME
            stub.write_bytes(empty_library(_NAME, platform.machine()))
            # Once mapped the file may go; the loader matches later needs by its name.
            ctypes.CDLL(str(stub), mode=ctypes.RTLD_GLOBAL)
        return "stub"
    return "system"
