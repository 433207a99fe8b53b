"""What a running hub says of itself, for `fenglin doctor`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

from fenglin.cli.humane import count, now_ms
from fenglin.errors import DeniedError, FenglinError
from fenglin.model.states import SiteState
from fenglin.wire.doctor_views import Finding, Level

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fenglin.client import Client
    from fenglin.client.transport import Answer

MOST_SKEW_MS = 5_000
SLOW_CYCLE_MS = 1_000.0
SOON_MS = 14 * 86_400_000
SILENT_MS = 120_000
# Requests that wait longer before the hub even looks at them, at most one in a hundred.
LATE_S = 0.25
MOST_LATE = 0.01
_LATE = re.compile(
    rb'^fenglin_loop_lag_seconds_(?:bucket{le="([0-9.]+)"}|(count)) (\S+)$', re.MULTILINE
)
_JUMPS = re.compile(rb"^fenglin_date_jumps_total (\S+)$", re.MULTILINE)


def examine(client: Client) -> Iterator[Finding]:
    """Yield what is found, good or bad; a room that this token may not enter is left out."""
    try:
        yield from _overview(client)
    except FenglinError as error:
        hint = error.hint or "is it running? see --hub, and its log"
        yield Finding("hub", Level.BAD, f"{client.hub}: {error.what}", hint)
        return
    for look in (_ready, _metrics, _held, _tokens, _ledger, _discrepancies):
        yield from _allowed(look, client)


def _allowed(look: Callable[[Client], Iterator[Finding]], client: Client) -> Iterator[Finding]:
    try:
        yield from look(client)
    except DeniedError as error:
        what = f"not looked at: {error.what}"
        yield Finding(look.__name__.removeprefix("_"), Level.WARN, what, "use an operator's token")
    except FenglinError as error:
        yield Finding(look.__name__.removeprefix("_"), Level.BAD, error.what, error.hint)


def _overview(client: Client) -> Iterator[Finding]:
    before = now_ms()
    pool = client.overview()
    skew_ms = pool.now_ms - (before + now_ms()) // 2
    yield Finding("hub", Level.OK, f"{client.hub}: fenglin {pool.version}, epoch {pool.epoch}")
    if abs(skew_ms) > MOST_SKEW_MS:
        what = f"the hub's differs from this machine's by {skew_ms / 1_000:.0f} s"
        yield Finding("clock", Level.BAD, what, "let both follow a time server")
    else:
        yield Finding("clock", Level.OK, "agrees with this machine's")
    if pool.cycle_ms > SLOW_CYCLE_MS:
        what = f"the newest cycle took {pool.cycle_ms:.0f} ms"
        yield Finding("control loop", Level.WARN, what, "see the hub's load, and its log")
    else:
        yield Finding("control loop", Level.OK, f"a cycle takes {pool.cycle_ms:.0f} ms")
    for site in pool.sites:
        check = f"site {site.name}"
        quiet_ms = pool.now_ms - site.seen_ms
        if site.state == SiteState.DOWN:
            hint = f"see `fenglin site show {site.name}`"
            yield Finding(check, Level.BAD, f"down: {site.state_reason}", hint)
        elif site.seen_ms and quiet_ms > SILENT_MS:
            what = f"silent for {quiet_ms // 1_000} s"
            yield Finding(check, Level.WARN, what, f"see `fenglin site show {site.name}`")
        else:
            what = f"{site.nodes_up} of {site.nodes} nodes up"
            lost = site.nodes_up < site.nodes
            hint = f"see `fenglin node list --site {site.name}`" if lost else ""
            yield Finding(check, Level.WARN if lost else Level.OK, what, hint)


def _ready(client: Client) -> Iterator[Finding]:
    """Yield what hinders the hub, such as a full disk or a witness that does not answer."""
    from fenglin.client.requests import Call, Raw  # noqa: PLC0415 - slow; help needs none

    client.call(Call("GET", "/readyz", Raw))
    yield Finding("readiness", Level.OK, "ready")


def _metrics(client: Client) -> Iterator[Finding]:
    """Yield whether the hub's event loop is late and its date jumps, by its own measure."""
    from fenglin.client.requests import Call, Raw  # noqa: PLC0415 - slow; help needs none

    # A raw answer is what the transport brought.
    text = cast("Answer", client.call(Call("GET", "/metrics", Raw))).body
    jumps = float(found[1]) if (found := _JUMPS.search(text)) else 0.0
    if jumps:
        what = f"its date jumped, {jumps:.0f} times since it started"
        hint = "see date_jumped in its log; let a time server steer its machine's clock"
        yield Finding("date", Level.WARN, what, hint)
    said = {bound or count: float(value) for bound, count, value in _LATE.findall(text)}
    total, soon = said.get(b"count", 0.0), said.get(str(LATE_S).encode(), 0.0)
    if total - soon > MOST_LATE * total:
        late = 1 - soon / total
        what = f"over {LATE_S * 1_000:.0f} ms late at {late:.1%} of all moments"
        hint = "see fenglin_loop_lag_seconds in /metrics; give the hub a core of its own"
        yield Finding("event loop", Level.WARN, what, hint)
    else:
        yield Finding("event loop", Level.OK, "answers in time")


def _held(client: Client) -> Iterator[Finding]:
    from fenglin.client.safety import show_safety  # noqa: PLC0415 - slow; help needs none

    held = client.call(show_safety())
    for one in held.quarantined:
        hint = f"mend the row, then `fenglin job release {one.id}`"
        yield Finding(f"job {one.id}", Level.BAD, f"set aside: {one.why}", hint)
    for user in held.braked:
        what = f"slowed after {user.failures} failures in a row"
        yield Finding(
            f"user {user.user}", Level.WARN, what, f"`fenglin hub release-user {user.user}`"
        )
    for key, jobs in held.keyless.items():
        what = f"not in the hub's key file; {count(jobs, 'job')} waiting for it"
        hint = "put its line back from the copy, or set again what `fenglin secret list` shows"
        yield Finding(f"secrets' key {key}", Level.BAD, what, hint)
    if not held.quarantined:
        yield Finding("quarantine", Level.OK, "no job is set aside")


def _tokens(client: Client) -> Iterator[Finding]:
    from fenglin.client.tokens import list_tokens  # noqa: PLC0415 - slow; help needs none

    now, after, count = now_ms(), 0, 0
    while True:
        page = client.call(list_tokens(after, 1_000))
        for token in page.items:
            count += token.live
            if token.live and 0 < token.expires_ms <= now + SOON_MS:
                days = (token.expires_ms - now) / 86_400_000
                what = f"{token.name}: ends in {days:.1f} days"
                hint = f"`fenglin token rotate {token.id}`"
                yield Finding(f"token {token.id}", Level.WARN, what, hint)
        after = page.next_after
        if not after:
            break
    yield Finding("tokens", Level.OK, f"{count} are live")


def _ledger(client: Client) -> Iterator[Finding]:
    from fenglin.client.proofs import checkpoint  # noqa: PLC0415 - slow; help needs none

    sealed = client.call(checkpoint())
    yield Finding("ledger", Level.OK, f"sealed up to entry {sealed.size}")


def _discrepancies(client: Client) -> Iterator[Finding]:
    from fenglin.client.metering import discrepancies  # noqa: PLC0415 - slow; help needs none
    from fenglin.client.requests import Filter  # noqa: PLC0415 - see above

    found = client.call(discrepancies(Filter((("state", "open"),), limit=1_000))).items
    if found:
        what = f"{len(found)} with providers' accounting are open"
        yield Finding("discrepancies", Level.WARN, what, "see `fenglin metering discrepancies`")
    else:
        yield Finding("discrepancies", Level.OK, "none is open")
