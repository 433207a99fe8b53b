"""A hub that only remembers what it was asked, and a client that speaks ASGI to the door."""

import asyncio
import contextlib
import json
from dataclasses import dataclass, field
from functools import cache
from types import SimpleNamespace

import pytest
from tests.unit.api.fakeinventory import FakeInventory
from tests.unit.api.fakemetering import FakeMetering
from tests.unit.api.fakerooms import (
    FakeAccounts,
    FakeAgents,
    FakeAudit,
    FakeBills,
    FakeIdentity,
    FakeLogin,
    FakePrices,
    FakeProofs,
    FakeSafety,
    FakeSecrets,
)
from tests.unit.api.fakesettling import FakeSettling
from tests.unit.api.fakevouchers import FakeVouchers

from fenglin.api import create_app
from fenglin.errors import DeniedError, NotFoundError
from fenglin.model.plan import Receipt
from fenglin.ports.driver import LogChunk
from fenglin.ports.hub import Health, Principal
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
            settling=FakeSettling(self._asked),
            metering=FakeMetering(self._asked),
            inventory=FakeInventory(self._asked),
            problems=(),
        )

    @property
    def agents(self):
        return FakeAgents(self._asked, self.artifact_path)

    @property
    def identity(self):
        return FakeIdentity(self._asked)

    @property
    def audit(self):
        return FakeAudit(self._asked)

    @property
    def safety(self):
        return FakeSafety(self._asked)

    @property
    def secrets(self):
        return FakeSecrets(self._asked)

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

    async def cancel(self, number, principal, tasks=None):
        self._asked("cancel", number, *([] if tasks is None else [str(tasks)]), principal.name)
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
