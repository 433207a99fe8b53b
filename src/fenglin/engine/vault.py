"""Secrets of accounts: set, listed without their values, and opened for an attempt that starts."""

from __future__ import annotations

import asyncio
import re
from functools import partial
from typing import TYPE_CHECKING

from fenglin.errors import InputError, NotFoundError
from fenglin.model.job import DEFAULT_ACCOUNT
from fenglin.model.secret import Secret
from fenglin.ports.vault import SecretRecord
from fenglin.wire.secret_views import SecretList, SecretView

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fenglin.model.job import JobSpec
    from fenglin.ports.clock import Clock
    from fenglin.ports.hub import Principal
    from fenglin.ports.vault import Keyring, SecretId, Secrets
    from fenglin.wire.secret_views import SecretAsk

# With 16 of them a job stays below what exec() takes, beside 1 MiB of its own; see intake.fields.
MOST_BYTES = 2**15
MOST_SECRETS = 1_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)


class Vault:
    """Implements `ports.vault.SecretDesk` for the door and `ports.vault.Vault` for starts."""

    def __init__(
        self,
        secrets: Secrets,
        keyring: Keyring,
        clock: Clock,
        epoch: Callable[[], int],
        accounts: frozenset[str],
    ) -> None:
        """Take store, keys, clock, the leader's epoch, and the accounts there are."""
        self._secrets = secrets
        self._keyring = keyring
        self._clock = clock
        self._epoch = epoch
        self._accounts = accounts

    async def put(
        self, name: str, account: str, ask: SecretAsk, principal: Principal
    ) -> SecretView:
        """See `ports.vault.SecretDesk`."""
        whose = self._whose(account, principal)
        _check_name(name)
        _check_value(ask.value)
        seal = partial(self._sealed, Secret(ask.value), principal.name)
        return _view(await self._secrets.put(self._epoch(), whose, name, seal, MOST_SECRETS))

    async def list(self, account: str, principal: Principal) -> SecretList:
        """See `ports.vault.SecretDesk`."""
        whose = self._whose(account, principal) if account else principal.account
        return SecretList(items=[_view(one) for one in await self._secrets.list(whose)])

    async def remove(self, name: str, account: str, principal: Principal) -> SecretView:
        """See `ports.vault.SecretDesk`."""
        whose = self._whose(account, principal)
        if not await self._secrets.find(whose, [name]):
            raise _missing(name)
        gone = await self._secrets.remove(self._epoch(), whose, name)
        if gone is None:
            raise _missing(name)
        return _view(gone)

    async def check(self, specs: Sequence[JobSpec]) -> None:
        """Refuse jobs that name a secret which their account has not.

        Raises:
            InputError: one does; says which.
        """
        asked = {(spec.account, spec.secrets) for spec in specs if spec.secrets}
        for account, wanted in sorted(asked):
            found = await self._secrets.find(account, sorted({name for _, name in wanted}))
            for variable, name in wanted:
                if name not in found:
                    raise InputError(
                        f"there is no secret {name!r}",
                        where=f"secrets.{variable}",
                        hint=f"set it first: `fenglin secret set {name}`",
                    )

    async def open(
        self, account: str, wanted: Sequence[tuple[str, str]]
    ) -> tuple[tuple[str, Secret], ...]:
        """See `ports.vault.Vault`."""
        found = await self._secrets.find(account, sorted({name for _, name in wanted}))

        def opened() -> tuple[tuple[str, Secret], ...]:
            pairs = []
            for variable, name in wanted:
                if name not in found:
                    raise _missing(name)
                one = found[name]
                pairs.append((variable, self._keyring.open(one.sealed, one.id)))
            return tuple(pairs)

        return await asyncio.to_thread(opened)

    def _sealed(self, value: Secret, who: str, of: SecretId) -> SecretRecord:
        return SecretRecord(of, self._keyring.seal(value, of), self._clock.now_ms(), who)

    def _whose(self, account: str, principal: Principal) -> str:
        whose = account or principal.account or DEFAULT_ACCOUNT
        if whose not in self._accounts or principal.account not in {"", whose}:
            # Exactly what an unknown account answers (S1).
            raise InputError(f"account {whose[:80]!r} does not exist", where="account")
        return whose


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name[:80]!r} is no name of a secret",
            where="name",
            hint="up to 128 letters, digits, dots, dashes and _, a letter or digit first",
        )


def _check_value(value: str) -> None:
    """Refuse a value that could reach no task; it is never shown, not even in part."""
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise InputError("the value is no valid Unicode", where="value") from None
    if not 0 < size <= MOST_BYTES:
        raise InputError(
            f"the value has {size} bytes",
            where="value",
            hint=f"at least 1 and at most {MOST_BYTES}",
        )
    if "\0" in value:
        raise InputError("the value holds a NUL, which no variable can", where="value")


def _missing(name: str) -> NotFoundError:
    return NotFoundError(f"there is no secret {name[:128]!r}", hint="see `fenglin secret list`")


def _view(one: SecretRecord) -> SecretView:
    return SecretView(
        name=one.id.name,
        account=one.id.account,
        version=one.id.version,
        changed_ms=one.changed_ms,
        changed_by=one.changed_by,
        key=one.sealed.key,
    )
