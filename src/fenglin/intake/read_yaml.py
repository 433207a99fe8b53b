"""The YAML reader: YAML 1.2 core scalars, positions, and bounds on what aliases may unfold to.

Built on the parser's events, since they come one by one: nothing is built beyond the limits,
and no tag ever names a Python object. Differences from a usual YAML 1.1 loader, on purpose:
only `true` and `false` are truth values, `1:30` and dates are texts, a number with a leading
zero is a text (it is neither octal nor without its zero), and merge keys are unknown fields.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

import yaml

from fenglin.errors import Problem
from fenglin.intake.limits import MAX_DEPTH, MAX_DIGITS, MAX_FILE_JOBS, MAX_NODES
from fenglin.intake.report import HugeNumber, Mark, Place, Tree, path_text, show

if TYPE_CHECKING:
    from fenglin.intake.report import Path

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUTH = {
    "true": True, "True": True, "TRUE": True,
    "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(
    r"[-+]?(?:(?:0|[1-9][0-9]*)?\.[0-9]+|(?:0|[1-9][0-9]*)\.?)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_STR_TAG = "tag:yaml.org,2002:str"
# Below these, a plain number stays as it is written: `VERSION: 1.10` means the text 1.10.
# No native job has `envs`; tasks of SkyPilot do.
_TEXT_MAPS = ("env", "envs", "labels", "require")
_MAX_PROBLEMS = 64


class _StopError(Exception):
    """Nothing further is read."""


class _Frame:
    """An open mapping or sequence."""

    __slots__ = (
        "anchor",
        "kept",
        "key",
        "key_place",
        "keys",
        "live",
        "nodes_before",
        "path",
        "value",
    )

    def __init__(
        self, value: object, path: Path, anchor: str | None, nodes: int, *, live: bool
    ) -> None:
        self.value = value
        self.path = path
        self.anchor = anchor
        self.nodes_before = nodes
        self.key: str | None = None
        self.key_place = Place(0, 0)
        self.keys: dict[str, Place] = {}
        self.kept = True  # whether the present key is the first of its name
        self.live = live  # whether this collection itself is part of the result


class _Builder:
    """Turns events into trees, one per document."""

    def __init__(self) -> None:
        self.trees: list[Tree] = []
        self.nodes = 0
        self.reset()

    def reset(self) -> None:
        """Begin a document: anchors do not reach over its end."""
        self.stack: list[_Frame] = []
        self.marks: dict[Path, Mark] = {}
        self.problems: list[Problem] = []
        self.anchors: dict[str, tuple[object, int]] = {}
        self.root: object = None

    def feed(self, event: yaml.Event) -> None:
        """Take the next event."""
        if isinstance(event, yaml.ScalarEvent):
            self.scalar(event)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            self.open(event)
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self.close()
        elif isinstance(event, yaml.AliasEvent):
            self.alias(event)
        elif isinstance(event, yaml.DocumentEndEvent):
            if self.root is not None or self.problems:
                self.trees.append(Tree(self.root, self.marks, tuple(self.problems)))
            self.reset()
            if len(self.trees) > MAX_FILE_JOBS:
                self.stop(event, f"more than {MAX_FILE_JOBS} documents", "split the file")

    def note(self, path: Path, place: Place, what: str, hint: str) -> None:
        """Add a problem that does not keep the rest from being read."""
        if len(self.problems) < _MAX_PROBLEMS:
            self.problems.append(Problem(path_text(path), what, hint, *place))

    def stop(self, event: yaml.Event, what: str, hint: str) -> None:
        """Give up with a problem."""
        self.problems.append(Problem("", what, hint, *_place(event)))
        raise _StopError

    def count(self, event: yaml.Event, more: int) -> None:
        """Count values, those behind an alias each time it is used."""
        self.nodes += more
        if self.nodes > MAX_NODES:
            hint = "aliases count as what they stand for; put large data into files"
            self.stop(event, f"more than {MAX_NODES} values", hint)

    def scalar(self, event: yaml.ScalarEvent) -> None:
        """Take a scalar: a key of the open mapping, or a value."""
        self.count(event, 1)
        frame = self.stack[-1] if self.stack else None
        if frame is not None and isinstance(frame.value, dict) and frame.key is None:
            self.tag(event)
            self.key(frame, event.value, _place(event))
            return
        path = self.next_path()
        text_map = len(path) == 2 and path[0] in _TEXT_MAPS
        value = _resolve(event, text_map=text_map)
        self.tag(event)
        if event.anchor:
            self.anchors[event.anchor] = (value, 1)
        self.mark(path, _place(event))
        self.put(value)

    def key(self, frame: _Frame, key: str, place: Place) -> None:
        """Take a key; of equal ones the first counts."""
        frame.key, frame.key_place = key, place
        first = frame.keys.setdefault(key, place)
        frame.kept = first is place
        if not frame.kept:
            what = f"the key {show(key)} stands twice"
            self.note((*frame.path, key), place, what, f"first in line {first.line}; keep one")

    def next_path(self) -> Path:
        """Return the path of the value that comes next."""
        if not self.stack:
            return ()
        frame = self.stack[-1]
        if isinstance(frame.value, list):
            return (*frame.path, len(frame.value))
        return (*frame.path, frame.key or "")

    def live(self) -> bool:
        """Return whether the next value is kept: no key around it is a repeated one."""
        return not self.stack or (self.stack[-1].live and self.stack[-1].kept)

    def mark(self, path: Path, place: Place) -> None:
        """Note where the next value and its key stand."""
        if self.live():
            frame = self.stack[-1] if self.stack else None
            keyed = frame is not None and isinstance(frame.value, dict)
            self.marks[path] = Mark(frame.key_place if frame and keyed else Place(0, 0), place)

    def put(self, value: object) -> None:
        """Place a value into the open collection."""
        if not self.stack:
            self.root = value
            return
        frame = self.stack[-1]
        if isinstance(frame.value, list):
            frame.value.append(value)
        elif isinstance(frame.value, dict) and frame.key is not None:
            if frame.kept:
                frame.value[frame.key] = value
            frame.key = None
            frame.kept = True

    def open(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent) -> None:
        """Begin a collection."""
        if len(self.stack) >= MAX_DEPTH:
            self.stop(event, f"nested deeper than {MAX_DEPTH}", "no field needs that")
        self.count(event, 1)
        self.tag(event)
        frame = self.stack[-1] if self.stack else None
        if frame is not None and isinstance(frame.value, dict) and frame.key is None:
            self.stop(event, "a key that is a list or mapping", "keys are plain words")
        path = self.next_path()
        value: object = {} if isinstance(event, yaml.MappingStartEvent) else []
        self.mark(path, _place(event))
        live = self.live()
        self.stack.append(_Frame(value, path, event.anchor, self.nodes - 1, live=live))

    def close(self) -> None:
        """End the innermost collection."""
        frame = self.stack.pop()
        if frame.anchor:
            self.anchors[frame.anchor] = (frame.value, self.nodes - frame.nodes_before)
        self.put(frame.value)

    def alias(self, event: yaml.AliasEvent) -> None:
        """Take `*name`, which counts as much as what it stands for."""
        place = _place(event)
        path = self.next_path()
        name = event.anchor or ""
        known = self.anchors.get(name)
        if known is None:
            what = f"the alias {show('*' + name)} stands for nothing before it"
            self.stop(event, what, "an anchor must be complete before it is used")
            return
        value, nodes = known
        self.count(event, nodes)
        frame = self.stack[-1] if self.stack else None
        if frame is not None and isinstance(frame.value, dict) and frame.key is None:
            if not isinstance(value, str):
                self.stop(event, "an alias as a key", "keys are plain words")
            self.key(frame, str(value), place)
            return
        self.mark(path, place)
        self.put(value)

    def tag(self, event: yaml.NodeEvent) -> None:
        """Refuse every tag but `!` and `!!str`."""
        tag = getattr(event, "tag", None)
        if tag not in (None, "!", _STR_TAG):
            what = f"the tag {show(tag)}"
            self.note(self.next_path(), _place(event), what, "tags are not used in job files")


def _place(event: yaml.Event) -> Place:
    """Return where an event begins."""
    mark = event.start_mark
    return Place(mark.line + 1, mark.column + 1) if mark else Place(0, 0)


def _resolve(event: yaml.ScalarEvent, *, text_map: bool) -> object:
    """Return the value of a scalar by the core schema of YAML 1.2, less its surprises."""
    text: str = event.value
    if not event.implicit[0] or event.tag is not None:
        return text
    if text in _NULL:
        return None
    if text in _TRUTH:
        return _TRUTH[text]
    whole = _INT.fullmatch(text)
    if whole is None and not _FLOAT.fullmatch(text):
        return text
    if whole and len(text) > MAX_DIGITS:
        return HugeNumber(len(text))
    if text_map and text[-1] not in "fFnN":
        return text
    return int(text) if whole else float(re.sub(r"\.(?=[infaINFA])", "", text))


def read_yaml(text: str) -> list[Tree]:
    """Return one tree per document that is not empty.

    A text that is no YAML ends with a tree whose data is None and whose problem says why.
    """
    builder = _Builder()
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            builder.feed(event)
    except _StopError:
        builder.trees.append(Tree(None, {}, tuple(builder.problems), broken=True))
    except yaml.YAMLError as error:
        problem = _broken(error, text)
        builder.trees.append(Tree(None, {}, (*builder.problems, problem), broken=True))
    return builder.trees


_ADVICE = defaultdict(
    str,
    {
        "mapping values are not allowed in this context": 'quote text that contains ": "',
        "did not find expected key": "check the indentation, and quote text with special signs",
        "did not find expected '-' indicator": "check the indentation of the list",
        "did not find expected node content": "is a bracket not closed?",
        "found unexpected end of stream": "is a quote not closed?",
        "found character that cannot start any token": "indent with blanks, and quote text "
        "that begins with a special sign such as @ ` % or a tab",
        "found invalid Unicode character escape code": "half surrogate pairs are no characters",
    },
)


def _broken(error: yaml.YAMLError, text: str) -> Problem:
    """Return the problem for a parser's error."""
    if isinstance(error, yaml.MarkedYAMLError):
        what = error.problem or "it cannot be read"
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        if error.context:
            what = f"{what} ({error.context})"
        return Problem("", f"broken YAML: {what}", _ADVICE[error.problem or ""], line, column)
    if isinstance(error, yaml.reader.ReaderError) and isinstance(error.position, int):
        before = text[: error.position]
        line = before.count("\n") + 1
        column = len(before) - before.rfind("\n")
        code = error.character if isinstance(error.character, int) else 0
        what = f"the character U+{code:04X} is not allowed"
        return Problem("", f"broken YAML: {what}", "remove it", line, column)
    return Problem("", "broken YAML: it cannot be read")
