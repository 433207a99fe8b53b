"""Command lines as getopt_long reads them, and how a command in Slurm's manner begins and ends."""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from fenglin.cli.failure import show_problems
from fenglin.cli.output import safe, write
from fenglin.cli.session import HELP
from fenglin.cli.values import LightCommand
from fenglin.errors import FenglinError, InputError, InputProblems

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

FAILED = 1


class Option(NamedTuple):
    """One option.

    Attributes:
        name: Long name.
        letter: Short form; `-` for none.
        takes: Whether it takes a value.
        text: What it does; empty for one that is taken and makes no difference.
    """

    name: str
    letter: str
    takes: bool
    text: str


class Given(NamedTuple):
    """What a command line says.

    Attributes:
        values: Value of each option by long name, the last one given; empty for a flag.
        operands: What is no option.
    """

    values: dict[str, str]
    operands: list[str]

    def items(self, name: str) -> list[str]:
        """Return the parts of an option that takes a list with commas."""
        return [part.strip() for part in self.values.get(name, "").split(",") if part.strip()]


class Habit(NamedTuple):
    """One command of Slurm.

    Attributes:
        name: As Slurm calls it.
        text: What it does, for its help.
        options: Those that it knows.
        run: Does it and returns the exit code.
        cut: Reads the command line; None for the usual way.
        passed: More options, which it hands on as they are.
    """

    name: str
    text: str
    options: tuple[Option, ...]
    run: Callable[[Given], int]
    cut: Callable[[Sequence[str], Sequence[Option]], Given] | None = None
    passed: tuple[Option, ...] = ()


COMMON = """
hub - = the hub to ask
version V - show the version
help - - show this text
usage - - show this text
"""


def options(table: str) -> tuple[Option, ...]:
    """Return the options of a table with a line `name letter =|- text` for each."""
    rows = (line.split(None, 3) for line in (table + COMMON).splitlines() if line)
    return tuple(
        Option(row[0], row[1], row[2] == "=", row[3] if len(row) > 3 else "") for row in rows
    )


def cut(words: Sequence[str], known: Sequence[Option]) -> Given:
    """Cut words into options and operands; beginnings of long names count when unambiguous.

    Raises:
        InputError: an option is unknown, ambiguous, or lacks its value.
    """
    given = Given({}, [])
    left = list(reversed(words))
    letters = {one.letter: one for one in known if one.letter != "-"}
    while left:
        word = left.pop()
        if word == "--":
            given.operands.extend(reversed(left))
            break
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            option = _named(name, known)
            if equals and not option.takes:
                raise InputError(f"option '--{option.name}' takes no value")
            given.values[option.name] = value if equals else _value(option, left)
        elif word.startswith("-") and len(word) > 1:
            _short(word[1:], letters, left, given)
        else:
            given.operands.append(word)
    return given


def _named(name: str, known: Sequence[Option]) -> Option:
    """Return the option of this name or beginning."""
    found = [one for one in known if one.name == name] or [
        one for one in known if name and one.name.startswith(name)
    ]
    if len(found) == 1:
        return found[0]
    if found:
        several = ", ".join(f"--{one.name}" for one in found)
        raise InputError(f"option '--{name}' is ambiguous", hint=several)
    raise InputError(f"unrecognized option '--{name}'", hint="see --help")


def _short(rest: str, letters: dict[str, Option], left: list[str], given: Given) -> None:
    """Take `-h`, `-hr`, `-j12` or `-j 12`."""
    while rest:
        letter, rest = rest[0], rest[1:]
        option = letters.get(letter)
        if option is None:
            raise InputError(f"invalid option -- '{letter}'", hint="see --help")
        if option.takes and rest:
            given.values[option.name] = rest.removeprefix("=")
            return
        given.values[option.name] = _value(option, left)


def _value(option: Option, left: list[str]) -> str:
    """Take the next word for an option that needs one."""
    if not option.takes:
        return ""
    if not left:
        raise InputError(f"option '--{option.name}' requires an argument")
    return left.pop()


class _Words(LightCommand):
    """A command whose words are all its own business."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - Typer's type is private
        """Hand all words over as they are."""
        ctx.params["words"] = list(args)
        return []


def app_of(habit: Habit) -> typer.Typer:
    """Return the app of a command."""

    def command(words: list[str], **_declared: object) -> None:
        raise typer.Exit(run(habit, words or []))  # Typer makes no words None

    _declare(command, (*habit.options, *habit.passed))
    app = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings=HELP)
    app.command(habit.name, cls=_Words, help=habit.text)(command)
    return app


def _declare(command: Any, known: Sequence[Option]) -> None:  # noqa: ANN401 - any function
    """Tell Typer the options, which completion and whoever checks command lines ask for."""
    kinds: dict[str, Any] = {"words": Annotated[list[str], typer.Argument()]}
    for number, one in enumerate(known):
        names = [f"--{one.name}", *([f"-{one.letter}"] if one.letter != "-" else [])]
        kind = str if one.takes else bool
        kinds[f"option_{number}"] = Annotated[kind, typer.Option(*names, help=one.text)]
    command.__annotations__ = kinds
    command.__signature__ = inspect.Signature(
        [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=inspect.Parameter.empty if name == "words" else None,
                annotation=kind,
            )
            for name, kind in kinds.items()
        ]
    )


def run(habit: Habit, words: Sequence[str]) -> int:
    """Run a command; every failure is told as Slurm tells it, and ends with 1."""
    try:
        given = (habit.cut or cut)(words, habit.options)
        if {"help", "usage"} & given.values.keys():
            write(help_of(habit))
            return 0
        if "version" in given.values:
            from fenglin import __version__  # noqa: PLC0415 - only here

            write(f"fenglin {__version__}\n")
            return 0
        return habit.run(given)
    except InputProblems as error:
        show_problems(error, sys.stderr)
        return FAILED
    except FenglinError as error:
        tell(habit.name, str(error))
        return FAILED


def tell(name: str, text: str) -> None:
    """Write an error to standard error."""
    sys.stderr.write(f"{name}: error: {safe(text)}\n")


def help_of(habit: Habit) -> str:
    """Return the help of a command."""
    lines = [f"Usage: fenglin {habit.name} [OPTIONS]\n", f"  {habit.text}\n", "Options:"]
    for one in habit.options:
        if one.text:
            short = "    " if one.letter == "-" else f"-{one.letter}, "
            name = f"{short}--{one.name}{'=…' if one.takes else ''}"
            lines.append(f"  {name:<26} {one.text}")
    unread = [f"--{one.name}" for one in habit.options if not one.text]
    if unread:
        lines.append(f"\nTaken, and of no effect here: {' '.join(unread)}")
    return "\n".join(lines) + "\n"
