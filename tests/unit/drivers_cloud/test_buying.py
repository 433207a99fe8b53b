"""What is bought, how often, at what price, and what becomes of it when things go wrong."""

import pytest

from fenglin.drivers.cloud import stock
from fenglin.drivers.cloud.provider import Life, refused, unclear
from fenglin.drivers.cloud.purchases import Phase
from fenglin.errors import DriverError
from fenglin.model.reason import Reason
from fenglin.ports.driver import Presence

FULL = ("no capacity", "site aws", Reason.PROVIDER_CAPACITY)


def test_a_start_buys_its_node_once_and_waits_for_it(play):
    site = play()
    key = site.start()
    assert site.start() == key
    site.restart()
    assert site.start() == key
    (wanted,) = site.cloud.bought
    assert (wanted.node, wanted.number, wanted.machine) == ("std-0", 1, "s")
    assert wanted.token.isascii()
    assert len(wanted.token) <= 64
    seen = site.look(key)
    assert (seen.presence, seen.started, seen.ends) == (Presence.RUNNING, 0, ())
    assert site.call(site.driver.keys()) == {key}


def test_attempts_of_a_node_share_its_instance(play):
    site = play()
    site.start(1)
    site.start(2)
    site.start(3, nodes=("std-0", "std-1"))
    assert [wanted.node for wanted in site.cloud.bought] == ["std-0", "std-1"]


def test_user_data_names_the_keys_and_is_dropped_when_bought(play):
    site = play()
    site.start()
    (wanted,) = site.cloud.bought
    assert wanted.user_data.startswith("#cloud-config\n")
    assert "OPENSSH PRIVATE KEY" in wanted.user_data
    assert "restrict ssh-ed25519 " in wanted.user_data
    (record,) = (site.context.directory / "purchases").iterdir()
    assert b"PRIVATE KEY" not in record.read_bytes()
    assert record.stat().st_mode & 0o077 == 0
    assert site.book()[1].fingerprint.startswith("SHA256:")


def test_a_refusal_is_typed_leaves_nothing_and_rests_the_flavor(play):
    site = play()
    site.cloud.errors = [refused(*FULL)]
    with pytest.raises(DriverError) as caught:
        site.start()
    assert (caught.value.reason, caught.value.effect_unknown) == ("provider_capacity", False)
    assert site.call(site.driver.keys()) == frozenset()
    assert site.look("hub-a1-1").presence is Presence.ABSENT
    with pytest.raises(DriverError) as again:
        site.start(2)
    assert again.value.reason == "provider_capacity"
    assert site.cloud.bought == []
    report = site.call(site.driver.inventory())
    assert {n.name: n.up for n in report.nodes} == {"big-0": True, "std-0": False, "std-1": False}
    site.start(3, nodes=("big-0",))


def test_nothing_is_bought_above_the_ceiling(play):
    site = play(max_price_per_hour=7)
    site.start(1)
    up = {node.name: node.up for node in site.call(site.driver.inventory()).nodes}
    assert up == {"big-0": True, "std-0": True, "std-1": False}
    site.start(2, nodes=("big-0",))
    with pytest.raises(DriverError) as caught:
        site.start(3, nodes=("std-1",))
    assert caught.value.reason == "price_ceiling"
    assert "9.00 CNY" in caught.value.what
    assert len(site.cloud.bought) == 2


@pytest.mark.parametrize("repeatable", [True, False])
def test_an_answer_that_is_lost_is_looked_up(play, repeatable):
    site = play(repeatable=repeatable)
    site.cloud.lost = [unclear("reset", "site aws")]
    key = site.start()
    site.wait(lambda: site.book()[1].phase is Phase.BOUGHT, "the purchase")
    assert list(site.cloud.there) == ["i-1"]
    assert site.look(key).presence is Presence.RUNNING


def test_a_request_that_was_lost_is_made_again(play):
    site = play()
    site.cloud.errors = [unclear("reset", "site aws")]
    site.start()
    site.wait(lambda: site.book()[1].phase is Phase.BOUGHT, "the purchase")
    assert list(site.cloud.there) == ["i-1"]


def test_where_there_are_no_tokens_nothing_is_asked_twice_in_haste(play):
    site = play(repeatable=False)
    site.cloud.errors = [unclear("reset", "site aws")]
    site.start()
    site.call(site.driver._keeper._round())
    assert site.cloud.bought == []
    site.now_ms += 60_001
    site.driver._keeper.wake()
    site.wait(lambda: site.book()[1].phase is Phase.BOUGHT, "the purchase")
    assert len(site.cloud.there) == 1


def test_a_second_instance_of_a_purchase_goes_back_at_once(play):
    site = play()
    site.start()
    site.cloud.add("i-9", 1)
    site.wait(lambda: site.cloud.released == ["i-9"], "the second one's release")
    assert site.book()[1].instance == "i-1"


def test_a_stranger_goes_back_after_its_grace_alone(play):
    site = play(orphan_grace="1h")
    site.cloud.add("i-7", 7)
    assert site.look("hub-a5-1").presence is Presence.UNKNOWN  # it may run there
    site.call(site.driver._keeper._round())
    assert site.cloud.released == []
    site.start()
    assert site.cloud.bought[0].number == 8  # its number is never used again
    site.raw["orphan_grace"] = "0s"
    site.restart()
    site.call(site.driver.inventory())
    site.wait(lambda: site.cloud.released == ["i-7"], "the stranger's release")


def test_an_idle_instance_goes_back_and_a_busy_one_stays(play):
    site = play(idle="0s")
    key = site.start(1)
    site.cloud.set("i-1", life=Life.RUNNING, address="10.0.0.1")
    site.call(site.driver._keeper._round())
    assert site.cloud.released == []
    site.call(site.driver._attempts.change(key, forgotten=True, logged=True))
    site.wait(lambda: site.book()[1].phase is Phase.GONE, "its end")
    assert site.cloud.released == ["i-1"]
    assert site.book()[1].reason is None


@pytest.mark.parametrize("reason", [Reason.NODE_RECLAIMED, Reason.SITE_LOST])
def test_what_ran_on_an_instance_that_is_gone_is_over(play, reason):
    site = play()
    key = site.start()
    site.cloud.set("i-1", life=Life.GONE, reason=reason)
    site.wait(lambda: site.look(key).presence is Presence.ENDED, "the end")
    assert site.look(key).reason is reason
    site.restart()
    assert site.look(key).reason is reason
    site.call(site.driver.forget(key))
    assert site.call(site.driver.keys()) == frozenset()
    site.start(2)
    assert [wanted.number for wanted in site.cloud.bought] == [1, 2]


def test_an_instance_that_fails_is_given_back_with_its_reason(play):
    site = play()
    key = site.start()
    site.cloud.set("i-1", life=Life.FAILED, reason=Reason.PROVIDER_CAPACITY, said="No valid host")
    site.wait(lambda: site.look(key).presence is Presence.ENDED, "the end")
    assert site.look(key).reason is Reason.PROVIDER_CAPACITY
    site.wait(lambda: site.cloud.released == ["i-1"], "its release")


def test_an_instance_that_nobody_reaches_is_given_up(play):
    site = play(boot="10m")
    key = site.start()
    site.cloud.set("i-1", life=Life.RUNNING, address="10.0.0.2")
    site.call(site.driver._keeper._round())
    assert site.look(key).presence is Presence.RUNNING
    site.now_ms += 600_001
    site.wait(lambda: site.look(key).presence is Presence.ENDED, "the end")
    assert site.look(key).reason is Reason.START_FAILED
    site.wait(lambda: site.cloud.released == ["i-1"], "its release")


def test_missing_from_one_listing_is_not_gone(play):
    site = play()
    key = site.start()
    kept = dict(site.cloud.there)
    site.cloud.there.clear()
    for _ in range(3):
        site.call(site.driver._keeper._round())
    assert site.look(key).presence is Presence.RUNNING
    assert site.book()[1].phase is Phase.BOUGHT
    site.cloud.there.update(kept)


def test_absence_is_believed_when_complete_listings_agree_on_it(play, monkeypatch):
    monkeypatch.setattr(stock, "ABSENT_S", 0.2)
    site = play()
    key = site.start()
    site.cloud.there.clear()
    site.wait(lambda: site.look(key).presence is Presence.ENDED, "the end")
    assert site.look(key).reason is Reason.SITE_LOST


def test_what_never_could_be_bought_is_given_up_and_a_late_instance_of_it_goes_back(
    play, monkeypatch
):
    monkeypatch.setattr(stock, "ABSENT_S", 0.2)
    site = play(repeatable=False)
    site.cloud.errors = [unclear("reset", "site aws")]
    key = site.start()
    site.wait(lambda: site.look(key).presence is Presence.ENDED, "the end")
    assert site.look(key).reason is Reason.START_FAILED
    site.cloud.add("i-5", 1)
    site.call(site.driver._stock.look(0))
    site.wait(lambda: site.cloud.released == ["i-5"], "its release")


def test_a_stop_while_it_waits_runs_nothing(play):
    site = play()
    key = site.start()
    site.call(site.driver.stop(key, 0))
    seen = site.look(key)
    assert (seen.presence, seen.reason) == (Presence.ENDED, Reason.CANCELLED)
    site.start()
    assert site.look(key).reason is Reason.CANCELLED


def test_a_cloud_that_cannot_be_asked_takes_the_site_down_and_ends_nothing(play):
    site = play()
    key = site.start()
    site.cloud.down = DriverError("no way", where="site aws")
    site.restart()
    with pytest.raises(DriverError, match="no way"):
        site.call(site.driver.inventory())
    assert site.look(key).presence is Presence.RUNNING
    assert site.look("hub-a9-1").presence is Presence.UNKNOWN


def test_a_driver_that_was_replaced_does_nothing_any_more(play):
    site = play(idle="0s")
    key = site.start()
    old = site.driver
    site.restart()
    site.call(old._attempts.change(key, forgotten=True, logged=True))
    site.wait(old._keeper._task.done, "the end of its rounds")
    assert site.cloud.released == []
