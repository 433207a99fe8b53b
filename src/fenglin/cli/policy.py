"""`fenglin policy`: the built-in policies, and what a policy file says; asks no hub."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from fenglin.cli.output import Column, Output, write, write_data, write_table
from fenglin.cli.session import NoHeaderOption, OutputOption, command, group

app = group("List and show policies, and the terms that they weigh.")


class Form(StrEnum):
    """Forms of a policy file."""

    TOML = "toml"
    JSON = "json"
    YAML = "yaml"


@command(app, "list")
def list_policies(output: OutputOption = Output.TABLE, no_header: NoHeaderOption = False) -> None:
    """List the built-in policies and what each is for."""
    from fenglin.planner.policy import BUILT_IN  # noqa: PLC0415 - slow; help needs none

    rows = [(policy.name, policy.purpose) for policy in BUILT_IN.values()]
    if output is not Output.TABLE:
        write_data([{"name": name, "purpose": purpose} for name, purpose in rows], output)
        return
    write_table((Column("POLICY"), Column("PURPOSE")), rows, header=not no_header)


@command(app, "show")
def show_policy(
    name: Annotated[
        str, typer.Argument(metavar="NAME|FILE", help="A built-in policy, or a policy file.")
    ],
    output: Annotated[Form, typer.Option("--output", "-o", help="Form of the file.")] = Form.TOML,
) -> None:
    """Show everything that a policy says, as a file to begin one's own from.

    A policy file is checked on the way: whatever is wrong in it is shown, and so is every value
    that it takes from its base.
    """
    from fenglin.intake.policies import read_policy  # noqa: PLC0415 - slow; help needs none
    from fenglin.intake.policyfile import to_document, to_toml  # noqa: PLC0415

    policy = read_policy(name)
    if output is Form.TOML:
        write(to_toml(policy))
    else:
        write_data(to_document(policy), Output(output.value))


@command(app, "terms")
def list_terms(output: OutputOption = Output.TABLE, no_header: NoHeaderOption = False) -> None:
    """List the terms that a policy may weigh, those of installed packages too."""
    from fenglin.errors import InputError  # noqa: PLC0415
    from fenglin.intake.policies import load_term, registered_terms  # noqa: PLC0415
    from fenglin.planner.terms import BUILT_IN  # noqa: PLC0415

    rows = [(name, "built-in", rule.purpose) for name, rule in BUILT_IN.items()]
    for name, origin in registered_terms().items():
        try:
            purpose = load_term(name).purpose
        except InputError as error:  # one broken package must not hide the others
            purpose = str(error)
        rows.append((name, origin, purpose))
    if output is not Output.TABLE:
        keys = ("name", "origin", "purpose")
        write_data([dict(zip(keys, row, strict=True)) for row in rows], output)
        return
    columns = (Column("TERM"), Column("FROM"), Column("PREFERS"))
    write_table(columns, rows, header=not no_header)
