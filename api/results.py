"""The routes that read results."""

import hashlib
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Path, Query, Request, Response

from api.access import tenant_of
from api.answers import Ages, Envelope, FeaturesAnswer, ModelsAnswer, ScoreAnswer, head, joined, spliced
from api.freshness import Freshness
from api.openapi import answered
from api.problems import Refused, documented
from api.settings import ApiSettings
from sinks.base import ResultReader

Id = Annotated[str, Path(min_length=1, max_length=256)]
Wait = Annotated[
    str,
    Query(pattern=r"^[0-9]{1,6}(ms|s)$", description="How long to wait for a score that is not there yet: 250ms, 2s."),
]


def result_routes(reader: ResultReader, freshness: Freshness, settings: ApiSettings) -> APIRouter:
    """Return the routes that answer from `reader`."""
    router, answers = APIRouter(tags=["results"]), _Answers(freshness, settings)
    by_tenant = Depends(tenant_of(settings.api_keys))
    errors = documented(401, 403, 404, 422, 503) if settings.api_keys else documented(404, 422, 503)

    @router.get("/scores/{event_id:path}", responses=answered(ScoreAnswer) | errors, response_class=Response)
    async def score(request: Request, event_id: Id, wait: Wait = "0ms", tenant: str = by_tenant) -> Response:
        """Return the fraud score of an event; with `wait`, of one that was published just now."""
        waiting = min(milliseconds(wait), settings.longest_wait_ms)
        question = reader.wait_for_score(event_id, waiting, tenant) if waiting else reader.score(event_id, tenant)
        unknown = f"No score of event {event_id!r}. If it was published just now, ask again with ?wait=2s."
        return await answers.about(request, "score", await question, unknown)

    @router.get("/users/{user:path}/risk", responses=answered(ScoreAnswer) | errors, response_class=Response)
    async def user_risk(request: Request, user: Id, tenant: str = by_tenant) -> Response:
        """Return the fraud score of a user's newest event."""
        unknown = f"No event of user {user!r} was scored lately. Check the id, and the tenant in X-Tenant."
        return await answers.about(request, "score", await reader.user_risk(user, tenant), unknown)

    @router.get("/users/{user:path}/features", responses=answered(FeaturesAnswer) | errors, response_class=Response)
    async def user_features(request: Request, user: Id, tenant: str = by_tenant) -> Response:
        """Return a user's features as of their newest event."""
        unknown = f"No event of user {user!r} was seen lately. Check the id, and the tenant in X-Tenant."
        return await answers.about(request, "features", await reader.user_features(user, tenant), unknown)

    @router.get("/terminals/{terminal:path}", responses=answered(ScoreAnswer) | errors, response_class=Response)
    async def terminal(request: Request, terminal: Id, tenant: str = by_tenant) -> Response:
        """Return the fraud score of a terminal's newest event; its vector holds the terminal's features."""
        unknown = f"No event at terminal {terminal!r} was scored lately. Check the id, and the tenant in X-Tenant."
        return await answers.about(request, "score", await reader.terminal(terminal, tenant), unknown)

    @router.get("/models", responses=answered(ModelsAnswer) | errors, response_class=Response)
    async def models(request: Request, tenant: str = by_tenant) -> Response:
        """Return the newest published version of each model."""
        return await answers.models(request, dict(await reader.models(tenant)))

    return router


def milliseconds(span: str) -> int:
    """Return a span such as "250ms" or "2s" in milliseconds.

    >>> milliseconds("250ms"), milliseconds("2s")
    (250, 2000)
    """
    return int(span.removesuffix("ms")) if span.endswith("ms") else int(span.removesuffix("s")) * 1000


class _Answers:
    def __init__(self, freshness: Freshness, settings: ApiSettings) -> None:
        self._freshness = freshness
        self._names = {known: msgspec.json.encode(names) for known, names in settings.feature_names.items()}

    async def about(self, request: Request, part: str, stored: bytes | None, unknown: str) -> Response:
        if stored is None:
            raise Refused(404, unknown)
        known = head(stored)
        ages = await self._freshness.ages(known.event_time)
        envelope = self._envelope(known.event_time, ages, known.source, (known.model, known.version))
        names = self._names.get(known.features or "customer", b"null")
        return _conditional(request, envelope, {"feature_names": names, part: stored})

    async def models(self, request: Request, found: dict[str, bytes]) -> Response:
        if not found:
            raise Refused(404, "No model has been published yet: it takes a first batch of matured labels.")
        as_of = max(head(version).event_time for version in found.values())
        envelope = self._envelope(as_of, await self._freshness.ages(as_of), "models", (None, None))
        return _conditional(request, envelope, {"models": joined(found)})

    def _envelope(self, as_of: int, ages: Ages, source: str, model: tuple[str | None, int | None]) -> Envelope:
        name, version = model
        stale = self._freshness.is_stale(ages)
        return Envelope(as_of=as_of, ages=ages, stale=stale, source=source, model=name, version=version)  # type: ignore[arg-type]


def _conditional(request: Request, envelope: Envelope, parts: dict[str, bytes]) -> Response:
    """Return 304 when the client has the same results, equally stale; their ages alone are no news."""
    digest = hashlib.blake2b(b"%d" % envelope.stale, digest_size=12)
    for value in parts.values():
        digest.update(value)
    tag = f'W/"{digest.hexdigest()}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    held = {each.strip() for each in request.headers.get("If-None-Match", "").split(",")}
    if tag in held or "*" in held:
        return Response(status_code=304, headers=headers)
    return Response(spliced(envelope, **parts), headers=headers, media_type="application/json")
