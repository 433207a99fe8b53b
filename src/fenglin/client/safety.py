"""Calls for what is set aside or held back, for `Client.call` and `AsyncClient.call`."""

from __future__ import annotations

from urllib.parse import quote

from fenglin.client.requests import API, Call
from fenglin.wire.safety_views import ReleasedView, SafetyView


def show_safety() -> Call[SafetyView]:
    """Show what is set aside or held back."""
    return Call("GET", f"{API}/safety", SafetyView)


def release_job(job: str) -> Call[ReleasedView]:
    """Try a job again that was set aside."""
    return Call("POST", f"{API}/jobs/{quote(job, safe='')}/release", ReleasedView)


def release_user(user: str) -> Call[ReleasedView]:
    """Slow a user no longer."""
    return Call("POST", f"{API}/safety/users/{quote(user, safe='')}/release", ReleasedView)
