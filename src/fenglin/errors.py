"""The one exception tree of Fenglin.

    FenglinError
    ├── InputError            what was given is wrong          HTTP 400   exit 2
    │   └── InputProblems     many wrong things, found at once HTTP 400   exit 2
    ├── DeniedError           who you are is not enough        HTTP 401/403 exit 4
    ├── NotFoundError         no such object (or not yours)    HTTP 404   exit 3
    ├── ConflictError         it contradicts what is there     HTTP 409   exit 5
    ├── LimitError            too large or too many            HTTP 413/429 exit 2
    ├── UnavailableError      hub, site or disk cannot serve   HTTP 503   exit 6
    │   ├── StaleEpochError   another leader has taken over    HTTP 503   exit 6
    │   └── KeyMissingError   the key of a secret is missing   HTTP 503   exit 6
    ├── DriverError           a site refused or failed         HTTP 502   exit 6
    └── DamageError           stored data contradicts itself   HTTP 500   exit 7

Errors of libraries are translated into these at the boundary where they arise, so that
every error a user meets says what is wrong, where, and what to do.
"""

from __future__ import annotations

from dataclasses import dataclass


class FenglinError(Exception):
    """Base of all errors that Fenglin raises on purpose.

    Attributes:
        what: One sentence that says what is wrong.
        where: The place: a file with line and column, a JSON path, a site, a row. May be empty.
        hint: What to do about it. May be empty.
    """

    code = "error"
    http_status = 500
    exit_code = 1

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        """Keep the three parts apart, so that each surface can lay them out."""
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        """Return `where: what (hint)` on one line."""
        head = f"{self.where}: {self.what}" if self.where else self.what
        return f"{head} ({self.hint})" if self.hint else head


class InputError(FenglinError):
    """What the caller gave is wrong; a retry with the same input cannot help."""

    code = "bad_input"
    http_status = 400
    exit_code = 2


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a document.

    Attributes:
        path: Dotted path of the field, such as `resources.memory`; empty for the document.
        what: What is wrong.
        hint: What to do, for example the nearest known field name. May be empty.
        line: 1-based line in the source text, 0 when the source has no text position.
        column: 1-based column, 0 when unknown.
    """

    path: str
    what: str
    hint: str = ""
    line: int = 0
    column: int = 0


class InputProblems(InputError):  # noqa: N818 - it is a list of problems, named as users see it
    """Everything that is wrong in one document, reported at once."""

    code = "bad_document"

    def __init__(self, source: str, problems: tuple[Problem, ...]) -> None:
        """Take the name of the source (a file name or `request body`) and its problems."""
        count = len(problems)
        super().__init__(f"{count} problem{'s' if count != 1 else ''} found", where=source)
        self.source = source
        self.problems = problems


class DeniedError(FenglinError):
    """The caller is unknown (`http_status` 401) or may not do this (403)."""

    code = "denied"
    http_status = 403
    exit_code = 4

    def __init__(
        self, what: str, *, where: str = "", hint: str = "", http_status: int = 403
    ) -> None:
        """Take the status, since 401 (log in) and 403 (never) ask for different remedies."""
        super().__init__(what, where=where, hint=hint)
        self.http_status = http_status


class NotFoundError(FenglinError):
    """No such object, or one that the caller may not see: the two answer alike."""

    code = "not_found"
    http_status = 404
    exit_code = 3


class ConflictError(FenglinError):
    """The request contradicts the present state, such as a reused idempotency key."""

    code = "conflict"
    http_status = 409
    exit_code = 5


class LimitError(FenglinError):
    """Too large (413) or too many (429)."""

    code = "over_limit"
    http_status = 413
    exit_code = 2

    def __init__(
        self, what: str, *, where: str = "", hint: str = "", http_status: int = 413
    ) -> None:
        """Take the status, 413 for size and 429 for rate or count."""
        super().__init__(what, where=where, hint=hint)
        self.http_status = http_status


class UnavailableError(FenglinError):
    """The hub, its disk or a site cannot serve now; a later retry may succeed."""

    code = "unavailable"
    http_status = 503
    exit_code = 6


class StaleEpochError(UnavailableError):
    """A write carried an epoch older than the leader's: another hub has taken over."""

    code = "stale_epoch"


class KeyMissingError(UnavailableError):
    """The key that seals a value is not among the hub's keys; its operators can put it back.

    Attributes:
        key: Its id.
    """

    code = "key_missing"

    def __init__(self, what: str, *, where: str = "", hint: str = "", key: str = "") -> None:
        """Take which key it is."""
        super().__init__(what, where=where, hint=hint)
        self.key = key


class DriverError(FenglinError):
    """A site refused a call or failed in it.

    Attributes:
        effect_unknown: True when the outside effect may have happened nevertheless, so that
            the caller must look the key up before any retry.
        reason: Value of the `Reason` that a refusal amounts to; empty where none fits.
    """

    code = "site_error"
    http_status = 502
    exit_code = 6

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        hint: str = "",
        effect_unknown: bool = False,
        reason: str = "",
    ) -> None:
        """Record whether the effect may have happened, and what a refusal amounts to."""
        super().__init__(what, where=where, hint=hint)
        self.effect_unknown = effect_unknown
        self.reason = reason


class DamageError(FenglinError):
    """Stored data contradicts itself: a broken hash chain, an unbalanced entry."""

    code = "damaged"
    http_status = 500
    exit_code = 7
