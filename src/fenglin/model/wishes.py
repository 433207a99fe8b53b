"""What a job may ask of the scheduler that a site has of its own: account, QoS, reservation.

A label `scheduler.qos` is a wish: a site whose operator lets the job's account choose it passes it
on, any other runs the job without. `require` insists: the job goes only where it is granted. What
a site grants stands among its labels, for everybody as `scheduler.qos`, for the jobs of one
account as `scheduler.qos@ACCOUNT`. No job can name the latter, since `@` is not in a label's name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from fenglin.model.job import JobSpec

PREFIX = "scheduler."
WISHES = ("account", "qos", "reservation")
_KEYS = frozenset(PREFIX + name for name in WISHES)


class SchedulerWish(Struct, frozen=True):
    """One thing that is asked of a site's own scheduler.

    Attributes:
        name: One of `WISHES`.
        value: As the scheduler spells it.
        required: Whether the job must not run without.
    """

    name: str
    value: str
    required: bool = False


def wishes_of(spec: JobSpec) -> tuple[SchedulerWish, ...]:
    """Return what a job asks for, by name; what it requires counts before what it would like."""
    found = {key: SchedulerWish(key.removeprefix(PREFIX), value) for key, value in spec.labels}
    for key, value in spec.require:
        found[key] = SchedulerWish(key.removeprefix(PREFIX), value, required=True)
    return tuple(found[key] for key in sorted(_KEYS & found.keys()))


def label_of(name: str, account: str = "") -> str:
    """Return the label by which a site says that it grants a wish, to all or to one account."""
    return f"{PREFIX}{name}@{account}" if account else PREFIX + name


def scoped(require: tuple[tuple[str, str], ...], account: str) -> tuple[tuple[str, str], ...]:
    """Return required labels so that grants to other accounts do not count."""
    if not require or not any(key in _KEYS for key, _ in require):
        return require
    return tuple(
        sorted((f"{key}@{account}" if key in _KEYS else key, value) for key, value in require)
    )


def grants(label: str, required: str) -> bool:
    """Return whether a label of a site can meet a required one, if their values agree."""
    return label == required or label == required.partition("@")[0]
