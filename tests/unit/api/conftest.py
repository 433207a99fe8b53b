"""A hub that only remembers what it was asked, and a client that speaks ASGI to the door."""

import asyncio
import contextlib
import importlib.util
import json
import runpy
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.unit.api.fakevouchers import FakeVouchers

from fenglin.api import create_app
from fenglin.catalog.pricebook.items import FOREVER_MS, PriceKey, PriceTerms, PriceVersion
from fenglin.errors import DeniedError, NotFoundError
from fenglin.ledger.bill import make_bill
from fenglin.ledger.proof import ProofFile
from fenglin.ledger.statement import Funds
from fenglin.model.plan import Receipt
from fenglin.ports.driver import LogChunk
from fenglin.ports.hub import Health, Principal
from fenglin.quantities.period import parse_period
from fenglin.wire.account_views import AccountList, AccountView, MoneyMoved, PeriodClosed
from fenglin.wire.login_views import LoginView
from fenglin.wire.price_views import PricesAdded, PriceView
from fenglin.wire.proof_views import CheckpointView, ConsistencyView
from fenglin.wire.token_views import TokenList, TokenView
from fenglin.wire.views import (
    ArtifactView,
    BlobView,
    Changed,
    DryRun,
    EventView,
    Explanation,
    JobView,
    LedgerCheck,
    NodeView,
    Overview,
    Page,
    PlanView,
    QueueView,
    SiteView,
    Statement,
    Submitted,
    TaskCounts,
)

# Tests cannot import one another's modules.
FakeInventory = runpy.run_path(str(Path(__file__).with_name("fakeinventory.py")))["FakeInventory"]
FakeMetering = runpy.run_path(str(Path(__file__).with_name("fakemetering.py")))["FakeMetering"]
PLACE = Path(__file__).with_name("fakesettling.py")
SPEC = importlib.util.spec_from_file_location("fakesettling", PLACE)
fakesettling = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(fakesettling)

SHA = "ab" * 32
DOCUMENT = b'{"name": "karst", "command": ["true"]}'
NOW_MS = 1_700_000_000_000


def job_view(number=7, **more):
    plain = {
        "id": f"j{number}",
        "name": "karst",
        "queue": "default",
        "account": "default",
        "priority": 0,
        "state": "pending",
        "reason": "",
        "detail": "",
        "task_count": 1,
        "tasks": TaskCounts(pending=1),
        "submitted_ms": NOW_MS,
        "started_ms": 0,
        "ended_ms": 0,
        "expected_finish_ms": 0,
        "held_micro": 0,
        "cost_micro": 0,
    }
    return JobView(**(plain | more))


def site_view(name="west", state="active"):
    return SiteView(name, "here", "local", "node", state, "", 1, 1, 2000, 0, 2**30, 0, 0, 0, 0, 0)


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
class FakeHub:
    """Answers at once; `fails` makes every call raise, `calls` keeps what was asked."""

    tokens: dict[str, Principal] = field(default_factory=dict)
    calls: list[tuple] = field(default_factory=list)
    fails: Exception | None = None
    ready: Health = field(default_factory=lambda: Health(ready=True))
    log: bytes = b""
    log_complete: bool = False
    artifact_path: object = None
    news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def books(self):
        return SimpleNamespace(
            proofs=FakeProofs(self._asked),
            accounts=FakeAccounts(self._asked),
            bills=FakeBills(self._asked),
            vouchers=FakeVouchers(self._asked),
            prices=FakePrices(self._asked),
            settling=fakesettling.FakeSettling(self._asked),
            metering=FakeMetering(self._asked),
            inventory=FakeInventory(self._asked),
            problems=(),
        )

    @property
    def identity(self):
        return FakeIdentity(self._asked)

    @property
    def login(self):
        return FakeLogin(self._asked)

    def _asked(self, *call):
        self.calls.append(call)
        if self.fails is not None:
            raise self.fails

    async def authenticate(self, token):
        if token not in self.tokens:
            raise DeniedError("the token is not known", http_status=401)
        return self.tokens[token]

    async def submit(self, specs, principal, idempotency_key, body):
        self._asked("submit", [spec.name for spec in specs], principal.name, idempotency_key, body)
        return [Submitted(f"j{i}", "pending") for i, _ in enumerate(specs, 1)]

    async def dry_run(self, spec, principal):
        self._asked("dry_run", spec.name, principal.name)
        return DryRun(Receipt(job=0, index=1, policy="plain", started=1, waiting=0), 5)

    async def jobs(self, listing, principal):
        self._asked("jobs", listing, principal.name)
        return Page([job_view()], next="c2", total=2)

    async def job(self, number, principal):
        self._asked("job", number, principal.name)
        if number != 7:
            raise NotFoundError("no such job", where=f"j{number}")
        return job_view(number)

    async def explain(self, number, principal):
        self._asked("explain", number, principal.name)
        return Explanation(f"j{number}", "pending", None)

    async def events(self, number, after_seq, limit, principal):
        self._asked("events", number, after_seq, limit, principal.name)
        return (EventView(3, NOW_MS, "submitted", "by ada"),)

    async def cancel(self, number, principal):
        self._asked("cancel", number, principal.name)
        return job_view(number, state="cancelling")

    async def wait(self, number, timeout_s, principal):
        self._asked("wait", number, timeout_s, principal.name)
        if timeout_s:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.news.wait(), timeout_s)
        return job_view(number, state="succeeded" if self.news.is_set() else "running")

    async def watch(self, after, filters, timeout_s, principal):
        self._asked("watch", after, list(filters), timeout_s, principal.name)
        return Changed([job_view()], "1.2")

    async def read_log(self, number, task, offset, limit, principal):
        self._asked("read_log", number, task, offset, limit, principal.name)
        data = self.log[offset : offset + limit]
        end = offset + len(data)
        return LogChunk(data, end, self.log_complete and end >= len(self.log))

    async def wait_log(self, number, timeout_s):
        self._asked("wait_log", number, timeout_s)
        self.news.clear()
        await self.news.wait()

    async def artifacts(self, number, principal):
        self._asked("artifacts", number, principal.name)
        return (ArtifactView("0/left.png", 4, NOW_MS),)

    async def artifact(self, number, path, principal):
        self._asked("artifact", number, path, principal.name)
        return self.artifact_path

    async def has_blob(self, sha256, principal):
        self._asked("has_blob", sha256, principal.name)
        return BlobView(sha256, 4)

    async def missing_blobs(self, sha256s, principal):
        self._asked("missing_blobs", tuple(sha256s), principal.name)
        return list(sha256s)[1:]

    async def put_blob(self, sha256, chunks, principal):
        size = 0
        async for chunk in chunks:
            size += len(chunk)
        self._asked("put_blob", sha256, size, principal.name)
        return BlobView(sha256, size)

    async def sites(self, listing, principal):
        self._asked("sites", listing, principal.name)
        return Page([site_view()])

    async def site(self, name, principal):
        self._asked("site", name, principal.name)
        return site_view(name)

    async def set_site(self, name, principal, *, drained, reason):
        self._asked("set_site", name, drained, reason, principal.name)
        return site_view(name, "drained" if drained else "active")

    async def nodes(self, listing, principal):
        self._asked("nodes", listing, principal.name)
        return Page([NodeView("west", "n1", "std", True, 2000, 0, 1, 0, 0, 0, 0, 0)])

    async def queues(self, listing, principal):
        self._asked("queues", listing, principal.name)
        return Page([QueueView("default", 1000, "", 0, 0, 0, 0, 0, 0, 0.0)])

    async def plans(self, listing, principal):
        self._asked("plans", listing, principal.name)
        return Page([PlanView(12, NOW_MS, 1, 2, 300)])

    async def plan_record(self, index, principal):
        self._asked("plan_record", index, principal.name)
        return b"cycle"

    async def overview(self, principal):
        self._asked("overview", principal.name)
        return Overview("h", "0", NOW_MS, True, 1, 1, 0.5, 0, 0, 0, 0, 0, [site_view()], [])

    async def ledger_verify(self, principal):
        self._asked("ledger_verify", principal.name)
        return LedgerCheck(True, 0, 0, "", "", "l1")

    async def ledger_statement(self, account, from_ms, to_ms, principal):
        self._asked("ledger_statement", account, from_ms, to_ms, principal.name)
        return Statement(account, "CNY", from_ms, to_ms, 0, 0, 0, 0, 0, [], "l1", 0, "")

    async def ledger_export(self, form, principal):
        self._asked("ledger_export", form, principal.name)
        yield b"first\n"
        yield b"second\n"

    def health(self):
        return self.ready

    def metrics(self):
        self._asked("metrics")
        return b"fenglin_jobs 1\n"


@dataclass
class Answer:
    """What came back. `cut` is True when the answer broke off."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    pieces: int = 0
    cut: bool = True

    def json(self):
        return json.loads(self.body)


class Caller:
    """Speaks ASGI as uvicorn does, without a socket."""

    def __init__(self, door):
        self.door = door

    async def ask(
        self, method, target, body=b"", headers=(), *, token=None, chunks=None, gone=None
    ):
        """Send one request; `chunks` replaces the body by pieces without Content-Length."""
        token = "full" if token is None else token
        path, _, query = target.partition("?")
        pairs = []
        if "Host" not in dict(headers):
            pairs.append((b"host", b"127.0.0.1:8642"))
        if token:
            pairs.append((b"authorization", b"Bearer " + token.encode("latin-1")))
        pairs += [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
        if chunks is not None:
            pairs.append((b"transfer-encoding", b"chunked"))
        elif body:
            pairs.append((b"content-length", str(len(body)).encode()))
        left = list(chunks) if chunks is not None else [body]
        gone = gone or asyncio.Event()
        answer = Answer()

        async def receive():
            if left:
                piece = left.pop(0)
                return {"type": "http.request", "body": piece, "more_body": bool(left)}
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message):
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                found = [(n.decode().lower(), v.decode("latin-1")) for n, v in message["headers"]]
                answer.headers = dict(found)
                assert len(found) == len(answer.headers), "a header is sent twice"
            else:
                answer.body += message.get("body", b"")
                answer.pieces += bool(message.get("body"))
                answer.cut = message.get("more_body", False)
                if not answer.cut:
                    gone.set()

        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode("utf-8", "replace"),
            "query_string": query.encode("latin-1"),
            "root_path": "",
            "headers": pairs,
            "client": ("127.0.0.1", 5),
            "server": None,
            "state": {},
        }
        await self.door(scope, receive, send)
        return answer

    def __call__(self, *args, **more):
        """The same, from a test that has no event loop."""
        # An event belongs to the loop in which it was first waited for.
        self.door.desk._stopping = asyncio.Event()
        return asyncio.run(self.ask(*args, **more))


async def until(condition):
    """Let others run until the condition holds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - fakes have no event for each of their calls
            await asyncio.sleep(0.001)


@pytest.fixture(name="until")
def until_fixture():
    return until


@pytest.fixture
def hub():
    return FakeHub(
        tokens={
            "full": Principal("ada", frozenset({"read", "write", "admin"})),
            "read": Principal("rhea", frozenset({"read"}), account="lab"),
            "write": Principal("walt", frozenset({"read", "write"}), account="lab"),
            "tenant": Principal("tess", frozenset({"read", "write", "tenant"}), account="lab"),
            "nothing": Principal("nemo", frozenset()),
        }
    )


@cache
def door(*, fast_lane=True, require_auth=True):
    """Build a door once: Litestar takes its time. The fixtures change what stands behind it."""
    return create_app(
        FakeHub(),
        fast_lane=fast_lane,
        require_auth=require_auth,
        max_body_bytes=1000,
        max_blob_bytes=2000,
        max_waiters=2,
        now_ms=lambda: NOW_MS,
    )


def caller(hub, **kind):
    made = door(**kind)
    made.desk.hub = hub
    made.desk._stopping = asyncio.Event()
    return Caller(made)


@pytest.fixture(params=[True, False], ids=["fast", "litestar"])
def both(request, hub):
    """The door by either way; what is asked of it must not depend on which."""
    return caller(hub, fast_lane=request.param)


@pytest.fixture
def call(hub):
    return caller(hub)


@pytest.fixture
def open_call(hub):
    """A door without authentication."""
    return caller(hub, require_auth=False)
