"""What every program of ours that stays does first: own its folder, and write structured lines."""

from __future__ import annotations

import contextlib
import fcntl
import logging
from typing import TYPE_CHECKING, TextIO

import structlog

from fenglin.errors import ConflictError, InputError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from structlog.typing import EventDict, Processor, WrappedLogger


@contextlib.contextmanager
def owned(folder: Path, who: str) -> Iterator[None]:
    """Hold a folder for this process alone: of two on one folder, both would act.

    Args:
        folder: Made if it is missing, readable by its owner only.
        who: What runs on it, `hub` or `agent`; it locks the file `who.lock`.

    Raises:
        ConflictError: another one runs on it.
        UnavailableError: it cannot be used.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (folder / f"{who}.lock").open("w")
    except OSError as error:
        raise UnavailableError(
            f"cannot use the data folder: {error.strerror}",
            where=str(folder),
            hint="check that it can be written and the disk is not full",
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConflictError(
                f"another {who} is running on this data folder",
                where=str(folder),
                hint="stop it first, or choose another folder with --data",
            ) from None
        yield


def log_to(stream: TextIO, level: str, where: str) -> None:
    """Write structured lines: JSON for machines, aligned text on a terminal.

    Args:
        stream: Where to.
        level: A name of the logging module's, in any case.
        where: The setting that says the level, for the message.

    Raises:
        InputError: no such level.
    """
    levels = logging.getLevelNamesMapping()
    if level.upper() not in levels:
        raise InputError(f"unknown log level {level!r}", where=where, hint="debug, info, …")
    ending: list[Processor] = (
        [_disarmed, structlog.dev.ConsoleRenderer()]
        if stream.isatty()
        else [structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            *ending,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(levels[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=True,
    )


def _disarmed(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    """Escape what a terminal would obey: words of callers and of sites stand in the lines."""
    return {key: _escaped(one) if isinstance(one, str) else one for key, one in line.items()}


def _escaped(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        # Tracebacks have lines; in all other values the renderer escapes line breaks itself.
        char if char.isprintable() or char in "\n\t" else ascii(char)[1:-1]
        for char in text
    )
