"""A pool as a file: a hub's own `fenglin.toml`, the same as YAML, or a hub's kept cycle."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import yaml

from fenglin.errors import InputError, NotFoundError
from fenglin.intake.hubfile import check_hub_document, read_hub_file
from fenglin.intake.policies import read_policy
from fenglin.planner.record import MAGIC, read_record
from fenglin.simulator.replay import equipped

if TYPE_CHECKING:
    from pathlib import Path

    from fenglin.model.site import Queue, Site
    from fenglin.planner.policy import Policy

_YAML = (".yaml", ".yml")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class PoolFile(NamedTuple):
    """What a pool file says.

    Attributes:
        sites: The pool.
        queues: Admission lines.
        balances_micro: Money by account, for accounts that are given some.
        policy: By which it is planned.
    """

    sites: tuple[Site, ...]
    queues: tuple[Queue, ...]
    balances_micro: dict[str, int]
    policy: Policy


def read_pool(path: Path) -> PoolFile:
    """Read a pool file; names that end in `.yaml` or `.yml` are YAML, others TOML.

    A cycle that `fenglin plan save` wrote is known by its first bytes: its sites and queues are
    taken as they were then, at rest.

    Raises:
        NotFoundError: there is no such file.
        InputError: it is not of that form, or its policy cannot be used; says where.
        DamageError: it is a kept cycle that is damaged.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise NotFoundError("no such pool file", where=str(path)) from error
    if data.startswith(MAGIC):
        record = read_record(data)
        snapshot = record.snapshot
        return PoolFile(snapshot.sites, snapshot.queues, {}, equipped(record.policy))
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise InputError("the file is not UTF-8", where=str(path)) from error
    if path.suffix in _YAML:
        config = check_hub_document(_yaml(text, str(path)), str(path))
    else:
        config = read_hub_file(text, str(path))
    # An account that the file grants nothing would start no job: here it is not limited.
    granted = {name: amount for name, amount in config.credits_micro.items() if amount}
    policy = read_policy(config.hub.policy, path.parent)
    return PoolFile(config.sites, config.queues, granted, policy)


def _yaml(text: str, source: str) -> object:
    try:
        return yaml.load(text, _LOADER)  # noqa: S506 - the safe loader, or its twin in C
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else source
        what = getattr(error, "problem", None) or "it cannot be read"
        raise InputError(f"not YAML: {what}", where=where) from error
