"""The same promises with the state in PostgreSQL, where a hub also has to get its lease again."""

import os
import time

import pytest

from fenglin.ports.crashpoint import POINTS
from fenglin.testing import LocalSite, hub_file
from fenglin.testing.servers.postgres import PostgresServer, find_postgres

ROUNDS = int(os.environ.get("FENGLIN_POSTGRES_ROUNDS", "1"))
SITES = [LocalSite("ai", cpu=1), LocalSite("general", cpu=2), LocalSite("super", cpu=1, speed=2)]


@pytest.fixture
def server():
    if why := find_postgres():
        pytest.skip(why)
    with PostgresServer() as made:
        yield made


def test_nothing_is_lost_or_doubled_wherever_the_hub_dies(
    campaign, server, checks, record_property
):
    url = server.database()
    block = f'database = "{url}"\nlease = "1s"'
    campaign.hub.config.write_text(hub_file(SITES, accounts={"default": "1000 CNY"}, hub=block))
    name = url.rpartition("/")[2]
    campaign._database = lambda: checks(server, name)

    # The door opens before the first leader has made the first token.
    campaign.hub.start()
    end_s = time.monotonic() + 30
    while not (campaign.hub.data / "admin.token").exists() and time.monotonic() < end_s:
        time.sleep(0.05)
    assert campaign.hub.stop() == 0

    reached = [(point, campaign.die_at(point)) for _ in range(ROUNDS) for point in POINTS]

    assert all(was for _, was in reached), f"not reached: {reached}"
    record_property("kill", {"point": "postgres", **campaign.judge()})
