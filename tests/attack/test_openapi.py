"""Requests made from the OpenAPI document: the hub serves or refuses each one as it says it does.

The document's schemas tell a generator what is right and what is wrong by form, and each is sent:
by the operator, who gets furthest, and by everybody else in turn. No answer may be a fault of the
hub, or of a status, a type, a header or a shape that the document does not name for it.
"""

import hashlib
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from tests.attack.people import ACCOUNTS, OF_ACCOUNT, OUTSIDERS, Town, running_town
from tests.attack.test_reach import BODIES, ROWS, UNLISTED, WHO

from fenglin.client.prices import add_price
from fenglin.client.vault import set_secret
from fenglin.client.vouchers import apply, open_pool
from fenglin.ledger.vouchers.claim import Application, Line
from fenglin.ledger.vouchers.scheme import NO_CAP_MICRO, Ratio, Reservation, Scheme
from fenglin.testing import LocalSite, hub_file
from fenglin.wire.price_views import PriceAsk
from fenglin.wire.voucher_views import ApplyAsk, PoolAsk

# One hub serves the whole module.
pytestmark = pytest.mark.xdist_group("attack-openapi")

ROUTES = [route for route, _ in ROWS if route not in UNLISTED]
# What is done to `only` starts nothing and stops nothing: no agent ever dials in.
CONFIG = "\n".join(
    [
        hub_file([LocalSite("west")], accounts=dict.fromkeys(ACCOUNTS, "10 CNY")),
        LocalSite("only").block().replace('driver = "local"', 'driver = "agent"'),
    ]
)
SCHEME = Scheme(
    name="gz", title="算力券", budget_micro=10**9, reservation=Reservation.FIFO,
    ratios=(Ratio(0, 3_000),), firm_cap_micro=NO_CAP_MICRO, items=("compute",), unrelated=True,
    once_per_contract=True, paid_proof=False, signed_from="", valid_days=90,
)  # fmt: skip
APPLICATION = Application(
    id="a1", account="team", firm="f", seller="s", contract="c", signed="2026-09-01",
    lines=(Line("compute", 10**6),),
)  # fmt: skip
SHUT_OUT = {401, 403, 429}


class Asked:
    """The generator at work beside this process; tells what came of a route as soon as it has."""

    def __init__(self, folder, town, document):
        given = folder / "asked.json"
        given.write_text(
            json.dumps(
                {"url": town.hub.url, "tokens": town.tokens, "routes": ROUTES, "document": document}
            ),
            encoding="utf-8",
        )
        self._log = folder / "asker.log"
        self._told = {}
        with self._log.open("wb") as log:
            self._child = subprocess.Popen(
                [sys.executable, Path(__file__).with_name("asker.py"), given],
                cwd=folder, stdout=subprocess.PIPE, stderr=log,
            )  # fmt: skip

    def of(self, route):
        """Return what came of a route."""
        while route not in self._told:
            line = self._child.stdout.readline()
            assert line, f"the generator ended: {self._log.read_text(encoding='utf-8')}"
            told = json.loads(line)
            self._told[told["route"]] = told
        return self._told[route]

    def end(self):
        """Stop asking."""
        self._child.kill()
        self._child.wait()
        self._child.stdout.close()


def made(town):
    """Return names of things that there are, by the document's name of the parameter."""
    client = town.hub.client()
    client.call(set_secret("db", "karst", "team"))
    price = client.call(add_price(PriceAsk(unit="core_hour", currency="CNY", price="0.12")))
    pool = client.call(open_pool(PoolAsk(year=2027, scheme=SCHEME))).name
    client.call(apply(pool, ApplyAsk(applications=(APPLICATION,))))
    sha256 = hashlib.sha256(b"water").hexdigest()
    assert town.ask("PUT", f"/v1/blobs/{sha256}", body=b"water").status in (200, 201)
    job = town.ended_job()
    plans = town.ask("GET", "/v1/plans").json["items"]
    return {
        "job": job, "index": str(plans[-1]["index"]), "sha256": sha256, "pool": pool,
        "voucher": APPLICATION.id, "price": price.first, "site": "only", "account": "team",
        "name": "db", "user": "operator", "token": town.ids["expired"], "provider": "provider-only",
        "period": "2026-11",
    }  # fmt: skip


def with_examples(document, things):
    """Let the document's parameters name things that there are, and give its bodies examples.

    Who asks is ours to say, so the generator is told of no security: it makes no tokens.
    """
    del document["components"]["securitySchemes"]
    for path, item in document["paths"].items():
        for method, operation in item.items():
            operation["security"] = []
            for parameter in operation["parameters"]:
                schema = parameter["schema"]
                if schema["type"] == "string" and parameter["name"] in things:
                    parameter["schema"] = {"enum": [things[parameter["name"]]]}
            body = BODIES.get(f"{method.upper()} {path}", "").replace("nobody", "team")
            for form, content in operation.get("requestBody", {"content": {}})["content"].items():
                if body and (form == "application/json" or not body.startswith(("{", "["))):
                    content["example"] = json.loads(body) if form == "application/json" else body


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """Return what was asked of a hub of this module's own, where nothing can hurt another test."""
    folder = tmp_path_factory.mktemp("openapi")
    with running_town(folder, CONFIG) as hub:
        town = Town(hub)
        document = town.ask("GET", "/openapi.json", "none").json
        with_examples(document, made(town))
        asked = Asked(folder, town, document)
        try:
            yield asked
        finally:
            asked.end()


@pytest.mark.parametrize("route", ROUTES)
def test_every_answer_is_one_that_the_document_names(asked, route):
    told = asked.of(route)

    assert told["trouble"] == "", told["trouble"]
    served = {int(key.rpartition(" ")[2]) for key in told["statuses"] if "operator " in key}
    assert served - SHUT_OUT


def test_everybody_asked(asked):
    """The tests above would hold too if hardly anything had been asked."""
    served = set()
    people = Counter()
    for route in ROUTES:
        for key, count in asked.of(route)["statuses"].items():
            who, _, status = key.rpartition(" ")
            people[who] += count
            if who == "operator" and status.startswith("2"):
                served.add(route)

    assert len(people) == len(WHO) + len(OF_ACCOUNT) + len(OUTSIDERS)
    assert min(people.values()) > 100
    assert people["operator"] > 2_000
    # The others need what only an agent, a firm or the end of a month can bring about.
    assert len(served) > 60, sorted(set(ROUTES) - served)


def test_the_generator_stays_in_its_own_process():
    """Its pytest plugin would change Hypothesis in this one: pyproject.toml keeps it out."""
    assert "schemathesis" not in sys.modules
