"""What the door says: one JSON encoder, and every failure as an `ErrorView`."""

from __future__ import annotations

import secrets
from http import HTTPStatus
from typing import Generic, NamedTuple, TypeVar

import msgspec
import structlog
from litestar.exceptions import HTTPException
from msgspec import Struct

from fenglin.errors import DeniedError, FenglinError, InputProblems
from fenglin.wire.views import ErrorView, ProblemView

T = TypeVar("T")
Headers = list[tuple[bytes, bytes]]

ENCODER = msgspec.json.Encoder()
JSON_TYPE = b"application/json"
RETRY_AFTER_S = b"1"
MAX_PROBLEMS = 100

# Answers are data for programs and may be confidential: never sniffed, stored, framed or run.
SECURITY_HEADERS: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
]

_log = structlog.get_logger("fenglin.api")


class Items(Struct, Generic[T], frozen=True):
    """A whole list, not paged.

    Attributes:
        items: In the order given or natural to them.
    """

    items: list[T]


class RequestTimeoutError(FenglinError):
    """The client was too slow in sending its body."""

    code = "too_slow"
    http_status = 408


class EncodingError(FenglinError):
    """The body comes in an encoding that the door does not undo."""

    code = "encoding_not_supported"
    http_status = 415


class Failure(NamedTuple):
    """An error, ready to be sent.

    Attributes:
        status: HTTP status.
        headers: Those that belong to this status, such as `Retry-After`.
        view: The body.
    """

    status: int
    headers: Headers
    view: ErrorView


def failure_of(error: BaseException, *, place: str) -> Failure:
    """Translate any exception. The unforeseen is logged whole and shown as a number only.

    Args:
        error: What was raised.
        place: Method and path, for the log.
    """
    if isinstance(error, FenglinError):
        if error.http_status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            _log.warning("request failed", place=place, code=error.code, error=str(error))
        return _known(error)
    if isinstance(error, HTTPException) and error.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
        return _from_router(error, place)
    incident = secrets.token_hex(6)
    _log.error("request broke", place=place, incident=incident, exc_info=error)
    view = ErrorView(
        code="internal",
        what="the hub failed to serve this request",
        where=f"incident {incident}",
        hint="the hub's log tells more under this incident number; send it to the operator",
    )
    return Failure(HTTPStatus.INTERNAL_SERVER_ERROR, [], view)


def _known(error: FenglinError) -> Failure:
    headers: Headers = []
    if error.http_status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS):
        headers.append((b"retry-after", RETRY_AFTER_S))
    if isinstance(error, DeniedError) and error.http_status == HTTPStatus.UNAUTHORIZED:
        headers.append((b"www-authenticate", b'Bearer realm="fenglin"'))
    problems: list[ProblemView] = []
    if isinstance(error, InputProblems):
        problems = [
            ProblemView(problem.path, problem.what, problem.hint, problem.line, problem.column)
            for problem in error.problems[:MAX_PROBLEMS]
        ]
    view = ErrorView(error.code, error.what, error.where, error.hint, problems)
    return Failure(error.http_status, headers, view)


_ROUTER_WORDS = {
    HTTPStatus.NOT_FOUND: ("not_found", "no such route", "GET /openapi.json lists all routes"),
    HTTPStatus.METHOD_NOT_ALLOWED: (
        "method_not_allowed",
        "this route does not take this method",
        "GET /openapi.json lists all routes",
    ),
}


def _from_router(error: HTTPException, place: str) -> Failure:
    status = HTTPStatus(error.status_code)
    code, what, hint = _ROUTER_WORDS.get(status, ("bad_input", status.phrase.lower(), ""))
    said = {name.lower(): value for name, value in (error.headers or {}).items()}
    taken = sorted(set(said.get("allow", "").replace(" ", "").split(",")) - {"", "OPTIONS"})
    headers = [(b"allow", ", ".join(taken).encode())] if taken else []
    return Failure(status, headers, ErrorView(code, what, where=place, hint=hint))


def encode(view: object) -> bytes:
    """Return the JSON text of a view.

    Text that came from outside may hold lone surrogates, which UTF-8 cannot carry; they
    become question marks rather than a broken answer.
    """
    try:
        return ENCODER.encode(view)
    except UnicodeEncodeError:
        return ENCODER.encode(_mended(msgspec.to_builtins(view)))


def _mended(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_mended(key): _mended(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_mended(item) for item in value]
    return value
