"""Who attacks: a token of every role in two tenants, and those that must open nothing."""

import json
import time
from contextlib import closing
from http.client import HTTPConnection
from typing import NamedTuple
from urllib.parse import urlsplit

from fenglin.client.requests import Filter
from fenglin.client.tokens import make_token, revoke_token
from fenglin.engine.tokens import digest_of, new_token
from fenglin.testing import HubProcess, LocalSite, hub_file
from fenglin.wire.token_views import TokenAsk

ROLES = ("operator", "auditor", "tenant-admin", "member", "viewer", "provider", "agent")
OUTSIDERS = ("none", "unknown", "expired", "revoked")
ACCOUNTS = ("team", "team-a")
OF_ACCOUNT = {"tenant-admin", "member", "viewer"}
PARTY = {"provider": "provider-only", "agent": "only"}
SMALL = {"resources": {"cpu": 0.1, "memory": "16MiB"}}
CONFIG = hub_file([LocalSite("only")], accounts=dict.fromkeys(ACCOUNTS, "10 CNY"))
ANSWER_WITHIN_S = 60


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


class Town:
    """A running hub, and a token for everybody who may want to speak to it.

    `tokens` names them: `operator`, `auditor`, `provider`, `agent`; `team/member` and the like of
    both tenants; `none`, `unknown`, `expired`, `revoked`, which were or look like tokens.
    """

    def __init__(self, hub):
        self.hub = hub
        self.tokens = {"operator": hub.token, "none": "", "unknown": new_token()}
        for role in ("auditor", "provider", "agent"):
            self.tokens[role] = self.make(role, role, party=PARTY.get(role, ""))
        for account in ACCOUNTS:
            for role in sorted(OF_ACCOUNT):
                name = f"{account}/{role}"
                self.tokens[name] = self.make(name, role, account=account)
        self.tokens["expired"] = self.make("expired", "operator", ttl_ms=1)
        self.tokens["revoked"] = self.make("revoked", "operator")
        shown = self.ask("GET", "/v1/tokens?limit=1000", "operator").json["items"]
        self.ids = {one["name"]: one["id"] for one in shown}
        hub.client().call(revoke_token(self.ids["revoked"]))
        time.sleep(0.01)

    def make(self, name, role, **more):
        """Return a new token's text."""
        text = new_token()
        ask = TokenAsk(name=name, role=role, digest=digest_of(text).hex(), **more)
        self.hub.client().call(make_token(ask))
        return text

    def client(self, who):
        """Return a client that comes as somebody."""
        return self.hub.client(token=self.tokens[who])

    def ask(self, method, target, who="operator", body=b"", headers=()):
        """Return the answer to one raw request, with a connection of its own."""
        token = self.tokens[who]
        given = {"Authorization": f"Bearer {token}"} if token else {}
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        address = urlsplit(self.hub.url)
        with closing(
            HTTPConnection(address.hostname, address.port, timeout=ANSWER_WITHIN_S)
        ) as line:
            line.request(method, target, data, {**given, **dict(headers)})
            answer = line.getresponse()
            names = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, names, answer.read())

    def ended_job(self, who="team/member", **more):
        """Return the id of a job that has ended well."""
        account = who.partition("/")[0]
        client = self.client(who)
        plain = {"name": "j", "account": account, "command": ["true"], **SMALL}
        if "script" in more:
            del plain["command"]
        job = client.submit({**plain, **more}).id
        assert client.wait(job, ANSWER_WITHIN_S).state == "succeeded"
        return job


def within(condition, seconds=60.0):
    """Return what a condition gives as soon as that is true."""
    end_s = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end_s, "it did not happen in time"
        time.sleep(0.02)
    return found


def sites(client):
    """Return a hub's sites."""
    return client.sites(Filter()).items


def running_town(folder, config=CONFIG, **more):
    """Return a started hub whose sites have been seen, but for those that dial in."""
    process = HubProcess(folder, config, **more)
    try:
        client = process.start().client()
        within(lambda: all(one.seen_ms or one.driver == "agent" for one in sites(client)))
    except BaseException:
        process.cleanup()
        raise
    return process
