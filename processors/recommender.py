"""Recommending live: a customer's events change what they are recommended, and the demand for what they chose."""

from collections.abc import Iterable
from sys import intern

import msgspec
from msgspec.structs import replace

from online_models.base import Vector
from online_models.factorisation import FactorSettings, Item
from online_models.split_factors import NEW_ITEM, ItemFactors, SplitFactors, UserFactors
from processors.base import Said, Tables
from processors.past import Known
from processors.recommendations import Mix, recommend
from processors.shelf import Offered, Shelf, Shelves
from processors.shopper import Shopper
from schemas.events import Click, Profile
from schemas.keys import keyed
from schemas.recommendation_results import CatalogueItem, ItemChosen, ItemDemand, Recommendations
from schemas.recommendation_topics import ITEM_DEMANDS, ITEMS, ITEMS_CHOSEN, RECOMMENDATIONS
from schemas.records import AnyRecord, AnyTopic, Due
from schemas.topics import CLICKS, PROFILES

MINUTE = 60_000
OWNING = frozenset(("purchase", "redemption", "rating"))
"""What makes an item one that the customer has, and is never recommended again."""


class Customer(msgspec.Struct):
    """A customer of the recommender: taste, half of the rating model, and what was last recommended, and when.

    `clicks` are the last choices that were taken in; `agreed` says whether the profile has the consent it takes.
    """

    user: str
    tenant: str
    half: UserFactors
    shopper: Shopper = msgspec.field(default_factory=Shopper)
    told: tuple[str, ...] = ()
    told_at: int | None = None
    due: int | None = None
    clicks: Known = msgspec.field(default_factory=Known)
    agreed: bool = False

    def __post_init__(self) -> None:
        # What is said of the default tenant leaves it out, which msgspec tells by identity.
        self.tenant = intern(self.tenant)


class Recommender:
    """Folds a customer's clicks into what they are recommended.

    Purchases, redemptions and ratings of items are learned from, each once; a rating off the scale counts as a
    purchase. What a customer does with an item brings new recommendations: at once when the last are `throttle_ms` of
    event time old or name what is now owned, else when that time has passed. Any other click brings them when there are
    none or they have expired. The items are those of the customer's tenant that are active.

    With a `consent`, of those whose profile does not have it nothing is learned but what they own, and nothing but the
    trending part counts; what was learned of one who takes it back is forgotten.
    """

    name = "recommendations"
    outputs = (RECOMMENDATIONS, ITEMS_CHOSEN)
    tables = (ITEMS, ITEM_DEMANDS)
    state = Customer

    def __init__(
        self, model: SplitFactors, mix: Mix | None = None, throttle_ms: int = MINUTE, consent: str | None = None
    ) -> None:
        # Without a consent to look for, profiles would only be read to be left aside.
        self.inputs: tuple[AnyTopic, ...] = (CLICKS,) if consent is None else (CLICKS, PROFILES)
        self._model = model
        self._mix = mix or Mix()
        self._impersonal = replace(self._mix, collaborative=0.0, content=0.0, trending=1.0)
        self._throttle_ms = throttle_ms
        self._consent = consent
        self._shelves = Shelves()

    def step(self, state: Customer | None, record: AnyRecord, tables: Tables) -> tuple[Customer | None, Iterable[Said]]:
        """Return the customer after an event, and what is recommended now."""
        message = record.message
        if isinstance(message, Due):
            return state, () if state is None else self._recommended(state, record.id, message.at, tables)
        if state is None and isinstance(message, Click) and message.item is None and not tables[ITEMS]:
            return None, ()
        state = state or Customer(message.user, message.tenant, self._model.newcomer(message.user))
        if isinstance(message, Profile):
            return state, self._introduced(state, message, record, tables)
        return state, tuple(self._clicked(state, message, record, tables))

    def _introduced(self, customer: Customer, profile: Profile, record: AnyRecord, tables: Tables) -> Iterable[Said]:
        """Take in whether the customer agrees; what was recommended before they changed their mind is replaced."""
        before, customer.agreed = customer.agreed, self._consent in profile.consent
        if not customer.agreed:
            customer.half, customer.shopper.likings = self._model.newcomer(customer.user), {}
        if customer.agreed == before or customer.told_at is None:
            return ()
        return self._recommended(customer, record.id, record.time, tables)

    def _clicked(self, customer: Customer, click: Click, record: AnyRecord, tables: Tables) -> Iterable[Said]:
        if click.item is not None and click.kind in OWNING and customer.clicks.is_new(click.event_id):
            yield Said(ITEMS_CHOSEN, self._chosen(customer, click, click.item, tables))
        last, now = customer.told_at, record.time
        wait = self._mix.ttl_ms if click.item is None else self._throttle_ms
        withdrawn = click.item in customer.told and click.item in customer.shopper.owned
        if last is None or withdrawn or now >= last + wait:
            yield from self._recommended(customer, record.id, now, tables)
        elif click.item is not None:
            customer.due = last + self._throttle_ms

    def _chosen(self, customer: Customer, click: Click, item_id: str, tables: Tables) -> ItemChosen:
        key = keyed(click.tenant, item_id)
        entry: CatalogueItem | None = tables[ITEMS].get(key)
        chosen = ItemChosen(
            event_id=click.event_id,
            event_time=click.time_ms(),
            tenant=click.tenant,
            item=item_id,
            user=click.user,
            listed=entry is not None,
        )
        if not self._is_personal(customer):
            customer.shopper.owned[item_id] = None
            return chosen
        item = Item(item_id, entry.categories if entry else ())
        rating = self._rating(click)
        if rating is None:
            customer.shopper.choose(item_id, item.categories, 1.0)
            return chosen
        scale = self._model.settings
        customer.shopper.choose(item_id, item.categories, (rating - scale.low) / (scale.high - scale.low), rating)
        half = half_of(tables[ITEM_DEMANDS].get(key))
        lesson = self._model.learn(customer.half, item, half, (chosen.event_time, rating))
        return replace(chosen, error=lesson.error, factors=lesson.factors)

    def _rating(self, click: Click) -> float | None:
        scale = self._model.settings
        told = click.value if click.kind == "rating" else None
        return told if told is not None and scale.low <= told <= scale.high else None

    def _recommended(self, customer: Customer, cause: str, now: int, tables: Tables) -> Iterable[Said]:
        """Say what is recommended from now on, a millisecond after the last at least, so that the newest is newest."""
        now = now if customer.told_at is None else max(now, customer.told_at + 1)
        shelf = self._shelves.at(now, customer.tenant, tables)
        personal = self._is_personal(customer)
        shopper = customer.shopper if personal else Shopper(owned=customer.shopper.owned)
        model = _Live(self._model, customer.half if personal else self._model.newcomer(customer.user), shelf)
        found = recommend(customer.user, shopper, shelf, model, self._mix if personal else self._impersonal)
        customer.due = None
        if not found.items and customer.told_at is None:
            return ()
        customer.told, customer.told_at = tuple(each.item for each in found.items), now
        message = Recommendations(
            event_id=cause,
            event_time=now,
            tenant=customer.tenant,
            user=customer.user,
            expires_at=now + self._mix.ttl_ms,
            items=found.items,
            weights=found.weights,
            personal=personal,
        )
        return (Said(RECOMMENDATIONS, message),)

    def _is_personal(self, customer: Customer) -> bool:
        return self._consent is None or customer.agreed


class _Live:
    """The rating model as it is for one customer at the moment."""

    def __init__(self, model: SplitFactors, half: UserFactors, shelf: Shelf) -> None:
        self._model = model
        self._half = half
        self._shelf = shelf

    @property
    def learned(self) -> int:
        return self._half.rated + self._shelf.rated

    @property
    def settings(self) -> FactorSettings:
        return self._model.settings

    def predict_many(self, user: str, items: Offered, at: int) -> Vector:
        return self._model.expect(self._half, items.shelf.halves, items.rows, at)


def half_of(demand: ItemDemand | None) -> ItemFactors:
    """Return an item's half of the rating model, which rests with the demand for it."""
    return NEW_ITEM if demand is None else ItemFactors(demand.rated, demand.bias, demand.factors)
