"""What went wrong, as the one exception tree: from error bodies and from broken connections."""

from __future__ import annotations

import ssl

import msgspec

from fenglin.errors import (
    ConflictError,
    DamageError,
    DeniedError,
    DriverError,
    FenglinError,
    InputError,
    InputProblems,
    LimitError,
    NotFoundError,
    Problem,
    StaleEpochError,
    UnavailableError,
)
from fenglin.wire.views import ErrorView

# The status tells the kind; a code refines it where one status has several kinds.
_BY_CODE: dict[str, type[FenglinError]] = {
    kind.code: kind
    for kind in (
        ConflictError,
        DamageError,
        DriverError,
        InputError,
        NotFoundError,
        StaleEpochError,
        UnavailableError,
    )
}
_BY_STATUS: dict[int, type[FenglinError]] = {
    400: InputError,
    404: NotFoundError,
    405: InputError,
    408: UnavailableError,
    409: ConflictError,
    422: InputError,
    502: DriverError,
    503: UnavailableError,
    504: UnavailableError,
}
_LOGIN_HINT = (
    "set FENGLIN_TOKEN, or FENGLIN_TOKEN_FILE=DIR/admin.token for a hub on this machine "
    "(DIR is its --data folder)"
)


def error_from(status: int, body: bytes, where: str) -> FenglinError:
    """Return the exception that an error answer stands for.

    Args:
        status: HTTP status, 400 or above.
        body: An `ErrorView` as JSON, or whatever a proxy on the way has written.
        where: Which request, for answers that do not say it themselves.
    """
    try:
        view = msgspec.json.decode(body, type=ErrorView)
    except msgspec.DecodeError:
        view = ErrorView(code="", what=f"the hub answered with HTTP status {status}", where=where)
    if view.problems:
        return _problems(view)
    what, place, hint = view.what, view.where, view.hint
    if status in (401, 403):
        fallback = _LOGIN_HINT if status == 401 else ""
        return DeniedError(what, where=place, hint=hint or fallback, http_status=status)
    if status in (413, 429):
        return LimitError(what, where=place, hint=hint, http_status=status)
    kind = _BY_CODE.get(view.code) or _BY_STATUS.get(status, FenglinError)
    return kind(what, where=place, hint=hint)


def _problems(view: ErrorView) -> InputProblems:
    """Keep every problem of a document with its place."""
    problems = tuple(
        Problem(one.path, one.what, one.hint, one.line, one.column) for one in view.problems
    )
    error = InputProblems(view.where or "request body", problems)
    error.hint = view.hint
    return error


def unreachable(hub: str, cause: OSError) -> UnavailableError:
    """Return the error for a hub to which no connection can be made."""
    if isinstance(cause, ssl.SSLCertVerificationError):
        return UnavailableError(
            f"the certificate of {hub} is not trusted ({cause.verify_message.lower()})",
            where=hub,
            hint="name its authority (a command: SSL_CERT_FILE, an agent: ca under [tls]); "
            "with Python 3.13 or newer certificates must follow RFC 5280 to the letter",
        )
    return UnavailableError(
        f"no hub answers at {hub} ({_words(cause)})",
        where=hub,
        hint="start one with `fenglin hub start`, or name another with FENGLIN_HUB or --hub",
    )


def connection_lost(hub: str, cause: Exception) -> UnavailableError:
    """Return the error for a connection that broke again and again."""
    return UnavailableError(
        f"the connection to the hub broke ({_words(cause)})",
        where=hub,
        hint="look at the hub's log; a repeated command is safe",
    )


def too_slow(hub: str, timeout_s: float) -> UnavailableError:
    """Return the error for a hub that took the request and did not answer."""
    return UnavailableError(
        f"the hub did not answer within {timeout_s:g} s",
        where=hub,
        hint="it may be overloaded or its disk may hang; look at its log",
    )


def _words(cause: Exception) -> str:
    """Return the cause in words, without the class name and the number."""
    text = cause.strerror if isinstance(cause, OSError) else str(cause)
    return (text or str(cause) or type(cause).__name__).lower()
