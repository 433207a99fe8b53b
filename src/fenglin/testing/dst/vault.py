"""Secrets in a run: set, replaced and removed, named by jobs, and looked for where none may be.

All values share a core of letters and digits that no way of writing them changes, so that one look
at a text finds any of them (S3): the rows, the database's own pages, what the log says, what users
are answered, and each order but for its secrets. Sites quote what they were given when they
refuse, as drivers do. Drawn from a stream of its own.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from msgspec.structs import replace

from fenglin.engine.vault import Vault
from fenglin.errors import DriverError, FenglinError
from fenglin.model.secret import Secret
from fenglin.ports.vault import Sealed
from fenglin.storage.vault import SqliteSecrets
from fenglin.testing.dst.users import ADMIN, at_desk
from fenglin.wire.secret_views import SecretAsk

if TYPE_CHECKING:
    from random import Random

    from fenglin.ports.clock import Clock
    from fenglin.ports.driver import StartOrder
    from fenglin.ports.vault import SecretId
    from fenglin.storage.store import SqlStore
    from fenglin.testing.dst.workload import Wish
    from fenglin.testing.dst.world import World

# Share of the runs that have secrets, and of their jobs that name one.
SHARE = 0.1
NAMED_BY = 0.4
VARIABLE, NAME = "API_TOKEN", "token"
CHANGES = 6
REMOVED_FOR_S = 300.0
# What a restored backup has lost is set again by its owner, who looks so often.
LOOKS_EVERY_S = 600.0
# Sites that refuse for no other reason.
QUOTES = 0.2
# What JSON, `repr` and shells write in other ways.
_AWKWARD = ("", "\"'", "\\", "\n", "é", "'; rm")


@dataclass(slots=True)
class Safe:
    """All of it in a run.

    Attributes:
        core: Stands in every value.
        key: Seals them.
        changes: (when, account, whether it is removed for a while) of values.
        random: Source of the rest.
        values: (account, name) → all values that it was ever given.
        wanted: What ought to be there now.
        quoting: Whether sites refuse for no other reason.
    """

    core: str
    key: bytes
    changes: list[tuple[float, str, bool]]
    random: Random
    values: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    wanted: set[str] = field(default_factory=set)
    quoting: bool = True

    def shows(self, told: str | bytes) -> bool:
        """Return whether a value stands in what was told or written, be it as SQL dumps bytes."""
        plain = self.core.encode()
        if isinstance(told, bytes):
            return plain in told
        return self.core in told or plain.hex().upper() in told

    def value(self, account: str) -> str:
        """Return a new value for an account, awkward to hide."""
        values = self.values.setdefault((account, NAME), [])
        odd = self.random.choice
        values.append(f"{odd(_AWKWARD)}{self.core}-{account}-{len(values)}{odd(_AWKWARD)}")
        return values[-1]


class SeededKeys:
    """The hub's keys. Implements `ports.vault.Keyring`, its nonces from the seed."""

    def __init__(self, safe: Safe) -> None:
        """Take key and nonces."""
        self._safe = safe

    def seal(self, value: Secret, of: SecretId) -> Sealed:
        """See `ports.vault.Keyring`."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - slow

        nonce = self._safe.random.randbytes(12)
        data = AESGCM(self._safe.key).encrypt(nonce, value.reveal().encode(), repr(of).encode())
        return Sealed("dst", nonce, data)

    def open(self, sealed: Sealed, of: SecretId) -> Secret:
        """See `ports.vault.Keyring`."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - slow

        plain = AESGCM(self._safe.key).decrypt(sealed.nonce, sealed.data, repr(of).encode())
        return Secret(plain.decode())


def draw_safe(random: Random, span_s: float, accounts: tuple[str, ...]) -> Safe:
    """Return which secrets change in a run, and when."""
    changes = sorted(
        (random.random() * span_s, random.choice(accounts), random.random() < 0.3)
        for _ in range(CHANGES)
    )
    core = f"sesame{random.getrandbits(96):024x}"
    first = [(0.0, account, False) for account in accounts]
    return Safe(core, random.randbytes(32), [*first, *changes], random)


def furnish(safe: Safe, wishes: list[Wish]) -> None:
    """Let some of the jobs that users want name a secret."""
    for wish in wishes:
        if safe.random.random() < NAMED_BY:
            wish.spec = replace(wish.spec, secrets=((VARIABLE, NAME),))


def open_vault(world: World, safe: Safe, store: SqlStore, clock: Clock, epoch: int) -> Vault:
    """Return the vault of a hub that leads under an epoch."""
    accounts = frozenset(world.limits)
    return Vault(SqliteSecrets(store), SeededKeys(safe), clock, lambda: epoch, accounts)


async def keep_secrets(world: World, safe: Safe) -> None:
    """Set, replace and remove values for as long as the day lasts."""
    looks = [(LOOKS_EVERY_S * n, "", False) for n in range(int(world.size.span_s / LOOKS_EVERY_S))]
    for at_s, account, removed in sorted([*safe.changes, *looks]):
        await asyncio.sleep(max(0.0, at_s - world.loop.time()))
        if not account:
            await set_again(world, safe)
            continue
        await _put(world, safe, account)
        if removed:
            safe.wanted.discard(account)
            await _remove(world, account)
            await asyncio.sleep(safe.random.random() * REMOVED_FOR_S)
            await _put(world, safe, account)


async def set_again(world: World, safe: Safe) -> None:
    """Set what a restored backup has lost."""
    rows = world.disk.conn.execute("SELECT account FROM secret").fetchall()
    for account in sorted(safe.wanted - {row[0] for row in rows}):
        await _put(world, safe, account)


async def _put(world: World, safe: Safe, account: str) -> None:
    ask = SecretAsk(value=safe.value(account))
    view = await at_desk(
        world, lambda hub: hub.vault, lambda desk: desk.put(NAME, account, ask, ADMIN)
    )
    safe.wanted.add(account)
    world.trace.note("owner", f"{account}'s {NAME} is set, version {view.version}")


async def _remove(world: World, account: str) -> None:
    try:
        await at_desk(world, lambda hub: hub.vault, lambda desk: desk.remove(NAME, account, ADMIN))
    except FenglinError as error:
        # It was removed by a call whose answer was lost, or is not in a restored backup.
        world.trace.note("owner", f"{account}'s {NAME} is gone: {error}")


def judge_order(world: World, order: StartOrder) -> None:
    """An order holds what its job names, of its own account, and nowhere else (S3)."""
    safe, must = world.safe, world.judge.must
    if safe is None:
        return
    by_name = {wish.spec.name: wish.spec for wish in world.wishes}
    spec = by_name.get(order.job_name)
    named = spec.secrets if spec is not None else ()
    given = [(variable, secret.reveal()) for variable, secret in order.secrets]
    same = [variable for variable, _ in given] == [variable for variable, _ in named]
    must("S3", same, f"{order.key} was given {[name for name, _ in given]}, not {named}")
    for (_, value), (variable, name) in zip(given, named, strict=False):
        own = value in safe.values.get((order.account, name), ())
        must("S3", own, f"{order.key} was given what is no {name} of {order.account}: {variable}")
    must("S3", not safe.shows(repr(order)), f"the order of {order.key} shows a secret")


def refusal(safe: Safe, order: StartOrder) -> Exception | None:
    """Return the words of a site that refuses and quotes what it was given; mostly None."""
    if not (safe.quoting and order.secrets) or safe.random.random() >= QUOTES:
        return None
    value = order.secrets[0][1].reveal()
    quoted = safe.random.choice((value, json.dumps(value), repr(value), repr({"env": value})))
    kind = safe.random.choice(("refused", "unclear", "fault"))
    words = f"cannot run with {VARIABLE}={quoted}"
    if kind == "fault":
        return RuntimeError(words)
    return DriverError(words, where=f"site {order.site}", effect_unknown=kind == "unclear")


def search(world: World, when: str) -> None:
    """Look for values in all that the database has on its pages (S3)."""
    safe = world.safe
    if safe is not None:
        bad = safe.shows(world.disk.conn.serialize())
        world.judge.must("S3", not bad, f"a secret stands in the database {when}")
