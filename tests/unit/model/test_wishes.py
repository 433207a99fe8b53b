"""What a job asks of a site's own scheduler, and who grants it."""

from fenglin.model.job import JobSpec
from fenglin.model.wishes import SchedulerWish, grants, label_of, scoped, wishes_of


def test_what_is_required_counts_before_what_is_wished():
    spec = JobSpec(
        "a",
        labels=(("scheduler.qos", "low"), ("scheduler.reservation", "r"), ("team", "x")),
        require=(("scheduler.qos", "high"), ("tier", "gold")),
    )
    assert wishes_of(spec) == (
        SchedulerWish("qos", "high", required=True),
        SchedulerWish("reservation", "r"),
    )
    assert wishes_of(JobSpec("b")) == ()


def test_a_grant_is_for_all_or_for_one_account():
    [(mine, value)] = scoped((("scheduler.qos", "high"),), "team")
    assert (mine, value) == (label_of("qos", "team"), "high")
    assert grants(label_of("qos"), mine)
    assert grants(label_of("qos", "team"), mine)
    assert not grants(label_of("qos", "others"), mine)
    assert not grants(label_of("account"), mine)


def test_other_labels_are_nobodys():
    labels = (("scheduler.partition", "x"), ("tier", "gold"))
    assert scoped(labels, "team") is labels
    assert grants("tier", "tier")
