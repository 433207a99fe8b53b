"""Answers of clouds, read so far and no further: their own libraries would read without end.

Both stand on urllib3, and take a body as a stream of pieces. What is asked within `counted`, such
as all pages of a listing, is one answer.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fenglin.remote import answers

if TYPE_CHECKING:
    from collections.abc import Iterator

_PIECE_BYTES = 2**16


@dataclass(slots=True)
class _Count:
    """How much has been answered, by which site."""

    where: str
    taken_bytes: int = 0


_COUNT: ContextVar[_Count | None] = ContextVar("fenglin_cloud_count", default=None)


@contextmanager
def counted(where: str) -> Iterator[None]:
    """Take all that is answered within as one answer; inside another such block as part of it.

    Args:
        where: Which site, for the error.
    """
    if _COUNT.get() is not None:
        yield
        return
    token = _COUNT.set(_Count(where))
    try:
        yield
    finally:
        _COUNT.reset(token)


class Body:
    """A body of urllib3 that is given up beyond `remote.answers.MOST_BYTES`, all else unchanged.

    What was asked may have been done, also when its answer is given up.
    """

    def __init__(self, raw: Any) -> None:  # noqa: ANN401 - urllib3 is there with an extra only
        """Take the body, of which nothing has been read."""
        self._raw = raw

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever urllib3 has
        """Return what is no part of reading."""
        return getattr(self._raw, name)

    def stream(
        self, amt: int | None = _PIECE_BYTES, *, decode_content: bool | None = None
    ) -> Iterator[bytes]:
        """Yield the body, as urllib3 does.

        Raises:
            DriverError: the answer is longer than the bound.
        """
        count = _COUNT.get() or _Count("a cloud")
        for piece in self._raw.stream(amt or _PIECE_BYTES, decode_content=decode_content):
            count.taken_bytes += len(piece)
            if count.taken_bytes > answers.MOST_BYTES:
                # Never to be used again: the rest of the answer stands in it.
                self._raw.close()
                raise answers.too_long("answer", count.where, effect_unknown=True)
            yield piece

    def read(
        self, amt: int | None = None, *, decode_content: bool | None = None, **_named: object
    ) -> bytes:
        """Return all that is left of the body; libraries read so what they throw away.

        Raises:
            DriverError: the answer is longer than the bound.
        """
        return b"".join(self.stream(amt, decode_content=decode_content))


class BoundedSession:
    """Sends what botocore sends, by its own session, and reads the answers itself."""

    def __init__(self, session: Any) -> None:  # noqa: ANN401 - boto3 is there with an extra only
        """Take the session, with all its certificates, proxies and times."""
        self._session = session

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever botocore has
        """Return what is no part of sending."""
        return getattr(self._session, name)

    def send(self, request: Any) -> Any:  # noqa: ANN401 - botocore's own types
        """Return an answer whose body was read.

        Raises:
            DriverError: the answer is longer than the bound.
        """
        # Nothing is read before the body is ours.
        request.stream_output = True
        answer = self._session.send(request)
        answer.raw = Body(answer.raw)
        # Read now: botocore looks at it later, where it expects no errors.
        _ = answer.content
        return answer


def bound(answer: Any, **_named: object) -> None:  # noqa: ANN401 - types of requests
    """Bound an answer's body; a hook of requests, which reads bodies after its hooks."""
    answer.raw = Body(answer.raw)
