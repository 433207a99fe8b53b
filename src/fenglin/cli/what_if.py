"""`fenglin what-if`: the hub's present moment planned with something changed, without effect."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fenglin.cli.humane import money
from fenglin.cli.options import pairs
from fenglin.cli.output import Column, Output, write_data, write_line, write_table
from fenglin.cli.session import HubOption, OutputOption, hub_client, single

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from fenglin.simulator.whatif import Changes

_COLUMNS = (
    Column(""),
    Column("NOW", right=True),
    Column("THEN", right=True),
)
_MONEY = ("held_micro",)


def what_if(  # noqa: PLR0913, PLR0917 - one parameter for each option
    add: Annotated[
        Path | None,
        typer.Option("--add", metavar="FILE", help="Sites of this fenglin.toml (or YAML) come."),
    ] = None,
    drop: Annotated[
        list[str], typer.Option("--drop", metavar="SITE", help="This site goes; may be repeated.")
    ] = [],  # noqa: B006 - Typer never changes it
    policy: Annotated[
        str, typer.Option("--policy", metavar="NAME|FILE", help="Another policy.")
    ] = "",
    weight: Annotated[
        list[str], typer.Option("--weight", metavar="TERM=X", help="Weight of a term; 0: none.")
    ] = [],  # noqa: B006 - see above
    queue_weight: Annotated[
        list[str], typer.Option("--queue-weight", metavar="QUEUE=X", help="Weight of a queue.")
    ] = [],  # noqa: B006 - see above
    credit: Annotated[
        list[str], typer.Option("--credit", metavar="ACCOUNT=SUM", help="Money on top.")
    ] = [],  # noqa: B006 - see above
    cycle: Annotated[
        str, typer.Option("--cycle", metavar="INDEX", help="A kept cycle instead of now.")
    ] = "now",
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help="A cycle saved by `plan save`.")
    ] = None,
    output: OutputOption = Output.TABLE,
    hub: HubOption = "",
) -> None:
    """Show what would start, wait and cost, if the pool were another one. Nothing is changed."""
    from fenglin.quantities.money import parse_money_micro  # noqa: PLC0415 - quick help
    from fenglin.quantities.sizes import parse_milli  # noqa: PLC0415 - quick help
    from fenglin.simulator import whatif  # noqa: PLC0415 - NumPy is slow to load

    changes = whatif.Changes(
        add=whatif.sites_of(add) if add is not None else (),
        drop=tuple(drop),
        policy=whatif.policy_of(policy) if policy else None,
        weights=_values(pairs(weight, "--weight"), "--weight", float),
        queue_weights=_values(pairs(queue_weight, "--queue-weight"), "--queue-weight", parse_milli),
        credits_micro=_values(pairs(credit, "--credit"), "--credit", parse_money_micro),
    )
    _changed(changes)
    if file is not None:
        data = file.read_bytes()
    else:
        with hub_client(hub) as client:
            data = client.plan_record(cycle)
    answer = whatif.what_if(data, changes)
    if output is not Output.TABLE:
        write_data(answer, output)
        return
    write_table(_COLUMNS, _rows(answer))
    if answer["interrupted_slots"]:
        write_line(f"{answer['interrupted_slots']} slots at work would be interrupted")
    for one in answer["jobs"]:
        write_line(f"{one['job']}: {one['before']} -> {one['after']} tasks start now")
    more = answer["changed_jobs"] - len(answer["jobs"])
    if more:
        write_line(f"… and {more} more jobs")


def _changed(changes: Changes) -> None:
    """Refuse a question without a change.

    Raises:
        InputError: nothing is to be different.
    """
    from fenglin.simulator.whatif import Changes as Type  # noqa: PLC0415 - NumPy is slow to load

    if changes == Type():
        from fenglin.errors import InputError  # noqa: PLC0415 - only for a mistake

        raise InputError(
            "nothing is to be different", hint="give --add, --drop, --policy, --weight or others"
        )


def _values(words: Mapping[str, str], option: str, parser: Callable[[str], Any]) -> dict[str, Any]:
    """Return the words' values.

    Raises:
        InputError: one cannot be read; says which.
    """
    from fenglin.errors import InputError  # noqa: PLC0415 - only for a mistake

    values: dict[str, Any] = {}
    for name, word in words.items():
        try:
            value = parser(word)
        except InputError as error:
            raise InputError(error.what, where=f"{option} {name}", hint=error.hint) from error
        except ValueError:
            raise InputError(f"{word!r} is not a number", where=f"{option} {name}") from None
        if not 0 <= value < float("inf"):
            raise InputError("it must be 0 or more, and finite", where=f"{option} {name}")
        values[name] = value
    return values


def _rows(answer: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    """Yield a line for each figure that a person compares."""
    before, after = answer["before"], answer["after"]
    for name in before:
        if isinstance(before[name], dict):
            for key in sorted(before[name].keys() | after[name].keys()):
                yield f"{name} {key}", str(before[name].get(key, 0)), str(after[name].get(key, 0))
        else:
            yield name, _figure(name, before[name]), _figure(name, after[name])


def _figure(name: str, value: object) -> str:
    if name in _MONEY and isinstance(value, int):
        return money(value) or "0"
    return str(value)


app = single(what_if, "what-if")
