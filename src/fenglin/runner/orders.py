"""Writing the runner's order file from a `StartOrder`; its format stands in `host/order.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fenglin.quantities.sizes import format_milli
from fenglin.runner.host.order import SECRET, SECRETS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fenglin.ports.driver import StartOrder


def secret_lines(order: StartOrder) -> Iterator[tuple[str, str]]:
    """Yield the lines of an order's secrets, which `host.order.split` takes out of its file."""
    if order.secrets:
        yield SECRETS, str(len(order.secrets))
    for name, secret in order.secrets:
        yield SECRET, f"{name}={secret.reveal()}"


def order_lines(order: StartOrder, log_cap_bytes: int, nice: int) -> Iterator[tuple[str, str]]:
    """Yield the lines of an order file; the epoch stands first."""
    yield "epoch", str(order.epoch)
    for name in ("key", "hub", "job", "job_name", "site", "flavor", "tasks", "task_count"):
        yield name, str(getattr(order, name))
    for index, number in order.tries:
        yield "try", f"{index} {number}"
    for share in order.shares:
        cards = f" {','.join(map(str, share.cards))}" if share.cards else ""
        yield "share", f"{share.slots} {share.node}{cards}"
    yield "nodes", str(order.nodes)
    yield "nice", str(nice)
    yield "cpus", format_milli(order.resources.cpu_milli)
    yield "memory_bytes", str(order.resources.memory_bytes)
    yield "disk_bytes", str(order.resources.disk_bytes)
    for argument in order.command:
        yield "command", argument
    yield "script", order.script
    for name, value in order.env:
        yield "env", f"{name}={value}"
    yield from secret_lines(order)
    yield "workdir", order.workdir
    yield "image", order.image
    yield "setup", order.setup
    for item in order.inputs:
        flag = "x" if item.executable else "-"
        yield "input", f"{flag} {len(item.target)} {item.target}{item.source}"
    for glob in order.artifacts:
        yield "artifact", glob
    yield "artifacts_dir", order.artifacts_dir
    yield "timeout_ms", str(order.timeout_ms)
    yield "grace_ms", str(order.grace_ms)
    yield "log_cap_bytes", str(min(order.log_cap_bytes, log_cap_bytes))
