"""Routes of what is set aside or held back."""

from __future__ import annotations

from litestar import get, post
from litestar.params import FromPath

from fenglin.api.caller import Asked, desk_of, needs
from fenglin.model.ids import parse_job_id
from fenglin.model.role import Scope
from fenglin.wire.safety_views import ReleasedView, SafetyView

_TAGS = ["safety"]


@get(
    "/v1/safety",
    opt=needs(Scope.ADMIN),
    tags=_TAGS,
    operation_id="showSafety",
    summary="Show what is set aside or held back",
)
async def show(request: Asked) -> SafetyView:
    """Tell of jobs that were set aside, users that are slowed, and sites that are not settled."""
    return await desk_of(request).hub.safety.show(request.user)


@post(
    "/v1/jobs/{job:str}/release",
    opt=needs(Scope.ADMIN),
    status_code=200,
    tags=_TAGS,
    operation_id="releaseJob",
    summary="Try a job again that was set aside",
)
async def release(request: Asked, job: FromPath[str]) -> ReleasedView:
    """Put the job back as it was; if handling it raises again, it is set aside again."""
    return await desk_of(request).hub.safety.release(parse_job_id(job), request.user)


@post(
    "/v1/safety/users/{user:str}/release",
    opt=needs(Scope.ADMIN),
    status_code=200,
    tags=_TAGS,
    operation_id="releaseUser",
    summary="Slow a user no longer",
)
async def release_user(request: Asked, user: FromPath[str]) -> ReleasedView:
    """Forget the user's failures."""
    return await desk_of(request).hub.safety.release_user(user, request.user)


ROUTES = (show, release, release_user)
