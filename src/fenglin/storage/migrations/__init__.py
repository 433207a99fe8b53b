"""Steps from one version of the embedded store's schema to the next.

A new file is made at version 1 and taken through the same steps as an old one, so that both
have the same tables. A step only adds: a file that was taken forward still holds all it held.
The statements of one version stand in one folder, a file for each room that stores.
"""

from __future__ import annotations

from fenglin.storage.migrations.v2 import V2

FIRST_VERSION = 1

STEPS: tuple[tuple[str, ...], ...] = (V2,)
"""Statements of each step in order: the first leads from version 1 to version 2."""

SCHEMA_VERSION = FIRST_VERSION + len(STEPS)
