"""A file of applications for vouchers, in the order of filing."""

from __future__ import annotations

import re

from msgspec import Struct

from fenglin.errors import InputError
from fenglin.intake.voucherfile import read_amount, read_share_bp, read_toml
from fenglin.ledger.vouchers.claim import Application, Line, check_application

_DAY = re.compile(r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])", re.ASCII)


class LineBlock(Struct, frozen=True, forbid_unknown_fields=True):
    """One of `line`.

    Attributes:
        item: Its kind, such as `compute`.
        amount: Its price.
        domestic: Domestic share of what runs it.
    """

    item: str
    amount: str
    domestic: str = "0 %"


class ApplicationBlock(Struct, frozen=True, forbid_unknown_fields=True):
    """`[[application]]`; as in `Application`."""

    id: str
    account: str
    firm: str
    seller: str
    contract: str
    line: tuple[LineBlock, ...]
    signed: str = ""
    paid: str = "0"
    proof: str = ""
    firm_group: str = ""
    seller_group: str = ""
    other_subsidy: str = ""


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    application: tuple[ApplicationBlock, ...]


def read_applications(text: str, source: str, commodity: str) -> tuple[Application, ...]:
    """Return the applications of a file; one bad application refuses the file.

    Args:
        text: TOML.
        source: Its name, for errors.
        commodity: Currency of its amounts.

    Raises:
        InputError: not TOML, an unknown key, an amount, share or day that is none.
    """
    file = read_toml(text, _File, source)
    return tuple(
        _application(block, f"{source}: application[{n}]", commodity)
        for n, block in enumerate(file.application)
    )


def _application(block: ApplicationBlock, where: str, commodity: str) -> Application:
    if block.signed and not _DAY.fullmatch(block.signed):
        raise InputError(
            f"{block.signed[:40]!r} is no day", where=f"{where}.signed", hint="such as 2026-11-01"
        )
    made = Application(
        id=block.id,
        account=block.account,
        firm=block.firm,
        seller=block.seller,
        contract=block.contract,
        signed=block.signed,
        lines=tuple(
            Line(
                line.item,
                read_amount(line.amount, commodity, f"{where}.line[{n}].amount"),
                read_share_bp(line.domestic, f"{where}.line[{n}].domestic"),
            )
            for n, line in enumerate(block.line)
        ),
        paid_micro=read_amount(block.paid, commodity, f"{where}.paid"),
        proof=block.proof,
        firm_group=block.firm_group,
        seller_group=block.seller_group,
        other_subsidy=block.other_subsidy,
    )
    try:
        check_application(made)
    except InputError as error:
        raise InputError(error.what, where=where, hint=error.hint) from error
    return made
