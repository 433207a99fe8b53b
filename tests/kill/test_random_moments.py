"""Killed at moments that nobody chose: the points have names only where we thought of them."""

import time

import pytest

SEEDS = range(4)


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost_or_doubled_when_the_hub_dies_at_a_random_moment(
    seed, campaign, cycles, record_property
):
    # One cycle more than at a point, so that the moments are 50 and more.
    killed = [campaign.die_at_random() for _ in range(cycles + 1)]

    assert all(killed), f"seed {seed}: {killed}"
    record_property("kill", {"point": f"random {seed}", **campaign.judge()})


def test_no_task_meets_itself_when_runners_die_too(campaign, cycles, record_property):
    campaign.retries = 50
    lost = 0
    for _ in range(max(1, cycles // 2)):
        assert campaign.die_at_random()
        lost += campaign.lose_some()
    campaign.hub.start()
    # A second of it; on a machine with much else to do, until something ran at all.
    now_s = time.monotonic()
    while time.monotonic() < now_s + (1.0 if lost else 30.0):
        lost += campaign.lose_some()
        time.sleep(0.05)
    campaign.hub.kill()

    assert lost, "nothing ran that could have been killed"
    record_property("kill", {"point": "runners too", **campaign.judge()})
