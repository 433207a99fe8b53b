"""The ssh driver over bought instances: one for each set of nodes that an attempt runs on.

An attempt over several nodes is one attempt of an ssh site of just those nodes, so that
arrays, gangs and artifacts are that driver's. Each set is a site of its own on its hosts
(`SITE.gDIGEST`), since two agents must not look after the same folder.

A node whose instance is gone while others of the set run is looked for on one of those, where
nothing of it is: the ssh driver finds its part absent, which is the truth, and the others go on.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING

from msgspec.structs import replace

from fenglin.model.site import Node
from fenglin.ports.discovery import load_factory

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fenglin.drivers.cloud.purchases import Book, Purchase
    from fenglin.drivers.cloud.settings import CloudSettings
    from fenglin.ports.driver import Driver, DriverContext


class Groups:
    """The ssh drivers that are in use."""

    def __init__(
        self, context: DriverContext, settings: CloudSettings, key_file: str, book: Book
    ) -> None:
        """Take what they need; none is made yet."""
        self._context = context
        self._settings = settings
        self._key_file = key_file
        self._book = book
        self._ssh = load_factory("ssh", f"site.{context.site}")
        # Set of purchases → the driver, and those that were lost when it was made.
        self._made: dict[tuple[int, ...], tuple[Driver, frozenset[int]]] = {}

    async def of(self, numbers: Iterable[int]) -> Driver | None:
        """Return the driver of a set of purchases; None when no instance of it is left."""
        group = tuple(sorted(numbers))
        lost = frozenset(n for n in group if not self._there(self._book[n]))
        if len(lost) == len(group):
            return None
        known = self._made.get(group)
        if known is not None and known[1] == lost:
            return known[0]
        driver = self._make(group, lost)
        self._made[group] = (driver, lost)
        if known is not None:
            await known[0].close()
        return driver

    async def keep(self, groups: Iterable[tuple[int, ...]]) -> None:
        """Close the drivers of all other sets."""
        wanted = {tuple(sorted(group)) for group in groups}
        gone = [self._made.pop(group)[0] for group in list(self._made) if group not in wanted]
        await asyncio.gather(*(driver.close() for driver in gone))

    async def drop(self, number: int) -> None:
        """Begin anew with one instance alone: the ssh driver asks ever more rarely what is down."""
        known = self._made.pop((number,), None)
        if known is not None:
            await known[0].close()

    async def close(self) -> None:
        """Hang up everywhere; what runs goes on."""
        await self.keep(())

    @staticmethod
    def _there(purchase: Purchase) -> bool:
        return bool(purchase.address) and not purchase.gone_ms

    def _make(self, group: tuple[int, ...], lost: frozenset[int]) -> Driver:
        settings = self._settings
        digest = hashlib.sha256(",".join(map(str, group)).encode()).hexdigest()[:12]
        directory = self._context.directory / "groups" / digest
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        survivor = self._book[next(n for n in group if n not in lost)]
        members = [self._book[n] for n in group]
        hosts = []
        for member in members:
            place = survivor if member.number in lost else member
            hosts.append(
                {
                    **settings.host,
                    "address": place.address,
                    "host_key": place.fingerprint,
                    "flavor": member.flavor,
                }
            )
        flavors = {member.flavor for member in members}
        return self._ssh(
            replace(self._context, site=f"{self._context.site}.g{digest}", directory=directory),
            {
                **settings.hosts,
                "key_file": self._key_file,
                "hosts": hosts,
                "flavors": tuple(f for f in settings.flavors if f.name in flavors),
                "nodes": tuple(Node(member.node, member.flavor) for member in members),
                "licences": (),
            },
        )
