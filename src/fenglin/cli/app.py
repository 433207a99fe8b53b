"""The root: loads the command asked for, runs it, turns every failure into a message."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

import typer
from typer.exceptions import Abort, TyperException
from typer.main import get_command

from fenglin.cli.commands import COMMANDS, root_help
from fenglin.cli.failure import show_error, show_usage_error
from fenglin.cli.output import finish_output
from fenglin.cli.values import LightGroup
from fenglin.errors import FenglinError

if TYPE_CHECKING:
    from collections.abc import Sequence

INTERRUPTED = 130


class LazyGroup(LightGroup):
    """A group whose commands are modules, each imported when it is used."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401, ARG002 - Typer's own type is private
        """Return the names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401, ARG002 - see above
        """Import a command's module and return the command."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        if cmd_name not in self.commands:
            command = get_command(import_module(entry.module).app)
            command.name = cmd_name
            self.add_command(command, cmd_name)
        return self.commands[cmd_name]

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401 - see above
        """Find a command; name the nearest ones when there is no such."""
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches  # noqa: PLC0415 - only for a typing error

            near = get_close_matches(args[0], COMMANDS)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(COMMANDS)}"
            raise _no_command(args[0], hint)
        return super().resolve_command(ctx, args)

    def get_help(self, ctx: Any) -> str:  # noqa: ANN401, ARG002 - see above
        """Return the same text that the quick way prints."""
        return root_help().rstrip("\n")


def root(*, completion: bool) -> typer.Typer:
    """Return the app of `fenglin` itself.

    Args:
        completion: Whether it has the options for shell completion, whose making is slow.
    """
    app = typer.Typer(
        name="fenglin",
        cls=LazyGroup,
        add_completion=completion,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    def keep_group() -> None:
        """Take no options but help and completion."""

    app.callback()(keep_group)
    return app


def run(words: Sequence[str]) -> int:
    """Run one command line; print failures as messages.

    Returns:
        The exit code, as docs/reference/cli.md lists them.
    """
    try:
        code = _run(words)
    except KeyboardInterrupt:
        code = INTERRUPTED
    return finish_output(code)


def _run(words: Sequence[str]) -> int:
    """Run one command line; only what nobody foresaw comes out as an exception."""
    try:
        app = get_command(root(completion=_wants_completion(words)))
        result = app.main(list(words), prog_name="fenglin", standalone_mode=False)
    except FenglinError as error:
        return _fail(error)
    except TyperException as error:
        return show_usage_error(error)
    except Abort:
        return INTERRUPTED
    except OSError as error:
        return _fail(_translate(error))
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1
    return result if isinstance(result, int) else 0


def _wants_completion(words: Sequence[str]) -> bool:
    """Return whether a shell asks, or somebody wants it installed."""
    return "_FENGLIN_COMPLETE" in os.environ or "completion" in "".join(words[:1])


def _fail(error: FenglinError) -> int:
    """Show an error; with its traceback when FENGLIN_DEBUG asks for it."""
    if os.environ.get("FENGLIN_DEBUG"):
        import traceback  # noqa: PLC0415 - only for debugging

        traceback.print_exception(error)
    show_error(error, sys.stderr)
    return error.exit_code


def _translate(error: OSError) -> FenglinError:
    """Say what this machine refused, such as a full disk."""
    place = "" if error.filename is None else str(error.filename)
    return FenglinError(f"this machine refused: {error.strerror or error}", where=place)


def _no_command(word: str, hint: str) -> FenglinError:
    """Return the error for a command that does not exist."""
    from fenglin.errors import InputError  # noqa: PLC0415 - only for a typing error

    return InputError(f"there is no command {word!r}", where="fenglin", hint=hint)
