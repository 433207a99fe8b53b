"""Errors as a person reads them: what, where, what to do. Never a traceback."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TextIO

from fenglin.cli.output import safe
from fenglin.errors import InputProblems

if TYPE_CHECKING:
    from typer.exceptions import TyperException

    from fenglin.errors import FenglinError

# One screen of a small terminal, with room for the command line itself.
MAX_PROBLEMS = 20


def show_error(error: FenglinError, to: TextIO) -> None:
    """Write an error in lines; the problems of a document one per line."""
    if isinstance(error, InputProblems):
        show_problems(error, to)
        return
    lines = [f"error: {safe(error.what)}"]
    if error.where and error.where not in error.what:
        lines.append(f"  where: {safe(error.where)}")
    if error.hint:
        lines.append(f"  hint: {safe(error.hint)}")
    to.write("\n".join(lines) + "\n")


def show_problems(error: InputProblems, to: TextIO) -> None:
    """Write `file:line:column: what (hint)` for each problem, at most one screen of them."""
    for problem in error.problems[:MAX_PROBLEMS]:
        place = [safe(error.source)]
        if problem.line:
            place += [str(problem.line), str(problem.column)]
        field = f"{safe(problem.path)}: " if problem.path else ""
        hint = f" ({safe(problem.hint)})" if problem.hint else ""
        to.write(f"{':'.join(place)}: {field}{safe(problem.what)}{hint}\n")
    more = len(error.problems) - MAX_PROBLEMS
    if more > 0:
        to.write(f"… and {more} more\n")
    to.write(f"error: {safe(error.source)}: {error.what}; nothing of it was taken\n")
    if error.hint:
        to.write(f"  hint: {safe(error.hint)}\n")


def show_warning(text: str) -> None:
    """Write a warning to standard error."""
    sys.stderr.write(f"warning: {safe(text)}\n")


def show_usage_error(error: TyperException) -> int:
    """Show a mistake in the command line, and where its help is."""
    context = getattr(error, "ctx", None)
    message = error.format_message()
    if type(error).__name__ == "NoArgsIsHelpError":
        sys.stderr.write(f"{message}\n")
        return error.exit_code
    sys.stderr.write(f"error: {safe(message[:1].lower() + message[1:].rstrip('.'))}\n")
    if context is not None:
        sys.stderr.write(f"  hint: see `{context.command_path} --help`\n")
    return error.exit_code
