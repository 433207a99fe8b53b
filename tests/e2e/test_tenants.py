"""Two accounts on one hub: neither can see, touch or charge what is the other's."""

import pytest

from fenglin.client.audit import list_audit, verify_audit
from fenglin.client.requests import Filter
from fenglin.client.tokens import make_token
from fenglin.engine.tokens import new_token
from fenglin.errors import DeniedError, FenglinError, InputError, NotFoundError
from fenglin.testing import HubProcess, LocalSite, hub_file
from fenglin.wire.audit_views import AuditQuestion
from fenglin.wire.token_text import digest_of
from fenglin.wire.token_views import TokenAsk

# One hub serves the whole module.
pytestmark = pytest.mark.xdist_group("e2e-tenants")

SMALL = {"resources": {"cpu": 0.1, "memory": "16MiB"}}
TOKENS = {name: new_token() for name in ("ada", "bob", "reader")}
HOLDERS = [("ada", "member", "a"), ("bob", "member", "b"), ("reader", "viewer", "a")]


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """Return a hub that knows a token for each account."""
    config = hub_file([LocalSite("only")], accounts={"a": "10 CNY", "b": "10 CNY"})
    with HubProcess(tmp_path_factory.mktemp("tenants"), config) as process:
        admin = process.start().client()
        for name, role, account in HOLDERS:
            digest = digest_of(TOKENS[name]).hex()
            ask = TokenAsk(digest=digest, name=name, role=role, account=account)
            admin.call(make_token(ask))
        yield process


@pytest.fixture
def ada(hub):
    return hub.client(token=TOKENS["ada"])


@pytest.fixture
def bob(hub):
    return hub.client(token=TOKENS["bob"])


@pytest.fixture
def job(ada):
    """Return a job of account a that has ended and kept a file."""
    document = {"name": "secret", "account": "a", "script": "echo x | tee f", "artifacts": ["f"]}
    made = ada.submit({**document, **SMALL}).id
    assert ada.wait(made, 30).state == "succeeded"
    return made


CALLS = {
    "show": lambda client, job: client.job(job),
    "explain": lambda client, job: client.explain(job),
    "events": lambda client, job: client.events(job),
    "cancel": lambda client, job: client.cancel(job),
    "wait": lambda client, job: client.wait(job, 0),
    "log": lambda client, job: client.read_log(job, 0),
    "artifacts": lambda client, job: client.artifacts(job),
    "artifact": lambda client, job: client.artifact(job, "0/f").__enter__(),
    "child": lambda client, job: client.submit(
        {"name": "c", "account": "b", "after": [job], "command": ["true"], **SMALL}
    ),
    "input": lambda client, job: client.submit(
        {
            "name": "c",
            "account": "b",
            "files": [{"artifacts_of": job, "target": "in"}],
            "command": ["true"],
            **SMALL,
        }
    ),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_foreign_job_answers_as_a_missing_one(ada, bob, job, call):
    with pytest.raises(FenglinError) as foreign:
        CALLS[call](bob, job)
    with pytest.raises(FenglinError) as missing:
        CALLS[call](bob, "j99999")

    assert isinstance(foreign.value, NotFoundError | InputError)
    assert str(foreign.value).replace(job, "ID") == str(missing.value).replace("j99999", "ID")
    assert ada.job(job).state == "succeeded"


def test_listings_hold_only_ones_own(ada, bob, job):
    assert job in [one.id for one in ada.jobs(Filter()).items]
    assert bob.jobs(Filter()).items == []
    assert bob.jobs(Filter((("account", "a"),))).items == []
    assert bob.jobs(Filter((("name", "secret"),))).items == []


@pytest.mark.usefixtures("job")
def test_money_of_another_is_neither_shown_nor_spent(ada, bob):
    assert ada.ledger_statement("a").charged_micro > 0
    for account in ("a", "nobody"):
        with pytest.raises(FenglinError) as error:
            bob.ledger_statement(account)
        assert error.value.what == f"account {account!r} does not exist"
        with pytest.raises(InputError, match="does not exist"):
            bob.submit({"name": "x", "account": account, "command": ["true"], **SMALL})
    with pytest.raises(DeniedError), bob.ledger_export("csv"):
        pass


def test_scopes(hub, ada, job):
    reader = hub.client(token=TOKENS["reader"])
    assert reader.job(job).name == "secret"

    with pytest.raises(DeniedError):
        reader.submit({"name": "x", "account": "a", "command": ["true"], **SMALL})
    with pytest.raises(DeniedError):
        reader.cancel(job)
    for client in (reader, ada):
        with pytest.raises(DeniedError):
            client.drain("only", "not mine")


def test_plans_show_everybodys_jobs_and_are_for_admins_only(ada):
    for ask in (lambda: ada.plans(Filter()), lambda: ada.plan_record("now")):
        with pytest.raises(DeniedError):
            ask()


def test_who_did_it_is_in_the_audit_trail(hub, ada, bob):
    made = ada.submit({"name": "kept", "account": "a", "script": "sleep 60", **SMALL}).id
    with pytest.raises(NotFoundError):
        bob.cancel(made)
    ada.cancel(made)
    admin = hub.client()
    trail = admin.call(list_audit(AuditQuestion(limit=1_000))).items
    assert [one.what for one in trail[:3]] == ["makeToken"] * 3
    mine = [one for one in trail if made in one.subject.replace("/", " ").split()]
    assert [(one.actor, one.account, one.what) for one in mine] == [
        ("ada", "a", "submit"),
        ("ada", "a", "cancelJob"),
    ]
    assert admin.call(verify_audit()).ok
    for tenant in (ada, bob):
        with pytest.raises(DeniedError):
            tenant.call(list_audit(AuditQuestion()))
