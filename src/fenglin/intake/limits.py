"""Limits of documents, shared by all readers: what bounds the time any input can cost."""

from __future__ import annotations

from fenglin.errors import LimitError

MAX_DOCUMENT_BYTES = 2**20
MAX_BATCH_BYTES = 32 * 2**20
MAX_BATCH_JOBS = 50_000
MAX_FILE_JOBS = 1_000
MAX_DEPTH = 64
MAX_NODES = 100_000
MAX_DIGITS = 40


def check_size(size_bytes: int, limit_bytes: int, source: str) -> None:
    """Refuse a text that is too long.

    Raises:
        LimitError: it is.
    """
    if size_bytes > limit_bytes:
        raise LimitError(
            f"the document has {size_bytes} bytes, at most {limit_bytes} are read",
            where=source,
            hint="put large data into files",
        )
