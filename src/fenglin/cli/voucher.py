"""`fenglin voucher`: rules of schemes and what they decide, without a hub; pools of the hub."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fenglin.cli.output import Column, Output, write, write_data, write_fields, write_table
from fenglin.cli.session import NoHeaderOption, OutputOption, command, group
from fenglin.cli.voucher_files import (
    ApplicationsArgument,
    RulesArgument,
    read_asked,
    read_scheme,
)
from fenglin.cli.voucher_hub import register as register_hub
from fenglin.cli.voucher_pool import app as pool_app
from fenglin.quantities.money import format_money

if TYPE_CHECKING:
    from fenglin.ledger.vouchers.claim import Decision
    from fenglin.ledger.vouchers.scheme import Scheme

app = group("Try the rules of a voucher scheme; keep pools, applications and vouchers.")

_DECISIONS = (
    Column("APPLICATION"),
    Column("ACCOUNT"),
    Column("VERDICT"),
    Column("CONTRACT", right=True),
    Column("GRANTED", right=True),
    Column("WHY"),
)
_STEPS = (
    Column("APPLICATION"),
    Column("REASON"),
    Column("FROM", right=True),
    Column("TO", right=True),
    Column("TEXT"),
)


@command(app, "rules")
def show_rules(rules: RulesArgument, output: OutputOption = Output.TABLE) -> None:
    """Show what a scheme says, which document says it, and what no document says."""
    scheme = read_scheme(rules)
    if output is not Output.TABLE:
        write_data({"scheme": scheme, "blanks": scheme.blanks}, output)
        return
    write_fields([("scheme", scheme.name), ("title", scheme.title)])
    write("\n")
    facts = [(one.rule, _shown(scheme, one.rule), one.source, one.date) for one in scheme.facts]
    blanks = [(name, "-", "no document", "") for name in scheme.blanks]
    columns = (Column("RULE"), Column("VALUE"), Column("SOURCE"), Column("DATE"))
    write_table(columns, [*facts, *blanks])


@command(app, "decide")
def decide_round(
    rules: RulesArgument,
    applications: ApplicationsArgument,
    steps: Annotated[
        bool, typer.Option("--steps", help="Each step from price to voucher, for an auditor.")
    ] = False,
    output: OutputOption = Output.TABLE,
    no_header: NoHeaderOption = False,
) -> None:
    """Decide on applications against a fresh year's budget, each with its reasons.

    Nothing is promised or entered: the same files give the same decisions, anywhere.
    """
    from fenglin.ledger.vouchers.pool import open_pool  # noqa: PLC0415 - slow; help needs none
    from fenglin.ledger.vouchers.rounds import decide  # noqa: PLC0415
    from fenglin.ledger.vouchers.scheme import complete  # noqa: PLC0415

    scheme = read_scheme(rules)
    pool = open_pool(scheme.name, complete(scheme))
    asked = read_asked(applications, scheme.commodity)
    decisions = decide(pool, asked)
    if output is not Output.TABLE:
        write_data([_data(one) for one in decisions], output)
    elif steps:
        write_table(_STEPS, _step_rows(decisions, scheme.commodity), header=not no_header)
    else:
        rows = [_row(one, scheme.commodity) for one in decisions]
        write_table(_DECISIONS, rows, header=not no_header)


def _row(one: Decision, commodity: str) -> tuple[str, ...]:
    price_micro = sum(line.amount_micro for line in one.application.lines)
    return (
        one.application.id,
        one.application.account,
        one.verdict,
        format_money(price_micro, commodity),
        format_money(one.granted_micro, commodity),
        ", ".join(one.reasons),
    )


def _step_rows(decisions: tuple[Decision, ...], commodity: str) -> list[tuple[str, ...]]:
    return [
        (
            one.application.id,
            step.reason,
            format_money(step.before_micro, commodity),
            format_money(step.after_micro, commodity),
            step.text,
        )
        for one in decisions
        for step in one.steps
    ]


def _data(one: Decision) -> dict[str, object]:
    return {
        "application": one.application.id,
        "account": one.application.account,
        "verdict": one.verdict,
        "granted_micro": one.granted_micro,
        "reasons": one.reasons,
        "steps": one.steps,
    }


def _shown(scheme: Scheme, rule: str) -> str:
    """Return a rule's value for people."""
    from fenglin.ledger.vouchers.scheme import NO_CAP_MICRO, NO_EXPIRY_DAYS  # noqa: PLC0415

    value = getattr(scheme, rule)
    if rule == "ratios":
        return "; ".join(
            f"{one.ratio_bp / 100:g} % from {one.domestic_from_bp / 100:g} % domestic"
            for one in value
        )
    if rule == "items":
        return ", ".join(value)
    if rule == "quotas":
        return "; ".join(f"{who} {format_money(part, scheme.commodity)}" for who, part in value)
    if (rule, value) in {("firm_cap_micro", NO_CAP_MICRO), ("valid_days", NO_EXPIRY_DAYS)}:
        return "none"
    if rule.endswith("_micro"):
        return format_money(value, scheme.commodity)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) or "none"


register_hub(app)
app.add_typer(pool_app, name="pool")
