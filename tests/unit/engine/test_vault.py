"""Secrets and files of accounts: who may name which, and what others are told."""

import asyncio

import pytest

from fenglin.engine.blobs import Blobs
from fenglin.engine.vault import MOST_BYTES, Vault
from fenglin.errors import InputError, KeyMissingError, NotFoundError
from fenglin.model.job import FileInput, JobSpec
from fenglin.model.secret import Secret
from fenglin.ports.acting import ACTING, Act
from fenglin.ports.hub import Principal
from fenglin.staging import FolderStaging
from fenglin.storage.audit import SqliteAudit
from fenglin.storage.keyring import KEY_FILE, FileKeyring
from fenglin.storage.possession import SqlitePossession
from fenglin.storage.store import SqliteStore
from fenglin.storage.vault import SqliteSecrets
from fenglin.wire.audit_views import AuditQuestion
from fenglin.wire.secret_views import SecretAsk

VALUE = "s3cr3t-of-the-lab"
OPERATOR = Principal("root", frozenset({"admin"}))
ANN = Principal("ann", frozenset({"read", "write"}), "lab")
EVE = Principal("eve", frozenset({"read", "write"}), "team")
SHA = "88d4266fd4e6338d13b845fcf289579d209c897823b9217da3e161936f031589"
CONTENT = b"abcd"


class Room:
    """Secrets and files over a real store, call by call."""

    def __init__(self, folder, clock):
        self.folder = folder
        self.runner = asyncio.Runner()
        self.store = self.run(self._open())
        epoch = self.run(self.store.load((), clock.now_ms())).epoch
        self.keyring = FileKeyring(folder / KEY_FILE)
        self.vault = Vault(
            SqliteSecrets(self.store), self.keyring, clock, lambda: epoch,
            frozenset({"default", "lab", "team"}),
        )  # fmt: skip
        self.blobs = Blobs(
            FolderStaging(folder), SqlitePossession(self.store), clock, lambda: epoch
        )

    async def _open(self):
        return SqliteStore(self.folder / "hub.db")

    def run(self, work):
        return self.runner.run(work)

    def put(self, name="db", value=VALUE, account="", by=ANN):
        return self.run(self.vault.put(name, account, SecretAsk(value=value), by))

    def names(self, by, account=""):
        return [(one.account, one.name) for one in self.run(self.vault.list(account, by)).items]

    def send(self, by):
        async def chunks():
            yield CONTENT

        return self.run(self.blobs.put(SHA, chunks(), by))

    def refusal(self, work):
        with pytest.raises((InputError, NotFoundError)) as caught:
            self.run(work)
        error = caught.value
        return type(error), error.what, error.where, error.hint

    def close(self):
        try:
            self.run(self.store.close())
        finally:
            self.runner.close()


@pytest.fixture
def hub(tmp_path, clock):
    made = Room(tmp_path, clock)
    try:
        yield made
    finally:
        made.close()


def test_a_secret_is_set_listed_opened_and_removed(hub, clock):
    first = hub.put()
    again = hub.put(value="another-value")

    assert (first.version, again.version, again.account) == (1, 2, "lab")
    assert (again.changed_by, again.changed_ms) == ("ann", clock.now_ms())
    assert hub.names(ANN) == hub.names(OPERATOR) == hub.names(OPERATOR, "lab") == [("lab", "db")]
    opened = hub.run(hub.vault.open("lab", (("DB", "db"), ("TOO", "db"))))
    assert opened == (("DB", Secret("another-value")), ("TOO", Secret("another-value")))
    assert hub.run(hub.vault.remove("db", "", ANN)).name == "db"
    assert hub.names(ANN) == []


def test_the_database_holds_no_value_and_no_key(hub):
    hub.put()
    key = (hub.folder / KEY_FILE).read_text().strip().encode()
    hub.run(hub.store.close())

    for path in hub.folder.glob("hub.db*"):
        data = path.read_bytes()
        assert VALUE.encode() not in data
        assert key not in data
    hub.store = hub.run(hub._open())


def test_foreign_and_missing_secrets_answer_alike(hub):
    hub.put()
    wanted = (("DB", "db"),)

    def asked(account):
        spec = JobSpec("j", account=account, secrets=wanted)
        return hub.refusal(hub.vault.check([spec]))

    # A job of another account never finds it, whoever submits.
    assert asked("team")[1:3] == ("there is no secret 'db'", "secrets.DB")
    with pytest.raises(NotFoundError):
        hub.run(hub.vault.open("team", wanted))
    assert hub.names(EVE) == []
    foreign = hub.refusal(hub.vault.remove("db", "", EVE))
    hub.run(hub.vault.remove("db", "", ANN))
    assert hub.refusal(hub.vault.remove("db", "", EVE)) == foreign
    assert asked("lab") == asked("team")


def test_anothers_account_answers_as_one_that_is_none(hub):
    ask = SecretAsk(value=VALUE)
    told = []
    for account in ("lab", "moon"):
        calls = (
            hub.vault.put("db", account, ask, EVE),
            hub.vault.list(account, EVE),
            hub.vault.remove("db", account, EVE),
        )
        told.append([hub.refusal(call) for call in calls])

    foreign, missing = told
    assert [(kind, what.replace("lab", "moon"), *rest) for kind, what, *rest in foreign] == missing
    assert hub.names(OPERATOR) == []


@pytest.mark.parametrize("name", ["", "-a", "a b", "a/b", "ä", "a" * 129, "a\n"])
def test_a_name_is_plain(hub, name):
    assert hub.refusal(hub.vault.put(name, "", SecretAsk(value=VALUE), ANN))[2] == "name"


@pytest.mark.parametrize("value", ["", "a\0b", "x" * (MOST_BYTES + 1), "\ud800"])
def test_a_value_that_reaches_no_task_is_refused(hub, value):
    kind, what, where, hint = hub.refusal(hub.vault.put("db", "", SecretAsk(value=value), ANN))

    assert (kind, where) == (InputError, "value")
    assert not value or value not in f"{what}{hint}"


def test_the_longest_value_comes_back(hub):
    value = "峰" * (MOST_BYTES // 3)
    hub.put(value=value)

    assert hub.run(hub.vault.open("lab", (("A", "db"),)))[0][1].reveal() == value


def test_a_lost_key_is_told(hub):
    hub.put()
    (hub.folder / KEY_FILE).unlink()

    with pytest.raises(KeyMissingError, match="is not in the hub's key file") as caught:
        hub.run(hub.vault.open("lab", (("DB", "db"),)))

    (listed,) = hub.run(hub.vault.list("lab", ANN)).items
    assert caught.value.key == listed.key


def test_each_change_leaves_a_record_without_the_value(hub):
    async def scene():
        for what in ("setSecret", "removeSecret"):
            ACTING.set(Act(1, "ann", 3, "lab", what, "/v1/secrets/db"))
            if what == "setSecret":
                await hub.vault.put("db", "", SecretAsk(value=VALUE), ANN)
            else:
                await hub.vault.remove("db", "", ANN)
        return await SqliteAudit(hub.store).page(AuditQuestion())

    seen = hub.run(scene())

    assert [(one.what, one.subject) for one in seen] == [
        ("setSecret", "/v1/secrets/db"), ("removeSecret", "/v1/secrets/db"),
    ]  # fmt: skip
    assert VALUE not in repr(seen)


def test_a_digest_is_not_the_file(hub):
    """What another account has sent answers as what nobody has, to every question."""
    spec = JobSpec("j", account="team", files=(FileInput("x", SHA, 4),))

    def asked():
        return (
            hub.refusal(hub.blobs.has(SHA, EVE)),
            hub.run(hub.blobs.missing([SHA], EVE)),
            hub.refusal(hub.blobs.check([spec], EVE)),
        )

    before = asked()
    hub.send(ANN)

    assert asked() == before
    assert hub.run(hub.blobs.has(SHA, ANN)).size_bytes == 4
    assert hub.run(hub.blobs.missing([SHA, "0" * 64], ANN)) == ["0" * 64]
    hub.run(hub.blobs.check([spec], ANN))
    hub.run(hub.blobs.check([spec], OPERATOR))
    hub.send(EVE)
    hub.run(hub.blobs.check([spec], EVE))
    assert hub.run(hub.blobs.missing([SHA], EVE)) == []


def test_wrong_bytes_prove_nothing(hub):
    hub.send(ANN)

    async def lies():
        yield b"abce"

    with pytest.raises(InputError):
        hub.run(hub.blobs.put(SHA, lies(), EVE))
    assert hub.run(hub.blobs.missing([SHA], EVE)) == [SHA]
