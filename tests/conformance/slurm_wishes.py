"""What a job may say to Slurm itself, on real clusters of any release and by any way."""

import getpass

import pytest

from fenglin.errors import DriverError
from fenglin.model.wishes import SchedulerWish
from fenglin.testing.conformance.stopping import FOR_EVER

# Settings that go with the cases.
GRANTS = {
    "accounts": {"team": "physics"},
    "per_job": {
        "account": {"chem": ["team"]},
        "qos": ["long"],
        "reservation": {"course": ["team"]},
    },
}


def columns(site, key, *letters):
    """Return what squeue shows of a key's job."""
    form = "|".join(f"%{letter}" for letter in letters)
    asked = site.harness.command("squeue", "--noheader", f"--name={key}", f"--format={form}")
    return site.call(asked).strip().split("|")


class WishCases:
    """Account and reservation; they need no accounting of Slurm's."""

    def test_what_a_job_may_name_reaches_slurm(self, site):
        user = getattr(site.harness.cluster, "user", "") or getpass.getuser()
        command = site.harness.command
        made = site.call(
            command(
                "scontrol", "create", "reservation", "ReservationName=course", "StartTime=now",
                "Duration=30", f"Users={user}", "NodeCnt=1",
            )
        )  # fmt: skip
        assert "Reservation created: course" in made
        try:
            named = (("account", "chem"), ("reservation", "course"))
            wishes = tuple(SchedulerWish(*one, required=True) for one in named)
            key = site.start(site.order(script=FOR_EVER, account="team", wishes=wishes))
            site.running(key)
            assert columns(site, key, "a", "v") == ["chem", "course"]
            site.stop(key, 0)
            site.finish(key)
        finally:
            site.call(command("scancel", "--reservation=course"))
            site.call(command("scontrol", "delete", "ReservationName=course"))

    def test_no_job_spends_the_slurm_account_of_others(self, site):
        """A wish that is not granted is passed over, one that is insisted on refused."""
        own = site.start(site.order(script=FOR_EVER, account="team"))
        wish = SchedulerWish("account", "chem")
        stranger = site.start(site.order(script=FOR_EVER, account="others", wishes=(wish,)))
        assert columns(site, own, "a") == ["physics"]
        assert columns(site, stranger, "a")[0] not in ("chem", "physics")
        for key in (own, stranger):
            site.stop(key, 0)
            site.finish(key)
        wish = SchedulerWish("account", "chem", required=True)
        order = site.order(script=FOR_EVER, account="others", wishes=(wish,))
        with pytest.raises(DriverError, match="is not granted to account others") as caught:
            site.start(order)
        assert not caught.value.effect_unknown
        assert site.call(site.harness.objects(order.key)) == 0
