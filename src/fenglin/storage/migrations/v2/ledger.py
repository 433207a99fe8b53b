"""The ledger's own checks, which ask the same of an entry in fewer steps."""

from __future__ import annotations

from fenglin.storage.ledger_schema import LEDGER_CHECKS_AGAIN

STATEMENTS: tuple[str, ...] = LEDGER_CHECKS_AGAIN
