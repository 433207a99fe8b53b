"""Rooms of the hub that only remembers what it was asked: proofs, money, prices, tokens."""

from dataclasses import dataclass

from msgspec import Raw

from fenglin.catalog.pricebook.items import FOREVER_MS, PriceKey, PriceTerms, PriceVersion
from fenglin.ledger.bill import make_bill
from fenglin.ledger.proof import ProofFile
from fenglin.ledger.statement import Funds
from fenglin.quantities.period import parse_period
from fenglin.wire.account_views import AccountList, AccountView, MoneyMoved, PeriodClosed
from fenglin.wire.agent_views import Order, Orders, Welcome
from fenglin.wire.audit_views import AuditCheck, AuditPage
from fenglin.wire.login_views import LoginView
from fenglin.wire.price_views import PricesAdded, PriceView
from fenglin.wire.proof_views import CheckpointView, ConsistencyView
from fenglin.wire.safety_views import ReleasedView, SafetyView
from fenglin.wire.secret_views import SecretList, SecretView
from fenglin.wire.token_views import TokenList, TokenView
from fenglin.wire.views import Page

PRICE = PriceVersion(
    7, PriceKey("core_hour", "gz"), PriceTerms("CNY", 120_000), 5, FOREVER_MS, 0, FOREVER_MS
)
CHECKPOINT = CheckpointView(key="k", size=3, checkpoint="note")


class FakeProofs:
    """Answers for the ledger's proofs."""

    def __init__(self, asked):
        self._asked = asked

    async def checkpoint(self, principal, *, fresh):
        self._asked("checkpoint", fresh, principal.name)
        return CHECKPOINT

    async def consistency(self, old, new):
        self._asked("consistency", old, new)
        return ConsistencyView.of(old, new, [b"h" * 32])

    async def prove(self, account, from_ms, to_ms, earlier, principal):
        self._asked("prove", account, from_ms, to_ms, earlier, principal.name)
        return ProofFile(
            account=account,
            from_ms=from_ms,
            to_ms=to_ms,
            key="k",
            checkpoint="note",
            entries=("{}",),
            inclusion=(),
        )


ADDED = PricesAdded(first="p8", added=1, superseded=0, unchanged=0)


ACCOUNT = AccountView(
    name="lab",
    currency="CNY",
    available_micro=5,
    held_micro=0,
    credit_limit_micro=0,
    low_micro=0,
    standing="ok",
)
MOVED = MoneyMoved(entry=3, key="deposit:bank-1", time_ms=9, account=ACCOUNT)


class FakeAccounts:
    """Answers for accounts."""

    def __init__(self, asked):
        self._asked = asked

    async def list(self, principal):
        self._asked("accounts", principal.name)
        return AccountList(items=[ACCOUNT])

    async def show(self, account, principal):
        self._asked("account", account, principal.name)
        return ACCOUNT

    async def deposit(self, account, move, principal):
        self._asked("deposit", account, move.amount_micro, move.key, principal.name)
        return MOVED

    async def refund(self, account, move, principal):
        self._asked("refund", account, move.amount_micro, move.key, principal.name)
        return MOVED

    async def close(self, period, principal):
        self._asked("close", period, principal.name)
        return PeriodClosed(period=period, zone="+08:00", from_ms=1, to_ms=2, entry=4, open_holds=0)


class FakePrices:
    """Answers for the price book."""

    def __init__(self, asked):
        self._asked = asked

    async def prices(self, listing, *, every):
        self._asked("prices", listing, every)
        return Page([PriceView.of(PRICE)])

    async def price(self, name):
        self._asked("price", name)
        return PriceView.of(PRICE)

    async def add(self, ask, principal):
        self._asked("add_price", ask.unit, ask.price, principal.name)
        return ADDED

    async def load(self, data, principal, *, form, source, provider, supersede):
        self._asked("load_prices", data, form, source, provider, supersede, principal.name)
        return ADDED


class FakeBills:
    """Answers for bills."""

    def __init__(self, asked):
        self._asked = asked

    async def bill(self, account, period, principal):
        self._asked("bill", account, period, principal.name)
        return make_bill(account, parse_period(period), Funds(), (), None, final=True)


@dataclass
class FakeIdentity:
    """The room of tokens."""

    _asked: object

    async def own(self, principal):
        self._asked("own_token", principal.name)
        return token_view()

    async def page(self, principal, *, after, limit):
        self._asked("tokens", after, limit, principal.name)
        return TokenList(items=[token_view()])

    async def make(self, ask, principal):
        self._asked("make_token", ask, principal.name)
        return token_view()

    async def rotate(self, token, ask, principal):
        self._asked("rotate_token", token, ask, principal.name)
        return token_view()

    async def revoke(self, token, principal):
        self._asked("revoke_token", token, principal.name)
        return token_view()


@dataclass
class FakeAudit:
    """The audit trail."""

    _asked: object

    async def page(self, asked, principal):
        self._asked("audit", asked, principal.name)
        return AuditPage(items=[], next_after=7)

    async def check(self, principal):
        self._asked("verify_audit", principal.name)
        return AuditCheck(ok=True, records=3, first_bad=0, why="", head="ab")


@dataclass
class FakeSafety:
    """What is set aside or held back."""

    _asked: object

    async def show(self, principal):
        self._asked("safety", principal.name)
        return SafetyView(quarantined=[], starts_per_s=9)

    async def release(self, job, principal):
        self._asked("release", job, principal.name)
        return ReleasedView(f"j{job}")

    async def release_user(self, user, principal):
        self._asked("release_user", user, principal.name)
        return ReleasedView(user)


SECRET = SecretView(name="db", account="lab", version=2, changed_ms=9, changed_by="ada", key="ab12")


class FakeSecrets:
    """Answers for secrets."""

    def __init__(self, asked):
        self._asked = asked

    async def list(self, account, principal):
        self._asked("secrets", account, principal.name)
        return SecretList(items=[SECRET])

    async def put(self, name, account, ask, principal):
        self._asked("set_secret", name, account, ask.value, principal.name)
        return SECRET

    async def remove(self, name, account, principal):
        self._asked("remove_secret", name, account, principal.name)
        return SECRET


@dataclass
class FakeLogin:
    """The room of logging in."""

    _asked: object

    def settings(self):
        self._asked("login_settings")
        return LoginView(issuer="https://id.example", client_id="fenglin")

    async def enter(self, ask):
        self._asked("enter", ask)
        return token_view()


def token_view():
    return TokenView(
        id="t7", name="ann", role="member", scopes=["read"], account="lab", party="", maker="ada",
        created_ms=1, expires_ms=0, revoked_ms=0, used_ms=0, live=True,
    )  # fmt: skip


@dataclass
class FakeAgents:
    """The room of sites that dial in, and its one mailbox."""

    _asked: object
    file: object

    async def hello(self, site, hello, principal):
        self._asked("agent_hello", site, hello.protocol, principal.name)
        return Welcome(hello.protocol, "hub", 3, "s", "b")

    async def orders(self, site, ask, principal):
        self._asked("agent_orders", site, ask.after, principal.name)
        return Orders("hub", 3, (Order(4, "keys", Raw(b"null")),))

    def take(self, site, answers, principal):
        self._asked("agent_answers", site, answers.answers, answers.news, principal.name)

    def mailbox(self, _site, _principal):
        return self

    async def input(self, key, digest):
        self._asked("agent_input", key, digest)
        return self.file

    async def keep(self, place, chunks, *, executable):
        self._asked("agent_artifact", place, executable)
        return sum([len(piece) async for piece in chunks])
