"""The face of a hub that does not lead: it answers from the database what that alone can tell."""

# ruff: noqa: ARG002 - the contract hands every method its principal

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from fenglin.errors import InputError, NotFoundError, UnavailableError
from fenglin.model.ids import job_id
from fenglin.ports.hub import Health

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fenglin.engine.meters import Meters
    from fenglin.engine.tokens import Tokens
    from fenglin.ports.clock import Clock
    from fenglin.ports.hub import Listing, Principal
    from fenglin.ports.store import Store
    from fenglin.wire.views import EventView, JobView, LedgerCheck, Page, Statement


class QuietHub:
    """The part of `ports.hub.Hub` that needs no leader; all else is to be asked later.

    Attributes:
        leader: Address of the hub that leads, as last seen; empty for none.
    """

    def __init__(self, store: Store, tokens: Tokens, meters: Meters, clock: Clock) -> None:
        """Take what answers."""
        self.leader = ""
        self._store = store
        self._tokens = tokens
        self._meters = meters
        self._clock = clock
        self._tokens_made = False

    async def authenticate(self, token: str) -> Principal:
        """See `ports.hub.Hub`; before the first leader has made a token nobody is refused."""
        if not self._tokens_made:
            self._tokens_made = await self._tokens.made()
        if not self._tokens_made:
            raise UnavailableError(
                "the first hub of this database is still starting", hint="ask again in a moment"
            )
        return await self._tokens.holder(token)

    async def jobs(self, listing: Listing, principal: Principal) -> Page[JobView]:
        """See `ports.hub.Hub`."""
        return await self._store.jobs(listing, principal.account)

    async def job(self, number: int, principal: Principal) -> JobView:
        """See `ports.hub.Hub`."""
        view = await self._store.job(number, principal.account)
        if view is None:
            raise NotFoundError(f"there is no job {job_id(number)}")
        return view

    async def events(
        self, number: int, after_seq: int, limit: int, principal: Principal
    ) -> Sequence[EventView]:
        """See `ports.hub.Hub`."""
        await self.job(number, principal)
        return await self._store.events(number, after_seq, limit)

    async def ledger_verify(self, principal: Principal) -> LedgerCheck:
        """See `ports.hub.Hub`."""
        return await self._store.ledger_verify()

    async def ledger_statement(
        self, account: str, from_ms: int, to_ms: int, principal: Principal
    ) -> Statement:
        """See `ports.hub.Hub`."""
        if principal.account and principal.account != account:
            # Exactly what an unknown account answers (S1).
            raise InputError(f"account {account!r} does not exist", where="account")
        if account not in await self._store.balances():
            raise NotFoundError(f"there is no account {account!r}")
        now_ms = self._clock.now_ms()
        return await self._store.ledger_statement(account, from_ms, to_ms or now_ms + 1)

    def health(self) -> Health:
        """See `ports.hub.Hub`: ready while there is a leader to hand requests to."""
        problems = () if self.leader else ("no hub leads at this moment",)
        return Health(not problems, problems)

    def metrics(self) -> bytes:
        """See `ports.hub.Hub`."""
        return self._meters.expose(0, 0)

    @property
    def books(self) -> _QuietBooks:
        """See `ports.hub.Hub`."""
        return _QuietBooks()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the contract has
        """Refuse what only a leader can do."""
        _refuse()


class _QuietBooks:
    """Rooms of the books without a leader: they only let a job be shown as it is stored."""

    @property
    def metering(self) -> _QuietBooks:
        return self

    async def with_energy(self, view: JobView) -> JobView:
        return view

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the contract has
        _refuse()


def _refuse() -> NoReturn:
    raise UnavailableError("no hub leads at this moment", hint="ask again in a few seconds")
