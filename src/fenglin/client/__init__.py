"""Typed SDK of the hub's HTTP door: settings, calls and errors, with the standard library only."""

from fenglin.client.client import TERMINAL_STATES, Client, LogPiece
from fenglin.client.retry import Retry
from fenglin.client.settings import Settings, load_settings
from fenglin.model.plan import Option, Receipt, Term

__all__ = [
    "TERMINAL_STATES",
    "Client",
    "LogPiece",
    "Option",
    "Receipt",
    "Retry",
    "Settings",
    "Term",
    "load_settings",
]
