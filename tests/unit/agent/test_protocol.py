"""Agent and hub of versions N−2 to N+1 work together; others are told which to upgrade."""

import msgspec
import pytest

from fenglin.drivers.agent.reading import read_observations
from fenglin.errors import ConflictError, DriverError
from fenglin.model.reason import Reason
from fenglin.ports.driver import Presence
from fenglin.wire.agent_views import PROTOCOL, Hello, OrdersAsk, Welcome, agree


@pytest.mark.parametrize(
    ("own", "other", "both"),
    [
        *((5, 5, 5), (5, 4, 4), (5, 3, 3), (5, 6, 5), (1, 1, 1), (1, 2, 1)),
        (PROTOCOL, PROTOCOL, PROTOCOL),
    ],
)
@pytest.mark.parametrize("agent", [True, False])
def test_near_versions_agree_on_the_older(own, other, both, agent):
    assert agree(own, other, agent=agent) == both


@pytest.mark.parametrize(
    ("own", "other", "agent", "hint"),
    [
        (5, 2, False, "upgrade the agent"),
        (5, 7, False, "upgrade the hub"),
        (5, 2, True, "upgrade the hub"),
        (5, 7, True, "upgrade the agent"),
        (1, 0, False, "upgrade the agent"),
        (2, -1, False, "upgrade the agent"),
    ],
)
def test_far_versions_are_refused_with_a_remedy(own, other, agent, hint):
    with pytest.raises(ConflictError) as caught:
        agree(own, other, agent=agent)
    assert caught.value.hint == hint
    assert str(other) in caught.value.what


def test_fields_of_later_versions_are_ignored():
    later = b'{"protocol": 2, "agent": "a", "wings": [1], "driver": "local"}'
    assert msgspec.json.decode(later, type=Hello) == Hello(2, "a", driver="local")
    welcome = b'{"protocol": 1, "hub": "h", "epoch": 2, "session": "s", "box": "b", "more": {}}'
    assert msgspec.json.decode(welcome, type=Welcome).epoch == 2
    assert msgspec.json.decode(b'{"session": "s", "most": 9}', type=OrdersAsk).after == 0


def test_reasons_of_later_versions_are_plain_failures():
    told = b"""[{"key": "h-a1-1", "presence": "ended", "cursor": "9", "reason": "eaten",
                 "ends": [{"index": 3, "started_ms": 1, "wall_ms": 2, "reason": "bitten"},
                          {"index": 4, "started_ms": 1, "wall_ms": 2},
                          {"index": 5, "started_ms": 1, "wall_ms": 2, "reason": "timeout"}]}]"""
    (seen,) = read_observations(told, "site far")
    assert (seen.presence, seen.reason) == (Presence.ENDED, Reason.EXIT_CODE)
    assert [end.reason for end in seen.ends] == [Reason.EXIT_CODE, None, Reason.TIMEOUT]


@pytest.mark.parametrize("told", [b"", b"{}", b'[{"key": 1}]', b"[" * 100_000, b"\xff", b"null"])
def test_what_is_no_observation_is_a_fault_of_the_site(told):
    with pytest.raises(DriverError):
        read_observations(told, "site far")
