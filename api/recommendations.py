"""The routes that read recommendations and the demand for items."""

import msgspec
from fastapi import APIRouter, Depends, Request, Response

from api.access import tenant_of
from api.answering import Answers, conditional
from api.answers import DemandAnswer, RecommendationsAnswer
from api.openapi import answered
from api.parameters import Id, Wait, waited_ms
from api.problems import Refused, read_problems
from api.settings import ApiSettings
from schemas.recommendation_results import ItemDemand, Recommendations
from sinks.base import ResultReader

_recommendations = msgspec.json.Decoder(Recommendations).decode
_demand = msgspec.json.Decoder(ItemDemand).decode


def recommendation_routes(reader: ResultReader, answers: Answers, settings: ApiSettings) -> APIRouter:
    """Return the routes about recommendations that answer from `reader`."""
    router, by_tenant = APIRouter(tags=["recommendations"]), Depends(tenant_of(settings.api_keys))
    errors = read_problems(settings)

    @router.get(
        "/users/{user:path}/recommendations",
        responses=answered(RecommendationsAnswer) | errors,
        response_class=Response,
    )
    async def recommendations(request: Request, user: Id, wait: Wait = "0ms", tenant: str = by_tenant) -> Response:
        """Return what is recommended to a customer; with `wait`, their first as soon as it is there.

        Expired ones are answered as such: the customer's next event brings new ones.
        """
        waiting = waited_ms(wait, settings)
        question = (
            reader.wait_for_recommendations(user, waiting, tenant) if waiting else reader.recommendations(user, tenant)
        )
        if (stored := await question) is None:
            none = f"Nothing was recommended to user {user!r} lately. Publish a click of theirs, and ask with ?wait=2s."
            raise Refused(404, none)
        told = _recommendations(stored)
        envelope = await answers.envelope("recommendations", told.event_time, "recommender")
        expired = told.event_time + envelope.ages.event_ms >= told.expires_at
        return conditional(request, envelope, {"expired": msgspec.json.encode(expired), "recommendations": stored})

    @router.get("/items/{item:path}/demand", responses=answered(DemandAnswer) | errors, response_class=Response)
    async def demand(request: Request, item: Id, tenant: str = by_tenant) -> Response:
        """Return how many chose an item, how much that weighs by now, and what ratings have taught of it."""
        if (stored := await reader.item_demand(item, tenant)) is None:
            raise Refused(404, f"Nobody chose item {item!r} lately. Check the id, and the tenant in X-Tenant.")
        envelope = await answers.envelope("demand", _demand(stored).event_time, "demand")
        return conditional(request, envelope, {"demand": stored})

    return router
