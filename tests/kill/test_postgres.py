"""The same promises with the state in PostgreSQL, where a hub also has to get its lease again."""

import time

import pytest

from fenglin.ports.crashpoint import POINTS
from fenglin.testing import LocalSite, hub_file
from fenglin.testing.servers.postgres import PostgresServer, find_postgres

SITES = [LocalSite("ai", cpu=1), LocalSite("general", cpu=2), LocalSite("super", cpu=1, speed=2)]
CHECKS = {
    "live": "SELECT number, state FROM allocation WHERE state <> 'ended'",
    "use": "SELECT site, name FROM node WHERE cpu_used_milli <> 0 OR memory_used_bytes <> 0",
    "holds": "SELECT key FROM ledger_entry AS hold WHERE key LIKE 'hold:%' AND"
    " (SELECT count(*) FROM ledger_entry AS done WHERE done.key IN"
    " ('post:' || substr(hold.key, 6), 'void:' || substr(hold.key, 6))) <> 1",
    "usage": "SELECT number FROM allocation WHERE number NOT IN (SELECT allocation FROM usage)",
}


@pytest.fixture
def server():
    if why := find_postgres():
        pytest.skip(why)
    with PostgresServer() as made:
        yield made


def test_nothing_is_lost_or_doubled_wherever_the_hub_dies(campaign, server, record_property):
    url = server.database()
    block = f'database = "{url}"\nlease = "1s"'
    campaign.hub.config.write_text(hub_file(SITES, accounts={"default": "1000 CNY"}, hub=block))
    name = url.rpartition("/")[2]
    campaign._database = lambda: [
        (what, row) for what, query in CHECKS.items() for row in server.sql(query, name)
    ]

    # The door opens before the first leader has made the first token.
    campaign.hub.start()
    end_s = time.monotonic() + 30
    while not (campaign.hub.data / "admin.token").exists() and time.monotonic() < end_s:
        time.sleep(0.05)
    assert campaign.hub.stop() == 0

    reached = {point: campaign.die_at(point) for point in POINTS}

    assert all(reached.values()), f"not reached: {reached}"
    record_property("kill", {"point": "postgres", **campaign.judge()})
