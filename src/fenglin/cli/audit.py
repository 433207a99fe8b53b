"""`fenglin audit`: who changed what, and that nobody has changed the record of it."""

from __future__ import annotations

from typing import Annotated

import typer

from fenglin.cli.humane import moment, moment_ms
from fenglin.cli.output import Column, Output, write, write_data, write_table
from fenglin.cli.session import HubOption, NoHeaderOption, OutputOption, command, group, hub_client
from fenglin.errors import DamageError

app = group("List who changed what; verify the trail.")

_COLUMNS = (
    Column("SEQ", right=True),
    *map(Column, ("TIME", "ACTOR", "TOKEN", "ACCOUNT", "WHAT", "SUBJECT")),
)
_PAGE = 1_000


@command(app, "list")
def list_all(
    actor: Annotated[str, typer.Option("--actor", help="Only theirs.", show_default=False)] = "",
    what: Annotated[
        str, typer.Option("--what", help="Only this operation.", show_default=False)
    ] = "",
    since: Annotated[
        str,
        typer.Option("--since", metavar="TIME", help="Such as 2027-03-01.", show_default=False),
    ] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=1_000_000, help="Most rows.")] = 1_000,
    output: OutputOption = Output.TABLE,
    no_header: NoHeaderOption = False,
    hub: HubOption = "",
) -> None:
    """List who changed what, oldest first."""
    from fenglin.client.audit import list_audit  # noqa: PLC0415 - slow; help needs none
    from fenglin.wire.audit_views import AuditQuestion, AuditView  # noqa: PLC0415

    found: list[AuditView] = []
    after, from_ms = 0, moment_ms(since) if since else 0
    with hub_client(hub) as client:
        while len(found) < limit:
            wanted = min(_PAGE, limit - len(found))
            page = client.call(
                list_audit(
                    AuditQuestion(
                        after=after, limit=wanted, actor=actor, what=what, from_ms=from_ms
                    )
                )
            )
            found += page.items
            after = page.next_after
            if not after:
                break
    if output is not Output.TABLE:
        write_data(found, output)
        return
    rows = [
        (
            str(one.seq),
            moment(one.time_ms),
            one.actor,
            one.token,
            one.account,
            one.what,
            one.subject,
        )
        for one in found
    ]
    write_table(_COLUMNS, rows, header=not no_header)


@command(app, "verify")
def verify(output: OutputOption = Output.TABLE, hub: HubOption = "") -> None:
    """Check every record of the trail; exit code 7 at the first that does not fit."""
    from fenglin.client.audit import verify_audit  # noqa: PLC0415 - slow; help needs none

    with hub_client(hub) as client:
        found = client.call(verify_audit())
    if output is not Output.TABLE:
        write_data(found, output)
    if not found.ok:
        raise DamageError(
            f"the audit trail is damaged at record {found.first_bad}: {found.why}",
            hint="change nothing, copy the data folder, compare with a backup",
        )
    if output is Output.TABLE:
        write(f"{found.records} records fit, {found.sealed} are in the ledger; head {found.head}\n")
