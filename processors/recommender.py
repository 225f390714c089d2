"""Recommending live: a customer's events change what they are recommended, and the demand for what they chose."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from online_models.base import Vector
from online_models.factorisation import FactorSettings, Item
from online_models.split_factors import NEW_ITEM, ItemFactors, Lesson, SplitFactors, UserFactors
from processors.base import Said, Tables
from processors.recommendations import PARTS, Mix, Shelf, more_demand, recommend, score
from processors.shopper import Shopper
from schemas.events import Click
from schemas.recommendation_results import CatalogueItem, ItemChosen, ItemDemand, Recommendations
from schemas.recommendation_topics import ITEM_DEMANDS, ITEMS, ITEMS_CHOSEN, RECOMMENDATIONS, keyed
from schemas.records import AnyRecord, Due
from schemas.topics import CLICKS

MINUTE = 60_000
OWNING = frozenset(("purchase", "redemption", "rating"))
"""What makes an item one that the customer has, and is never recommended again."""


class Customer(msgspec.Struct):
    """A customer of the recommender: taste, half of the rating model, and what was last recommended, and when."""

    user: str
    tenant: str
    half: UserFactors
    shopper: Shopper = msgspec.field(default_factory=Shopper)
    told: set[str] = msgspec.field(default_factory=set)
    told_at: int | None = None
    due: int | None = None


class Recommender:
    """Folds a customer's clicks into what they are recommended.

    Purchases, redemptions and ratings are learned from; a rating off the scale counts as a purchase. Every event of the
    customer brings new recommendations: at once when the last are `throttle_ms` of event time old or name what is
    now owned, else when that time has passed. The items are those of the customer's tenant that are active.
    """

    name = "recommendations"
    inputs = (CLICKS,)
    outputs = (RECOMMENDATIONS, ITEMS_CHOSEN)
    tables = (ITEMS, ITEM_DEMANDS)
    state = Customer

    def __init__(self, model: SplitFactors, mix: Mix | None = None, throttle_ms: int = MINUTE) -> None:
        self._model = model
        self._mix = mix or Mix()
        self._throttle_ms = throttle_ms

    def step(self, state: Customer | None, record: AnyRecord, tables: Tables) -> tuple[Customer | None, Iterable[Said]]:
        """Return the customer after an event, and what is recommended now."""
        message = record.message
        if isinstance(message, Due):
            return state, () if state is None else (self._recommended(state, record.id, message.at, tables),)
        state = state or Customer(message.user, message.tenant, self._model.newcomer(message.user))
        return state, tuple(self._heard(state, message, record, tables))

    def _heard(self, customer: Customer, click: Click, record: AnyRecord, tables: Tables) -> Iterable[Said]:
        if click.item is not None and click.kind in OWNING:
            yield Said(ITEMS_CHOSEN, self._chosen(customer, click, click.item, tables))
        last, now = customer.told_at, record.time
        if last is None or now >= last + self._throttle_ms or click.item in customer.told & customer.shopper.owned:
            yield self._recommended(customer, record.id, now, tables)
        else:
            customer.due = last + self._throttle_ms

    def _chosen(self, customer: Customer, click: Click, item_id: str, tables: Tables) -> ItemChosen:
        key = keyed(click.tenant, item_id)
        entry: CatalogueItem | None = tables[ITEMS].get(key)
        item = Item(item_id, entry.categories if entry else ())
        chosen = ItemChosen(
            event_id=click.event_id, event_time=click.time_ms(), tenant=click.tenant, item=item_id, user=click.user
        )
        scale = self._model.settings
        if click.kind != "rating" or click.value is None or not scale.low <= click.value <= scale.high:
            customer.shopper.choose(item_id, item.categories, 1.0)
            return chosen
        liking = (click.value - scale.low) / (scale.high - scale.low)
        customer.shopper.choose(item_id, item.categories, liking, click.value)
        half = _half(tables[ITEM_DEMANDS].get(key))
        lesson = self._model.learn(customer.half, item, half, (chosen.event_time, click.value))
        return replace(chosen, error=lesson.error, factors=lesson.factors)

    def _recommended(self, customer: Customer, cause: str, now: int, tables: Tables) -> Said:
        demand: Mapping[str, ItemDemand] = tables[ITEM_DEMANDS]
        entries = (entry for entry in tables[ITEMS].values() if _offered(entry, customer.tenant))
        items = tuple(Item(entry.item, entry.categories) for entry in entries)
        if customer.tenant != "default":
            demand = {each.item: each for each in demand.values() if each.tenant == customer.tenant}
        now = max(now, customer.told_at or 0)
        shelf, model = Shelf(items, demand, now), _Live(self._model, customer.half, demand)
        found = recommend(customer.user, customer.shopper, shelf, model, self._mix)
        weights = score(customer.user, customer.shopper, Shelf((), demand, now), model, self._mix).weights
        customer.told, customer.told_at, customer.due = {each.item for each in found}, now, None
        message = Recommendations(
            event_id=cause,
            event_time=now,
            tenant=customer.tenant,
            user=customer.user,
            expires_at=now + self._mix.ttl_ms,
            items=found,
            weights=dict(zip(PARTS, weights.tolist(), strict=True)),
        )
        return Said(RECOMMENDATIONS, message)


class DemandForItems:
    """Folds who chose an item into the demand for it, and their ratings into its half of the rating model."""

    name = "demand"
    inputs = (ITEMS_CHOSEN,)
    outputs = (ITEM_DEMANDS,)
    tables = ()
    state = ItemDemand

    def __init__(self, model: SplitFactors, mix: Mix | None = None) -> None:
        self._model = model
        self._half_life_ms = (mix or Mix()).half_life_ms

    def step(
        self, state: ItemDemand | None, record: AnyRecord, tables: Tables
    ) -> tuple[ItemDemand | None, Iterable[Said]]:
        """Return the demand with one more who chose the item, and say it."""
        chosen: ItemChosen = record.message
        about = (chosen.event_id, chosen.event_time, chosen.tenant)
        demand = more_demand(state, chosen.item, about, self._half_life_ms)
        if chosen.error is not None:
            half = self._model.taught(_half(demand), Lesson(chosen.error, chosen.factors))
            demand = replace(demand, rated=half.rated, bias=half.bias, factors=half.factors)
        return demand, (Said(ITEM_DEMANDS, demand),)


class _Live:
    """The rating model as it is for one customer at the moment."""

    def __init__(self, model: SplitFactors, half: UserFactors, demand: Mapping[str, ItemDemand]) -> None:
        self._model = model
        self._half = half
        self._demand = demand

    @property
    def learned(self) -> int:
        return self._half.rated + sum(1 for demand in self._demand.values() if demand.rated)

    @property
    def settings(self) -> FactorSettings:
        return self._model.settings

    def predict_many(self, user: str, items: Sequence[Item], at: int) -> Vector:
        return self._model.expect(self._half, [(item, _half(self._demand.get(item.id))) for item in items], at)


def _half(demand: ItemDemand | None) -> ItemFactors:
    return NEW_ITEM if demand is None else ItemFactors(demand.rated, demand.bias, demand.factors)


def _offered(entry: Any, tenant: str) -> bool:
    return bool(entry.status == "active" and entry.tenant == tenant)
