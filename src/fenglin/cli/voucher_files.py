"""Files of `fenglin voucher`: rules of a scheme, and applications."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fenglin.errors import InputError

if TYPE_CHECKING:
    from fenglin.ledger.vouchers.claim import Application
    from fenglin.ledger.vouchers.scheme import Scheme

_MOST_FILE_BYTES = 64 << 20
RulesArgument = Annotated[Path, typer.Argument(metavar="RULES", help="The scheme's rule file.")]
ApplicationsArgument = Annotated[
    Path, typer.Argument(metavar="APPLICATIONS", help="In the order of filing.")
]


def read_scheme(path: Path) -> Scheme:
    """Return the scheme of a rule file.

    Raises:
        InputError: the file cannot be read, or is none.
    """
    from fenglin.intake.voucherfile import read_voucher_file  # noqa: PLC0415 - slow

    return read_voucher_file(_text(path), str(path))


def read_asked(path: Path, commodity: str) -> tuple[Application, ...]:
    """Return the applications of a file, in the order of filing.

    Args:
        path: The file.
        commodity: Of its amounts.

    Raises:
        InputError: the file cannot be read, or is none.
    """
    from fenglin.intake.voucherasks import read_applications  # noqa: PLC0415 - slow

    return read_applications(_text(path), str(path), commodity)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST_FILE_BYTES + 1)
        text = raw.decode()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise InputError("the file is not UTF-8", where=str(path)) from error
    if len(raw) > _MOST_FILE_BYTES:
        raise InputError("the file is larger than 64 MiB", where=str(path))
    return text
