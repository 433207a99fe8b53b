"""Query strings: each route says which parameters it takes; everything else is refused.

One table serves the parser and the OpenAPI document, so the two cannot differ.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl

from fenglin.catalog.pricebook.items import Unit
from fenglin.errors import InputError
from fenglin.model.job import MAX_TASKS, Mode
from fenglin.model.states import ComputeClass, JobState, SiteState
from fenglin.ports.driver import LOG_CAP_BYTES
from fenglin.ports.hub import Listing

MAX_LIMIT = 1000
MAX_TEXT = 1024
MAX_FIELDS = 200
MAX_WAIT_S = 60
BIGGEST = 2**63 - 1
DEFAULT_LOG_BYTES = 256 * 2**10

_INTEGER = re.compile(r"\d+", re.ASCII)
_NUMBER = re.compile(r"\d+(\.\d+)?", re.ASCII)

Kind = Literal["text", "integer", "number", "boolean"]
Value = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Param:
    """One query parameter.

    Attributes:
        name: As it stands in the query.
        doc: What it does, for people.
        kind: How its text is read.
        default: Value when absent or empty.
        lowest: Least number allowed.
        highest: Greatest number allowed.
        allowed: The only texts allowed; empty for any.
        filters: Whether it filters a listing; it may then be repeated, meaning any of them.
    """

    name: str
    doc: str
    kind: Kind = "text"
    default: Value = ""
    lowest: int = 0
    highest: int = BIGGEST
    allowed: tuple[str, ...] = ()
    filters: bool = False

    def read(self, text: str) -> Value:
        """Return the value that the text stands for.

        Raises:
            InputError: it is not one; says what is allowed.
        """
        if self.kind == "text":
            return self._text(text)
        if self.kind == "boolean":
            if text not in ("true", "false"):
                raise self._wrong(text, "allowed: true, false")
            return text == "true"
        hint = f"allowed: {self.lowest} to {self.highest}"
        # 20 characters hold every allowed number, and keep int() away from long ones.
        form = _INTEGER if self.kind == "integer" else _NUMBER
        if len(text) > 20 or not form.fullmatch(text):
            raise self._wrong(text, hint)
        number = int(text) if self.kind == "integer" else float(text)
        if not self.lowest <= number <= self.highest:
            raise self._wrong(text, hint)
        return number

    def _text(self, text: str) -> str:
        if self.allowed and text not in self.allowed:
            raise self._wrong(text, "allowed: " + ", ".join(self.allowed))
        if len(text) > MAX_TEXT or not text.isprintable():
            raise self._wrong(text, f"allowed: up to {MAX_TEXT} printable characters")
        if self.name == "label" and text.find("=") < 1:
            raise self._wrong(text, "a label filter looks like key=value")
        return text

    def _wrong(self, text: str, hint: str) -> InputError:
        return InputError(
            f"{text[:80]!r} is not a valid {self.name}",
            where=f"query parameter {self.name}",
            hint=hint,
        )


Params = tuple[Param, ...]


@dataclass(frozen=True, slots=True)
class Query:
    """A query, checked.

    Attributes:
        values: Each parameter of the route that is not a filter, with its value or default.
        filters: (field, value) pairs in the order given.
    """

    values: dict[str, Value]
    filters: tuple[tuple[str, str], ...]

    def text(self, name: str) -> str:
        """Return a text parameter."""
        return str(self.values[name])

    def integer(self, name: str) -> int:
        """Return an integer parameter."""
        return int(self.values[name])

    def flag(self, name: str) -> bool:
        """Return a boolean parameter."""
        return bool(self.values[name])

    def listing(self) -> Listing:
        """Return the query of a listing route in the hub's words."""
        values = self.values
        return Listing(
            limit=int(values["limit"]),
            cursor=str(values["cursor"]),
            sort=str(values.get("sort", "")),
            filters=self.filters,
            detail=bool(values.get("detail", False)),
        )


def read_query(raw: bytes, params: Params) -> Query:
    """Return the checked query.

    Raises:
        InputError: a parameter is unknown, given twice, or has a value that is not allowed.
    """
    values: dict[str, Value] = {param.name: param.default for param in params if not param.filters}
    if not raw:
        return Query(values, ())
    known = {param.name: param for param in params}
    filters: list[tuple[str, str]] = []
    seen: set[str] = set()
    for name, text in _pairs(raw):
        param = known.get(name)
        if param is None:
            raise InputError(
                f"this route does not know the query parameter {name[:80]!r}",
                hint="allowed: " + (", ".join(known) or "none"),
            )
        if name in seen and not param.filters:
            raise InputError(f"the query parameter {name} is given twice", hint="give it once")
        seen.add(name)
        if not text:
            continue
        value = param.read(text)
        if param.filters:
            filters.append((name, text))
        else:
            values[name] = value
    return Query(values, tuple(filters))


def _pairs(raw: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            raw.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError:
        raise InputError(
            "the query string cannot be read",
            hint=f"percent-encoded UTF-8, at most {MAX_FIELDS} parameters",
        ) from None


def _sort(*fields: str) -> Param:
    allowed = tuple(sign + field for field in fields for sign in ("", "-"))
    return Param("sort", "Field to sort by; `-` in front for falling order.", allowed=allowed)


_CUT = (
    Param("limit", "Rows per page.", "integer", default=100, lowest=1, highest=MAX_LIMIT),
    Param("cursor", "`next` of the page before; empty for the first page."),
)


def _filter(name: str, doc: str, allowed: tuple[str, ...] = ()) -> Param:
    return Param(name, doc + " Repeat it for any of several.", allowed=allowed, filters=True)


JOBS: Params = (
    _filter("id", "Only these jobs."),
    _filter("state", "Only jobs in this state.", tuple(JobState)),
    _filter("queue", "Only jobs of this queue."),
    _filter("account", "Only jobs of this account."),
    _filter("name", "Only jobs whose name contains this."),
    _filter("label", "Only jobs with this label, as `key=value`."),
    _sort("id", "name", "priority", "state", "submitted_ms"),
    Param(
        "detail",
        "With labels, document, allocations and task sets, as one job alone shows.",
        "boolean",
        default=False,
    ),
    *_CUT,
)
SITES: Params = (
    _filter("state", "Only sites in this state.", tuple(SiteState)),
    _filter("provider", "Only sites of this provider."),
    _filter("driver", "Only sites reached by this driver."),
    _filter("class", "Only sites with a flavor of this compute class.", tuple(ComputeClass)),
    *_CUT,
)
NODES: Params = (
    _filter("site", "Only nodes of this site."),
    _filter("flavor", "Only nodes of this flavor."),
    _filter("up", "Only nodes that are up (or down).", ("true", "false")),
    *_CUT,
)
QUEUES: Params = _CUT
PLANS: Params = _CUT
TRAIL: Params = (
    Param("after", "Only later records.", "integer", default=0),
    Param("limit", "Rows per page.", "integer", default=100, lowest=1, highest=MAX_LIMIT),
    Param("actor", "Only this one's."),
    Param("what", "Only this operation, as `operationId` names it."),
    Param("from_ms", "Only from then on.", "integer", default=0),
)
TOKENS: Params = (
    Param("after", "Only tokens with a higher number.", "integer", default=0),
    Param("limit", "Rows per page.", "integer", default=100, lowest=1, highest=MAX_LIMIT),
)
SECRETS: Params = (Param("account", "Whose; the caller's own when left out."),)
EVENTS: Params = (
    Param("after", "Only events after this sequence number.", "integer", default=0),
    Param("limit", "Most events.", "integer", default=100, lowest=1, highest=MAX_LIMIT),
)
CANCEL: Params = (Param("tasks", "Only these tasks, such as 3-5,9; else the whole job."),)
WAIT: Params = (
    Param(
        "timeout_s", "How long to wait at most.", "number", default=MAX_WAIT_S, highest=MAX_WAIT_S
    ),
)
WATCH: Params = (
    Param("after", "`next` of the answer before; empty to learn where to begin, at once."),
    _filter("id", "Only these jobs."),
    _filter("label", "Only jobs with this label, as `key=value`."),
    *WAIT,
)
LOGS: Params = (
    Param("task", "Index of the task.", "integer", default=0, highest=MAX_TASKS - 1),
    Param("offset", "Byte to read from.", "integer", default=0),
    Param(
        "limit",
        "Most bytes in the answer; with `follow`, in one piece of it.",
        "integer",
        default=DEFAULT_LOG_BYTES,
        lowest=1,
        highest=LOG_CAP_BYTES,
    ),
    Param("follow", "Go on sending until the task has ended.", "boolean", default=False),
)
STATEMENT: Params = (
    Param("account", "Whose statement; may be left out where the token has one account."),
    Param("from_ms", "Start of the period, Unix milliseconds.", "integer", default=0),
    Param("to_ms", "End of the period; 0 for now.", "integer", default=0),
)
CHECKPOINT: Params = (
    Param(
        "fresh",
        "Sign what the ledger is now, instead of returning the last checkpoint.",
        default="false",
        allowed=("true", "false"),
    ),
)
CONSISTENCY: Params = (
    Param("old", "Entries of the earlier checkpoint.", "integer", default=0),
    Param("new", "Entries of the later checkpoint.", "integer", default=0),
)
PRICES: Params = (
    _filter("unit", "Only prices of this unit.", tuple(Unit)),
    _filter("provider", "Only items that name this provider."),
    _filter("site", "Only items that name this site."),
    _filter("region", "Only items that name this region."),
    _filter("flavor", "Only items that name this flavor."),
    _filter("model", "Only items that name this card."),
    _filter("mode", "Only items that name this service mode.", tuple(Mode)),
    Param(
        "every", "Also versions that are no longer, or not yet, in force.", "boolean", default=False
    ),
    *_CUT,
)
PRICE_FILE: Params = (
    Param("format", "Form of the file.", default="fenglin", allowed=("fenglin", "skypilot")),
    Param("source", "Name of the file, for messages.", default="request body"),
    Param("provider", "Whose price list it is, where it does not say so itself."),
    Param("supersede", "Let items end versions that they meet.", "boolean", default=False),
)
BILL: Params = (
    Param("account", "Whose bill; may be left out where the token has one account."),
    Param("period", "Month in the books' zone, such as 2026-11."),
)
VOUCHERS: Params = (
    _filter("pool", "Only of this pool."),
    _filter("account", "Only of this account."),
    _filter("voucher", "Only with this id."),
    *_CUT,
)
AUDIT: Params = (Param("voucher", "Only this voucher, with each of its uses."),)
PERIOD: Params = (Param("period", "Month in the books' zone, such as 2026-11."),)
SETTLEMENTS: Params = (*PERIOD, Param("provider", "Only this provider's."))
EXPORT: Params = (
    Param(
        "format",
        "Form of the export.",
        default="jsonl",
        allowed=("csv", "jsonl", "beancount", "focus"),
    ),
)
