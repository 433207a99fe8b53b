"""`fenglin convert`: a file of any dialect as a native one, and what of it is not carried over."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fenglin.cli.failure import show_warning
from fenglin.cli.humane import now_ms
from fenglin.cli.output import Output, write, write_data
from fenglin.cli.session import DialectOption, OutputOption, SbatchOption, StrictOption, single

if TYPE_CHECKING:
    from fenglin.cli.documents import Source

# A foreign file has a few dozen fields; one made to annoy must not fill the terminal.
_MAX_SHOWN = 100
# A text of nothing but these might be read as a number or a time.
_OF_NUMBERS = frozenset("0123456789abcdefABCDEFxXoO+-._:")


class Target(StrEnum):
    """What a file can be converted to."""

    NATIVE = "native"


def convert(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="A script for sbatch, a manifest, a job file; - is standard input."
        ),
    ],
    to: Annotated[Target, typer.Option("--to", help="The dialect to show it in.")] = Target.NATIVE,  # noqa: ARG001 - one so far
    dialect: DialectOption = "",
    sbatch: SbatchOption = "",
    strict: StrictOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Print the native job file of a file of another scheduler; asks no hub.

    What of it is lost, approximated or ignored goes to standard error, or with -o json or yaml
    into `notes`. The answer can be submitted.
    """
    from fenglin.cli.documents import read_source  # noqa: PLC0415 - help needs no parser

    source = read_source(file, now_ms(), dialect=dialect, options=sbatch, strict=strict)
    if output is Output.TABLE:
        warn_of_losses(source)
        write("---\n".join(native_yaml(document.data) for document in source.documents))
        return
    jobs = [
        {"job": document.data, "notes": notes}
        for document, notes in zip(source.documents, source.notes, strict=True)
    ]
    write_data(jobs[0] if len(jobs) == 1 else {"items": jobs}, output)


app = single(convert, "convert")


def warn_of_losses(source: Source) -> None:
    """Tell which dialect a foreign file is written in, and what of it is not carried over."""
    from fenglin.intake.dialects.registry import NATIVE, TITLES  # noqa: PLC0415 - a parser

    if source.dialect == NATIVE:
        return
    sys.stderr.write(f"note: {source.name} is read as {TITLES[source.dialect]}\n")
    notes = [note for of_job in source.notes for note in of_job]
    for note in notes[:_MAX_SHOWN]:
        line = f":{note.line}" if note.line else ""
        show_warning(f"{source.name}{line}: {note.field}: {note.level}: {note.text}")
    if len(notes) > _MAX_SHOWN:
        show_warning(f"{source.name}: and {len(notes) - _MAX_SHOWN} more; -o json shows all")


# What YAML 1.1 takes for ends of lines besides the usual ones; a block would turn them into those.
_OTHER_BREAKS = "\r\x85\u2028\u2029"


def native_yaml(data: dict[str, object]) -> str:
    """Return a native document as YAML that our reader reads back as it is."""
    import yaml  # noqa: PLC0415 - slow to load

    class Dumper(yaml.SafeDumper):
        """Writes texts of several lines as blocks, and doubtful ones in quotes."""

        def ignore_aliases(self, data: Any) -> bool:  # noqa: ANN401, ARG002 - as in the library
            """Write equal lists twice and not as an alias."""
            return True

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        block = "\n" in value and not any(mark in value for mark in _OTHER_BREAKS)
        style = "|" if block else None if _is_plain(value) else '"'
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style)

    Dumper.add_representer(str, text)
    return yaml.dump(
        data, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=100, default_flow_style=None
    )


def _is_plain(value: str) -> bool:
    """Return whether a text without quotes is surely a text for every reader of YAML."""
    return (
        value.isascii()
        and value.isprintable()
        and (value[:1].isalnum() or value[:1] == "/")
        and not set(value) <= _OF_NUMBERS
    )
