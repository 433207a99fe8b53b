"""The door: HTTP to the hub. Authentication, validation and streaming; no decisions."""

from fenglin.api.app import create_app
from fenglin.api.door import Door
from fenglin.api.server import bind, serve

__all__ = ["Door", "bind", "create_app", "serve"]
