"""Typed SDK of the hub's HTTP door: settings, calls and errors; blocking and asynchronous."""

from fenglin.client.client import Client, LogPiece
from fenglin.client.retry import Retry
from fenglin.client.settings import Settings, load_settings
from fenglin.client.steps import TERMINAL_STATES
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
