"""A walk over a foreign document in which no field can be overlooked.

Whoever takes a key answers for it. What nobody has taken when `rest` is called is noted as lost,
so that a field which we have never heard of is named and not dropped in silence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from fenglin.intake.dialects.notes import NOWHERE
from fenglin.intake.report import describe, path_text
from fenglin.intake.words import number_word

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fenglin.intake.dialects.notes import Draft
    from fenglin.intake.report import Mark, Path, Place

_TRUTHS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


class Branch:
    """One mapping of a document, with what is still untaken of it.

    Attributes:
        draft: Takes notes and problems.
        path: Where the mapping stands.
    """

    __slots__ = ("_left", "_marks", "draft", "path")

    def __init__(self, value: object, path: Path, marks: Mapping[Path, Mark], draft: Draft) -> None:
        """Begin with everything untaken."""
        self.draft = draft
        self.path = path
        self._marks = marks
        self._left: dict[str, object] = {}
        if type(value) is dict:
            self._left = dict(cast("dict[str, object]", value))
        elif value is not None:
            what = f"expected a mapping, found {describe(value)}"
            draft.problem(self.place(), path_text(path), what)

    def __contains__(self, key: str) -> bool:
        """Return whether a key is there and not empty."""
        return self._left.get(key) is not None

    def __iter__(self) -> Iterator[str]:
        """Iterate over the keys that are left."""
        return iter(tuple(self._left))

    def place(self, *key: str | int) -> Place:
        """Return where the value of a key stands, or the mapping itself."""
        path = (*self.path, *key)
        while path and path not in self._marks:
            path = path[:-1]
        mark = self._marks.get(path)
        return mark.value if mark else NOWHERE

    def name(self, *key: str | int) -> str:
        """Return the dotted name of a key."""
        return path_text((*self.path, *key))

    def take(self, key: str) -> object:
        """Return the value of a key, which is then answered for; None when it is not there."""
        return self._left.pop(key, None)

    def branch(self, key: str) -> Branch:
        """Return the mapping below a key; an empty one when it is not there."""
        return self.below(key, self.take(key))

    def below(self, key: str, value: object) -> Branch:
        """Return a mapping that was taken from a key already."""
        return Branch(value, (*self.path, key), self._marks, self.draft)

    def items(self, key: str) -> list[object]:
        """Return the list below a key; an empty one when it is not there."""
        value = self.take(key)
        if value is None:
            return []
        if type(value) is not list:
            self.wrong(key, value, "a list")
            return []
        return value

    def branches(self, key: str) -> list[Branch]:
        """Return the mappings of the list below a key."""
        return [
            Branch(item, (*self.path, key, index), self._marks, self.draft)
            for index, item in enumerate(self.items(key))
        ]

    def word(self, key: str) -> str | None:
        """Return a text; a number or truth value as it would be written."""
        value = self.take(key)
        if value is None or type(value) is str:
            return value
        if type(value) is bool:
            return "true" if value else "false"
        number = number_word(value)
        if number is None:
            self.wrong(key, value, "a text")
        return number

    def words(self, key: str) -> list[str]:
        """Return a list of texts."""
        found = []
        for index, item in enumerate(self.items(key)):
            text = item if type(item) is str else number_word(item)
            if text is None:
                what = f"expected a text, found {describe(item)}"
                self.draft.problem(self.place(key, index), self.name(key, index), what)
            else:
                found.append(text)
        return found

    def pairs(self, key: str) -> dict[str, str]:
        """Return the mapping of texts below a key."""
        inner = self.branch(key)
        found = {}
        for name in inner:
            text = inner.word(name)
            if text is not None:
                found[name] = text
        return found

    def whole(self, key: str) -> int | None:
        """Return a whole number that is not negative."""
        value = self.take(key)
        if value is None:
            return None
        if type(value) is str and value.isascii() and value.isdecimal() and len(value) < 19:
            return int(value)
        if type(value) is int and value >= 0:
            return value
        self.wrong(key, value, "a whole number")
        return None

    def truth(self, key: str) -> bool | None:
        """Return a truth value, in any spelling of YAML 1.1."""
        value = self.take(key)
        if value is None or type(value) is bool:
            return value
        if type(value) is str and value.lower() in _TRUTHS:
            return _TRUTHS[value.lower()]
        self.wrong(key, value, "true or false")
        return None

    def wrong(self, key: str, value: object, wanted: str) -> None:
        """Note that a value is not what the field takes."""
        what = f"expected {wanted}, found {describe(value)}"
        self.draft.problem(self.place(key), self.name(key), what)

    def lost(self, key: str, text: str) -> None:
        """Note a key of this mapping as lost."""
        self.draft.lost(self.place(key), self.name(key), text)

    def approximated(self, key: str, text: str) -> None:
        """Note a key of this mapping as approximated."""
        self.draft.approximated(self.place(key), self.name(key), text)

    def ignored(self, key: str, text: str) -> None:
        """Note a key of this mapping as ignored."""
        self.draft.ignored(self.place(key), self.name(key), text)

    def put(self, path: Path, value: object, key: str) -> None:
        """Set a native field from a key of this mapping."""
        self.draft.put(path, value, self.place(key))

    def rest(
        self, lost: Mapping[str, str] | None = None, ignored: Mapping[str, str] | None = None
    ) -> None:
        """Note everything that nobody has taken.

        Args:
            lost: What to say of keys that are known to be lost.
            ignored: What to say of keys that make no difference.
        """
        for key, value in self._left.items():
            if value is None:
                continue
            if ignored and key in ignored:
                self.ignored(key, ignored[key])
            else:
                text = (lost or {}).get(key, "there is nothing like it here")
                self.lost(key, text)
        self._left.clear()


def number(text: str) -> int | str:
    """Return a whole number as one, any other text as it is."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else text
