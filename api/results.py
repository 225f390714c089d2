"""The routes that read scores, features and models."""

from fastapi import APIRouter, Depends, Request, Response

from api.access import tenant_of
from api.answering import Answers
from api.answers import FeaturesAnswer, ModelsAnswer, ScoreAnswer
from api.openapi import answered
from api.parameters import Id, Wait, waited_ms
from api.problems import read_problems
from api.settings import ApiSettings
from sinks.base import ResultReader


def result_routes(reader: ResultReader, answers: Answers, settings: ApiSettings) -> APIRouter:
    """Return the routes that answer from `reader`."""
    router, by_tenant = APIRouter(tags=["results"]), Depends(tenant_of(settings.api_keys))
    errors = read_problems(settings)

    @router.get("/scores/{event_id:path}", responses=answered(ScoreAnswer) | errors, response_class=Response)
    async def score(request: Request, event_id: Id, wait: Wait = "0ms", tenant: str = by_tenant) -> Response:
        """Return the fraud score of an event; with `wait`, of one that was published just now."""
        waiting = waited_ms(wait, settings)
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
        none = "No model has been published yet: it takes a first batch of matured labels."
        return await answers.versions(request, "models", dict(await reader.models(tenant)), none)

    return router
