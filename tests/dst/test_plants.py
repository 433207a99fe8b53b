"""The simulator can fail: mistakes that are put in are found, and by the rule that they break.

Each is a mistake that somebody could make in a change of one line, or has made elsewhere.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from types import SimpleNamespace

import pytest
from msgspec.structs import replace

from fenglin.engine import (
    applier,
    breaker,
    effects,
    fold,
    hearing,
    keyless,
    loop,
    quarantine,
    service,
)
from fenglin.engine.books import accounts
from fenglin.engine.fold import Fold
from fenglin.engine.pool import Pool
from fenglin.engine.recovery import Recovery
from fenglin.model.reason import Reason
from fenglin.model.secret import Secret
from fenglin.model.states import AttemptState
from fenglin.ports.vault import Sealed
from fenglin.quantities.taskset import EMPTY
from fenglin.storage import books as ledger_books
from fenglin.storage import commits, late_use, metered
from fenglin.storage import quarantine as stored
from fenglin.storage.vault import SqliteSecrets
from fenglin.testing.dst.run import report, run_seed
from fenglin.testing.dst.vault import SeededKeys
from fenglin.testing.dst.world import EXTRAS, SMALL


def no_fence(patch):
    """A write is taken whatever epoch it carries (F1)."""
    patch.setattr(commits, "check_epoch", lambda _conn, _epoch: None)


def blind_retry(patch):
    """An unclear start counts as one that has not happened: its tasks go elsewhere (J3)."""

    def unclear(self, allocation):
        self.attempt_lost(allocation, Reason.START_FAILED, "no answer")

    patch.setattr(Fold, "start_unclear", unclear)


def believes_absence(patch):
    """One listing without an attempt is enough to give it up (D3)."""
    patch.setattr(breaker, "ABSENT_FOR_MS", 0)
    patch.setattr(hearing, "ABSENT_FOR_MS", 0)


def counts_again(patch):
    """An end that is told twice is counted twice (M2)."""
    real = Fold._task_ended

    def ended(self, job, record, end):
        if end.index not in record.remaining:
            record.usage += type(record.usage)(tasks=1, wall_ms=end.wall_ms)
            return
        real(self, job, record, end)

    patch.setattr(Fold, "_task_ended", ended)


def keeps_holds(patch):
    """What an attempt that used nothing had set aside is never given back (L7)."""
    patch.setattr(fold, "void", lambda _hold: None)
    real = Fold._settle

    def settle(self, job, record):
        real(self, job, record)
        self.change.postings[:] = [draft for draft in self.change.postings if draft is not None]

    patch.setattr(Fold, "_settle", settle)


def loses_stops(patch):
    """A wish to stop is stored and never carried to the site (J6)."""
    patch.setattr(effects.Effects, "stop", lambda _self, _record: None)


def starts_orphans(patch):
    """What a job waits for is not looked at when its tasks start (J10)."""
    patch.setattr(applier, "eligible", lambda job, _parents: job.pending)
    patch.setattr("fenglin.engine.pool.eligible", lambda job, _parents: job.pending)


def frees_twice(patch):
    """What an attempt held is given back twice (A2)."""
    real = Fold._release

    def release(self, record, shares):
        real(self, record, shares)
        if record.state is AttemptState.ENDED:
            real(self, record, shares)

    patch.setattr(Fold, "_release", release)


def trusts_moments(patch):
    """Whatever moment a site tells is stored (J9: one such site ended every hub)."""
    patch.setattr(fold, "_moment_ms", lambda said_ms, _now_ms: said_ms)


def numbers_again(patch):
    """After a restore numbers and epochs go on where the backup was (F3, J1, D1)."""
    patch.setattr("fenglin.testing.dst.disk.outlive", lambda _conn, _now_ms: None)


def holds_nothing(patch):
    """After a restore work starts beside what still runs and nobody knows (J3)."""
    patch.setattr(Recovery, "_hold", lambda _self: None)


def leaves_failures(patch):
    """What becomes of a submission whose caller has gone is read by nobody (UP)."""

    async def shielded(work, running):
        task = asyncio.create_task(work)
        running.add(task)
        task.add_done_callback(running.discard)
        return await asyncio.shield(task)

    patch.setattr(service, "to_its_end", shielded)


def pays_in_twice(patch):
    """A sum that is told again is entered again (L2)."""
    real = accounts.deposit

    def deposit(*given, **named):
        draft = real(*given, **named)
        return replace(draft, key=f"{draft.key}/{next(again)}")

    again = itertools.count()
    patch.setattr(accounts, "deposit", deposit)


def passes_budgets(patch):
    """What an account was charged this month is not looked at when a start is committed (A4)."""
    patch.setattr("fenglin.storage.budgets.left_micro", lambda *_given: {})


def promises_twice(patch):
    """What a pool has promised is promised again (V1)."""
    patch.setattr("fenglin.storage.voucher_rows.free_micro", lambda _conn, _at: 10**9)


def keeps_expired(patch):
    """An expired voucher holds its money for ever (V1)."""
    patch.setattr("fenglin.storage.voucher_rows.lapse", lambda _conn, _now_ms: 0)


def pays_again(patch):
    """A charge is paid with vouchers that others have paid already (V2)."""
    patch.setattr("fenglin.storage.voucher_rows._paid", lambda _conn, _key: {})


def asks_twice(patch):
    """What is asked for under a key again is done again (V3)."""
    patch.setattr(
        "fenglin.storage.vouchers._once", lambda conn, _key, _body, _asked, work: work(conn)
    )


def hides_charges(patch):
    """A posting does not say what it was for (V4)."""
    real = fold.post

    def post(*given, **named):
        draft = real(*given, **named)
        plain = tuple(one for one in draft.details if not one[0].startswith("charge-"))
        return replace(draft, details=plain)

    patch.setattr(fold, "post", post)


def blames_all(patch):
    """When no plan can be made, every job is set aside (J9)."""
    patch.setattr(quarantine.Warden, "_culprits", lambda _self, jobs, _policy: jobs)


def blames_nobody(patch):
    """What raises at one job ends the hub (UP)."""
    patch.setattr(loop, "is_poison", lambda _error: False)


def forgets_former(patch):
    """A job that is let go begins anew, whatever it held (J9)."""
    real = stored.release

    def release(conn, job):
        conn.execute("UPDATE quarantine SET former_state = 'pending' WHERE job = ?", (job,))
        real(conn, job)

    patch.setattr(stored, "release", release)


def forgets_parents(patch):
    """Parents that ended while a job was set aside are unknown when it is let go (J9)."""
    real = Pool.put_back

    def put_back(self, number, found):
        real(self, number, found and dataclasses.replace(found, parents=[]))

    patch.setattr(Pool, "put_back", put_back)


def enters_closed_months(patch):
    """An entry is made at the time that the clock says, be its month closed (L10)."""
    patch.setattr(ledger_books, "closed_until_ms", lambda _conn: 0)


def closes_early(patch):
    """A month is closed before its end (L10)."""
    real = accounts.AccountDesk.close
    ahead = SimpleNamespace(now_ms=lambda: 2 * 10**12)

    def close(self, period, principal):
        return real(SimpleNamespace(**{**vars(self), "_clock": ahead}), period, principal)

    patch.setattr(accounts.AccountDesk, "close", close)


def tells_of_later_hours(patch):
    """The statement of a closed month shows what was granted after it (L10)."""
    real = ledger_books.kinds_of_hours
    patch.setattr(
        ledger_books, "kinds_of_hours", lambda conn, account, _before_ms: real(conn, account, 2**62)
    )


def takes_contradictions(patch):
    """A use that is told again with another body is taken for the same (M1)."""
    patch.setattr(late_use, "digest", lambda _record: b"")


def bills_what_was_heard(patch):
    """What the hub has heard of is billed again when it is told late (M2)."""
    real = late_use.allocation_record

    def deaf(row):
        return dataclasses.replace(real(row), succeeded=EMPTY, failed=EMPTY)

    patch.setattr(late_use, "allocation_record", deaf)


def gives_late_use_away(patch):
    """What is told late is kept and costs nothing (M2)."""
    patch.setattr(late_use.LateUse, "_more", lambda *_given: 0)


def seals_nothing(patch):
    """Values are stored as they are (S3)."""

    def seal(_self, value, _of):
        return Sealed("dst", b"", value.reveal().encode())

    patch.setattr(SeededKeys, "seal", seal)
    patch.setattr(SeededKeys, "open", lambda _self, sealed, _of: Secret(sealed.data.decode()))


def quotes_sites(patch):
    """The words of a site that refuses are told as they are (S3)."""
    patch.setattr(effects, "redacted", lambda text, _secrets: text)


def logs_tracebacks(patch):
    """The traceback of a driver's fault is logged, whatever the driver was given (S3)."""
    real = effects._log

    def error(event, **told):
        real.error(event, **{**told, "exc_info": True})

    patch.setattr(effects, "_log", SimpleNamespace(error=error, warning=real.warning))


def opens_for_all(patch):
    """Whoever names a secret gets that of another account (S3)."""
    real = SqliteSecrets.find
    patch.setattr(SqliteSecrets, "find", lambda self, _account, names: real(self, "lab", names))


def shows_in_the_environment(patch):
    """Secrets stand beside the plain environment as well, which anybody may list (S3)."""
    real = effects.Effects._with_secrets

    async def given(self, order, job):
        order = await real(self, order, job)
        shown = tuple((name, value.reveal()) for name, value in order.secrets)
        return replace(order, env=(*order.env, *shown))

    patch.setattr(effects.Effects, "_with_secrets", given)


def takes_other_bodies(patch):
    """A metered line that is told again with another body is taken for the same (M5)."""
    patch.setattr(metered, "_check_same", lambda _use, _there: None)


def forgets_tiers(patch):
    """What an account used before counts towards no tier (M5)."""
    patch.setattr(metered, "used_before", lambda _conn, _place: 0)


class NoError(Exception):
    """Nobody raises it."""


def fails_for_keys(patch):
    """A start that lacks the key of a secret fails as one whose secret is gone (S4)."""
    patch.setattr(effects, "KeyMissingError", NoError)


def starts_without_keys(patch):
    """A job is started again and again while the key of its secret is missing (S4)."""
    patch.setattr(keyless.Keyless, "shown", lambda _self, rows, _jobs: rows)


def forgets_who_waits(patch):
    """Nobody looks whether a missing key is there again (J5)."""

    async def look(_self, _vault, _jobs):
        return False

    patch.setattr(keyless.Keyless, "look", look)


PLANTS = {
    "takes other bodies": (takes_other_bodies, {"M5"}, ["metered use"]),
    "forgets tiers": (forgets_tiers, {"M5"}, ["metered use"]),
    "fails for keys": (fails_for_keys, {"S4"}, ["missing keys"]),
    "starts without keys": (starts_without_keys, {"S4"}, ["missing keys"]),
    "forgets who waits": (forgets_who_waits, {"J5", "J9"}, ["missing keys"]),
    "enters closed months": (enters_closed_months, {"L10"}, ["closed months", "hub date jumps"]),
    "closes early": (closes_early, {"L10"}, ["closed months"]),
    "tells of later hours": (tells_of_later_hours, {"L10"}, ["closed months", "vouchers"]),
    "takes contradictions": (takes_contradictions, {"M1"}, ["closed months"]),
    "bills what was heard": (bills_what_was_heard, {"M2"}, ["closed months"]),
    "gives late use away": (gives_late_use_away, {"M2"}, ["closed months"]),
    "seals nothing": (seals_nothing, {"S3"}, ["secrets"]),
    "quotes sites": (quotes_sites, {"S3"}, ["secrets"]),
    "logs tracebacks": (logs_tracebacks, {"S3"}, ["secrets"]),
    "opens for all": (opens_for_all, {"S3"}, ["secrets"]),
    "shows in the environment": (shows_in_the_environment, {"S3"}, ["secrets"]),
    "passes budgets": (passes_budgets, {"A4"}, ["vouchers"]),
    "promises twice": (promises_twice, {"V1", "V3"}, ["vouchers"]),
    "keeps expired": (keeps_expired, {"V1"}, ["vouchers"]),
    "pays again": (pays_again, {"V2"}, ["vouchers"]),
    "asks twice": (asks_twice, {"V3"}, ["vouchers"]),
    "hides charges": (hides_charges, {"V4"}, ["vouchers"]),
    "blames all": (blames_all, {"J9"}, ["ill jobs"]),
    "blames nobody": (blames_nobody, {"UP"}, ["ill jobs"]),
    "forgets former": (forgets_former, {"J9"}, ["ill jobs"]),
    "forgets parents": (forgets_parents, {"J5", "J9"}, ["ill jobs"]),
    "leaves failures": (leaves_failures, {"UP"}, ["disk full", "disk slow"]),
    "pays in twice": (pays_in_twice, {"L2"}, []),
    "trusts moments": (trusts_moments, {"UP", "J9"}, ["garbage figures"]),
    "numbers again": (numbers_again, {"F1", "F3", "J1", "J2", "J3", "UP"}, ["old backup restored"]),
    "holds nothing": (holds_nothing, {"J3"}, ["old backup restored"]),
    "no fence": (no_fence, {"F1", "F3", "UP", "J5"}, ["hub stopped past its lease"]),
    "blind retry": (blind_retry, {"J3"}, ["answers lost"]),
    "believes absence": (believes_absence, {"D3", "J3"}, ["says absent"]),
    "counts again": (counts_again, {"M4", "L11"}, ["ends repeated"]),
    "keeps holds": (keeps_holds, {"L7"}, []),
    "loses stops": (loses_stops, {"J6"}, []),
    "frees twice": (frees_twice, {"A3", "UP", "J9"}, []),
    "starts orphans": (starts_orphans, {"J10"}, []),
}

# Far more than any of them has needed.
WITHIN_SEEDS = 40


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_mistake_is_found(name, monkeypatch, record_property):
    plant, rules, more = PLANTS[name]
    plant(monkeypatch)

    for seed in range(WITHIN_SEEDS):
        found = run_seed(seed, SMALL, more=more, plain=not {*more} & {*EXTRAS})
        if found.violation is not None:
            record_property("found at", seed)
            assert found.violation.rule in rules, report(found)
            assert f"replay {seed} --size small" in report(found)
            return
    pytest.fail(f"{name}: not found in {WITHIN_SEEDS} seeds")
