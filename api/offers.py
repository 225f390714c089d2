"""The routes that read rankings, the usage of offers, and rankers."""

import msgspec
from fastapi import APIRouter, Depends, Request, Response

from api.access import tenant_of
from api.answering import Answers, conditional
from api.answers import OfferStatsAnswer, RankersAnswer, RankingAnswer, Rates
from api.openapi import answered
from api.parameters import Id, Wait, waited_ms
from api.problems import Refused, read_problems
from api.settings import ApiSettings
from schemas.offer_results import OfferUsage
from sinks.base import ResultReader

_usage = msgspec.json.Decoder(OfferUsage).decode


def offer_routes(reader: ResultReader, answers: Answers, settings: ApiSettings) -> APIRouter:
    """Return the routes about offers that answer from `reader`."""
    router, by_tenant = APIRouter(tags=["offers"]), Depends(tenant_of(settings.api_keys))
    errors = read_problems(settings)

    @router.get("/users/{user:path}/offers", responses=answered(RankingAnswer) | errors, response_class=Response)
    async def offers(request: Request, user: Id, wait: Wait = "0ms", tenant: str = by_tenant) -> Response:
        """Return a customer's newest ranking; with `wait`, their first one as soon as it is there."""
        waiting = waited_ms(wait, settings)
        question = reader.wait_for_offers(user, waiting, tenant) if waiting else reader.offers(user, tenant)
        unknown = f"No offers were ranked for user {user!r} lately. Publish an offer request, and ask with ?wait=2s."
        return await answers.ranking(request, await question, unknown, settings.ranking_old_after_ms)

    @router.get("/rankings/{decision_id:path}", responses=answered(RankingAnswer) | errors, response_class=Response)
    async def ranking(request: Request, decision_id: Id, wait: Wait = "0ms", tenant: str = by_tenant) -> Response:
        """Return the ranking of a decision, which is the id of its request; with `wait`, of one just published."""
        waiting = waited_ms(wait, settings)
        known = (
            reader.wait_for_ranking(decision_id, waiting, tenant) if waiting else reader.ranking(decision_id, tenant)
        )
        unknown = f"No ranking of {decision_id!r}. If its request was published just now, ask again with ?wait=2s."
        return await answers.ranking(request, await known, unknown)

    @router.get("/offers/{offer:path}/stats", responses=answered(OfferStatsAnswer) | errors, response_class=Response)
    async def stats(request: Request, offer: Id, tenant: str = by_tenant) -> Response:
        """Return how often an offer was shown, seen and redeemed, and what that has cost."""
        stored = await reader.offer_usage(offer, tenant)
        if stored is None:
            raise Refused(404, f"Offer {offer!r} was shown to nobody lately. Check the id, and the tenant in X-Tenant.")
        usage = _usage(stored)
        envelope = await answers.envelope("usage", usage.event_time, "usage")
        return conditional(request, envelope, {"rates": msgspec.json.encode(rates(usage)), "usage": stored})

    @router.get("/rankers", responses=answered(RankersAnswer) | errors, response_class=Response)
    async def rankers(request: Request, tenant: str = by_tenant) -> Response:
        """Return the newest published version of each ranker."""
        none = "No ranker has been published yet: it takes offers whose time to be redeemed is over."
        return await answers.versions(request, "rankers", dict(await reader.rankers(tenant)), none)

    return router


def rates(usage: OfferUsage) -> Rates:
    """Return an offer's counts as rates.

    >>> rates(OfferUsage(event_id="c9", event_time=0, offer="a", impressions=8, views=4, redemptions=0, spent=0.0))
    Rates(view=0.5, redemption=0.0, cost=None)
    """
    return Rates(
        view=_ratio(usage.views, usage.impressions),
        redemption=_ratio(usage.redemptions, usage.impressions),
        cost=_ratio(usage.spent, usage.redemptions),
    )


def _ratio(part: float, whole: int) -> float | None:
    return part / whole if whole else None
