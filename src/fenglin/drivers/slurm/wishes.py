"""What jobs may say to Slurm themselves: account, QoS, reservation, by the operator's leave.

Values reach Slurm only when they stand in the settings, word for word, so none can mean anything
else; and an account of Slurm can be named only by those hub accounts that the operator lists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from msgspec import Struct

from fenglin.errors import DriverError
from fenglin.model.wishes import label_of

if TYPE_CHECKING:
    from fenglin.drivers.slurm.settings import SlurmSettings
    from fenglin.ports.driver import StartOrder

_log = structlog.get_logger("fenglin.slurm")


class PerJob(Struct, frozen=True, forbid_unknown_fields=True):
    """What a job may choose: a list is for all, a table tells for which accounts of the hub.

    Attributes:
        account: Slurm account → accounts of the hub that may spend it.
        qos, reservation: Names, or name → accounts of the hub.
    """

    account: dict[str, tuple[str, ...]] = {}
    qos: tuple[str, ...] | dict[str, tuple[str, ...]] = ()
    reservation: tuple[str, ...] | dict[str, tuple[str, ...]] = ()

    def names(self) -> list[str]:
        """Return every name that may reach Slurm."""
        return [*self.account, *self.qos, *self.reservation]

    def granted(self, name: str, value: str, account: str) -> bool:
        """Return whether a job of the hub's account may ask for that."""
        allowed: tuple[str, ...] | dict[str, tuple[str, ...]] = getattr(self, name)
        if isinstance(allowed, dict):
            return account in allowed.get(value, ())
        return value in allowed

    def labels(self) -> tuple[tuple[str, str], ...]:
        """Return the same as labels, which is how the planner knows."""
        found = []
        for name in self.__struct_fields__:
            allowed: tuple[str, ...] | dict[str, tuple[str, ...]] = getattr(self, name)
            if isinstance(allowed, dict):
                found += [(label_of(name, who), v) for v, all_ in allowed.items() for who in all_]
            else:
                found += [(label_of(name), value) for value in allowed]
        return tuple(sorted(found))


def chosen(order: StartOrder, settings: SlurmSettings) -> dict[str, str]:
    """Return what an order's job may set for itself, and the Slurm account of the hub's one.

    Raises:
        DriverError: the job insists on what is not granted.
    """
    mapped = settings.accounts.get(order.account, "")
    found = {"account": mapped} if mapped else {}
    for wish in order.wishes:
        if settings.per_job.granted(wish.name, wish.value, order.account):
            found[wish.name] = wish.value
        elif wish.required:
            raise DriverError(
                f"{wish.name} {wish.value[:80]!r} is not granted to account {order.account}",
                where=f"site {order.site}",
                hint=f"the site's operator can name it in per_job.{wish.name}",
            )
        else:
            _log.info(
                "wish_not_granted", site=order.site, attempt=order.key, wish=wish.name,
                value=wish.value[:80], account=order.account,
            )  # fmt: skip
    return found
