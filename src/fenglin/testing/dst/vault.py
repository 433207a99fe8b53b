"""Secrets in a run: set, replaced and removed, named by jobs, and looked for where none may be.

All values share a core of letters and digits that no way of writing them changes, so that one look
at a text finds any of them (S3): the rows, the database's own pages, what the log says, what users
are answered, and each order but for its secrets. Sites quote what they were given when they
refuse, as drivers do. Drawn from a stream of its own.

In some of these runs the hub's key file is for a while one that holds a new key alone: what older
keys seal cannot be opened, and whoever needs it waits (S4). Drawn from one more.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING

from msgspec.structs import replace

from fenglin.engine.vault import Vault
from fenglin.errors import DriverError, FenglinError, KeyMissingError
from fenglin.model.reason import Reason
from fenglin.model.secret import Secret
from fenglin.ports.vault import Sealed
from fenglin.quantities.taskset import TaskSet
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
# Share of these runs in which keys are missing, how often and how long.
GAPS_SHARE, GAPS = 0.6, 3
GAP_S = (60.0, 600.0, 3_600.0)
# A refused start is committed within this time, however long its hub or disk stands still.
TOLD_WITHIN_S = 1_800.0
# One hub has so many starts of a task under way before it has heard that the key is missing.
MOST_REFUSED = 3
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
        gaps: (when, until when) older keys are missing.
        keys: So many later keys there are.
        missing: Whether the last key is the only one in the file.
        back_s: When the others were back; of the last time.
        bare: Accounts whose secret was not there at some time.
        refused: (hub, gap, job, task) → starts that lacked the key.
    """

    core: str
    key: bytes
    changes: list[tuple[float, str, bool]]
    random: Random
    values: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    wanted: set[str] = field(default_factory=set)
    quoting: bool = True
    gaps: list[tuple[float, float]] = field(default_factory=list)
    keys: int = 0
    missing: bool = False
    back_s: float = -1e9
    bare: set[str] = field(default_factory=set)
    refused: Counter[tuple[str, int, int, int]] = field(default_factory=Counter)

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

        safe = self._safe
        nonce = safe.random.randbytes(12)
        key = _key(safe, safe.keys)
        data = AESGCM(key).encrypt(nonce, value.reveal().encode(), repr(of).encode())
        return Sealed(f"dst{safe.keys}", nonce, data)

    def open(self, sealed: Sealed, of: SecretId) -> Secret:
        """See `ports.vault.Keyring`."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - slow

        number = int(sealed.key.removeprefix("dst"))
        if self._safe.missing and number < self._safe.keys:
            raise KeyMissingError(f"{of.name} is sealed by a key that is gone", key=sealed.key)
        key = _key(self._safe, number)
        return Secret(AESGCM(key).decrypt(sealed.nonce, sealed.data, repr(of).encode()).decode())


def _key(safe: Safe, number: int) -> bytes:
    """Return the hub's first key, or a later one."""
    salt = b"%d" % number
    return blake2b(safe.key, digest_size=32, salt=salt).digest() if number else safe.key


def draw_safe(random: Random, span_s: float, accounts: tuple[str, ...]) -> Safe:
    """Return which secrets change in a run, and when."""
    changes = sorted(
        (random.random() * span_s, random.choice(accounts), random.random() < 0.3)
        for _ in range(CHANGES)
    )
    core = f"sesame{random.getrandbits(96):024x}"
    first = [(0.0, account, False) for account in accounts]
    return Safe(core, random.randbytes(32), [*first, *changes], random)


def draw_gaps(random: Random, span_s: float, *, sure: bool) -> list[tuple[float, float]]:
    """Return when keys are missing in a run, one time after another; never in some runs."""
    if random.random() >= GAPS_SHARE and not sure:
        return []
    gaps: list[tuple[float, float]] = []
    for at_s in sorted(random.random() * span_s for _ in range(random.randint(1, GAPS))):
        begins_s = max(at_s, gaps[-1][1] if gaps else 0.0)
        gaps.append((begins_s, min(span_s, begins_s + random.choice(GAP_S))))
    return gaps


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
            safe.bare.add(account)
            await _remove(world, account)
            await asyncio.sleep(safe.random.random() * REMOVED_FOR_S)
            await _put(world, safe, account)


async def lose_keys(world: World, safe: Safe) -> None:
    """Put a new key in the place of all others for a while, again and again."""
    for begins_s, ends_s in safe.gaps:
        await asyncio.sleep(max(0.0, begins_s - world.loop.time()))
        safe.keys += 1
        safe.missing = True
        world.trace.note("FAULT", f"keys missing but dst{safe.keys}")
        await asyncio.sleep(max(0.0, ends_s - world.loop.time()))
        give_back(world, safe)


def give_back(world: World, safe: Safe) -> None:
    """Have all keys in the file."""
    if safe.missing:
        safe.missing, safe.back_s = False, world.loop.time()
        world.trace.note("FAULT", "keys missing: over")


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


def judge_end(world: World, number: int, reason: str, hub: str) -> None:
    """An attempt whose key is missing ends as one that was never begun, and not for ever (S4)."""
    safe, must, conn = world.safe, world.judge.must, world.disk.conn
    if safe is None or reason not in (Reason.SECRET_KEY_MISSING, Reason.SECRET_UNAVAILABLE):
        return
    job, tasks, account = conn.execute(
        "SELECT job, tasks_set, account FROM allocation JOIN job ON job.number = job"
        " WHERE allocation.number = ?",
        (number,),
    ).fetchone()
    if reason == Reason.SECRET_UNAVAILABLE:
        good = account in safe.bare or world.judge.restores
        must("S4", good, f"a{number} of j{job} failed for a secret that {account} has")
        return
    lately = safe.missing or world.loop.time() < safe.back_s + TOLD_WITHIN_S
    must("S4", lately, f"a{number} of j{job} waits for a key that is not missing")
    place = (hub, safe.keys, job, next(iter(TaskSet.parse(tasks))))
    safe.refused[place] += 1
    many = safe.refused[place]
    must("S4", many <= MOST_REFUSED, f"{hub} has started j{job} {many} times without the key")


def judge_tries(world: World) -> None:
    """No try was counted of a start that lacked its key (S4)."""
    conn, must = world.disk.conn, world.judge.must
    for job, task, tries in conn.execute(
        "SELECT job, task, tries FROM task_try WHERE job IN"
        " (SELECT job FROM allocation WHERE reason = ?)",
        (Reason.SECRET_KEY_MISSING,),
    ).fetchall():
        begun = conn.execute(
            "SELECT tasks_set FROM allocation WHERE job = ? AND reason <> ?",
            (job, Reason.SECRET_KEY_MISSING),
        )
        most = sum(task in TaskSet.parse(text) for (text,) in begun)
        must("S4", tries <= most, f"task {task} of j{job} was tried {tries} times, begun {most}")


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
