"""`fenglin sbatch`: a script in, `Submitted batch job 12` out."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

from fenglin.cli.humane import now_ms
from fenglin.cli.output import safe, write
from fenglin.cli.session import hub_client
from fenglin.cli.slurm.words import Given, Habit, Option, app_of, cut, options
from fenglin.errors import FenglinError, InputError
from fenglin.intake.dialects.sbatch.options import SHORT, TAKES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fenglin.cli.documents import Source
    from fenglin.client import Client

OWN = """
wrap - = run this command in place of a script
parsable - - print the number alone
wait W - wait for the end; exit as the job did
test-only - - show when the job would start; submit nothing
quiet Q - say nothing of what is not carried over
"""
_EXIT_CODE = re.compile(r"exit code (\d{1,3})")
_MAX_SHOWN = 100
_QUOTED = str.maketrans({"\\": "\\\\", '"': '\\"'})
# Where the words for the dialect are kept between reading and running.
_PASSED = "\0"


def read_words(words: Sequence[str], own: Sequence[Option]) -> Given:
    """Cut a command line: our own options, those of sbatch (kept as they are), script, arguments.

    Raises:
        InputError: one of our own options lacks its value.
    """
    ours = {one.name for one in own}
    mine: list[str] = []
    passed: list[str] = []
    left = list(reversed(words))
    while left and left[-1].startswith("-") and left[-1] != "-":
        word = left.pop()
        if word == "--":
            break
        name, needs = _name(word, {**TAKES, **{one.name: _takes(one) for one in own}})
        to = mine if name in ours else passed
        to.append(word)
        if needs and left:
            to.append(left.pop())
    given = cut(mine, own)
    text = " ".join(f'"{word.translate(_QUOTED)}"' for word in passed)
    return Given({**given.values, _PASSED: text}, left[::-1])


def _takes(one: Option) -> str:
    return "=" if one.takes else "-"


def _name(word: str, takes: dict[str, str]) -> tuple[str, bool]:
    """Return the long name of an option, and whether its value is the next word."""
    name = ""
    if not word.startswith("--"):
        for at, letter in enumerate(word[1:], 2):
            name = SHORT.get(letter, "")
            if takes.get(name) == "=":
                return name, at == len(word)
        return name, False
    name, equals, _ = word[2:].partition("=")
    found = [name] if name in takes else [one for one in takes if one.startswith(name)]
    full = found[0] if len(found) == 1 else name
    return full, not equals and takes.get(full) == "="


def run(given: Given) -> int:
    """Submit the job and print its number."""
    from fenglin.cli.slurm.script import read_script  # noqa: PLC0415 - help needs no parser

    options_text = given.values.get(_PASSED, "")
    wrap = given.values.get("wrap")
    if wrap is not None and given.operands:
        raise InputError("Script arguments not permitted with --wrap option")
    source, labels = read_script(wrap, given.operands, options_text, now_ms())
    if "quiet" not in given.values:
        _tell_losses(source)
    with hub_client(given.values.get("hub", "")) as client:
        document = source.documents[0]
        if "test-only" in given.values:
            return _test(client, source)
        if "quiet" not in given.values:
            _tell_strange_queue(client, str(document.data.get("queue", "")))
        data = source.ready(document, client, {})
        own = data.get("labels")
        data["labels"] = {**labels, **(own if isinstance(own, dict) else {})}
        number = client.submit(data).id[1:]
        write(f"{number}\n" if "parsable" in given.values else f"Submitted batch job {number}\n")
        sys.stdout.flush()
        return _wait(client, f"j{number}") if "wait" in given.values else 0


def _tell_losses(source: Source) -> None:
    """Say on standard error what of the script is not carried over as it is."""
    notes = [note for of_job in source.notes for note in of_job if note.level != "ignored"]
    for note in notes[:_MAX_SHOWN]:
        line = f":{note.line}" if note.line else ""
        text = safe(f"{source.name}{line}: {note.field}: {note.level}: {note.text}")
        sys.stderr.write(f"sbatch: warning: {text}\n")


def _tell_strange_queue(client: Client, name: str) -> None:
    """Say when a partition is no queue that the hub knows: such a job waits without its rights."""
    from fenglin.client.requests import Filter  # noqa: PLC0415 - help needs no client

    if not name:
        return
    try:
        known = [one.name for one in client.queues(Filter()).items]
    except FenglinError:
        return  # a warning must not keep a job from being submitted
    if name not in known:
        text = safe(f"no queue {name!r} is set up at the hub; known: {', '.join(known[:20])}")
        sys.stderr.write(f"sbatch: warning: {text}\n")


def _test(client: Client, source: Source) -> int:
    """Say when the job would start."""
    from fenglin.cli.slurm.times import moment  # noqa: PLC0415 - rarely needed

    plan = client.dry_run(source.detached(source.documents[0]))
    when = moment(plan.receipt.start_ms, "an unknown time")
    site = next((one.site for one in plan.receipt.options if one.reason is None), "")
    place = f" on {safe(site)}" if site else ""
    sys.stderr.write(f"sbatch: Job would start at {when}{place}\n")
    return 0


def _wait(client: Client, job_id: str) -> int:
    """Return the job's exit code; 1 when it failed without one."""
    from fenglin.cli.waiting import wait_for  # noqa: PLC0415 - only with --wait

    job = wait_for(client, [job_id], None)[0]
    if job.state == "succeeded":
        return 0
    match = _EXIT_CODE.search(job.detail)
    return max(1, min(255, int(match[1]))) if match else 1


_HELP = "Submit a script, as Slurm's sbatch does. All options of sbatch are read; what is not\
\n  carried over is said. The first word that is no option is the script; none: standard input."
_OWN = options(OWN)
_LETTERS = {name: letter for letter, name in SHORT.items()}
_PASSED_ON = tuple(
    Option(name, _LETTERS.get(name, "-"), takes == "=", "")
    for name, takes in TAKES.items()
    if name not in {one.name for one in _OWN}
)
app = app_of(Habit("sbatch", _HELP, _OWN, run, read_words, _PASSED_ON))
