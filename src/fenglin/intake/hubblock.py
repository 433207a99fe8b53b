"""The block `[hub]` of a configuration: how the hub itself runs."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Struct

from fenglin.errors import InputError
from fenglin.quantities.durations import parse_duration_ms

MOST_CYCLES = 1_000_000
LEAST_LEASE_MS = 1_000


class HubBlock(Struct, forbid_unknown_fields=True, frozen=True):
    """`[hub]`: how this hub runs.

    Attributes:
        listen: HOST:PORT.
        data: Folder of its state, relative to the configuration file.
        policy: Name of a built-in policy, or a policy file relative to this one.
        auth: False lets anyone on this machine in; refused on any other address.
        log: Least level that is logged.
        keep_cycles: How many planning cycles are kept to be planned again; 0 for none.
        database: `postgresql://…` for a database that several hubs share; empty for a file.
        shared: Folder that all of them see, relative to this file; empty for `data`.
        secrets_key: File of the keys that seal secrets, relative to this file; empty for
            `secrets.key` in `shared`.
        lease: How long the leading hub may be silent until another takes its place.
        advertise: URL by which the other hubs reach this one; empty for where it listens.
        failure_brake: Jobs of a user that may fail in a row before it gets one at a time; 0: any.
        brake_rest: How long after the newest failure.
        traces: URL of an OpenTelemetry collector that takes OTLP/HTTP; empty for none.
        catch_up_starts: Most allocations a second in the first minute after a restart; 0: any.
    """

    listen: str = "127.0.0.1:8642"
    data: str = "fenglin-data"
    policy: str = "balanced"
    auth: bool = True
    log: str = "info"
    keep_cycles: Annotated[int, msgspec.Meta(ge=0, le=MOST_CYCLES)] = 1_000
    database: str = ""
    shared: str = ""
    secrets_key: str = ""
    lease: str | float | int = "5s"
    advertise: str = ""
    failure_brake: Annotated[int, msgspec.Meta(ge=0, le=MOST_CYCLES)] = 100
    brake_rest: str | float | int = "5m"
    catch_up_starts: Annotated[int, msgspec.Meta(ge=0, le=MOST_CYCLES)] = 500
    traces: str = ""

    @property
    def lease_ms(self) -> int:
        """Return the length of a lease."""
        return parse_duration_ms(self.lease)

    @property
    def brake_rest_ms(self) -> int:
        """Return for how long a user is slowed."""
        return parse_duration_ms(self.brake_rest)


def check_database(hub: HubBlock) -> None:
    """Refuse another database than we know, and a lease that a busy machine cannot keep."""
    if hub.database and not hub.database.startswith(("postgresql://", "postgres://")):
        raise InputError(
            "this is no address of a PostgreSQL database",
            where="hub.database",
            hint="write for example postgresql://fenglin@db.example/fenglin",
        )
    try:
        lease_ms = hub.lease_ms
    except InputError as error:
        raise InputError(error.what, where="hub.lease", hint=error.hint) from error
    if hub.traces and not hub.traces.startswith(("http://", "https://")):
        raise InputError(
            "this is no URL of a collector",
            where="hub.traces",
            hint="write for example http://127.0.0.1:4318",
        )
    try:
        _ = hub.brake_rest_ms
    except InputError as error:
        raise InputError(error.what, where="hub.brake_rest", hint=error.hint) from error
    if lease_ms < LEAST_LEASE_MS:
        raise InputError("a lease is at least 1s", where="hub.lease", hint="5s is good")
