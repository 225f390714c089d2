"""Customers who look at items, buy and rate them, some of whom agree to be recommended to by what is known of them."""

from collections.abc import Iterator

from online_models.split_factors import SplitFactors
from processors.item_demand import DemandForItems
from processors.recommender import Recommender
from schemas.events import Click, Event, Profile
from schemas.recommendation_results import CatalogueItem
from schemas.recommendation_topics import ITEMS
from schemas.records import AnyRecord, AnyTopic, Record
from schemas.topics import CLICKS, PROFILES
from streams.pipeline import Pipeline
from tests.builders import moment

BEGIN = 1_800_000_000_000
STEP = 17_000
NAMES = tuple(f"item-{n}" for n in range(12))
USERS = tuple(f"shopper-{n}" for n in range(7))
KINDS = ("view", "purchase", "rating", "impression", "rating")


def pipeline() -> Pipeline:
    """Return the pipeline of recommendations, as a new process builds it."""
    model = SplitFactors()
    return Pipeline((Recommender(model, consent="personal"), DemandForItems(model)))


def shopping_world(events: int = 240) -> Iterator[AnyRecord]:
    """Yield the catalogue and profiles, and then clicks, a few a minute; half-way three of the customers disagree."""
    for n, item in enumerate(NAMES):
        yield _record(ITEMS, CatalogueItem(**_fields(f"entry-{item}", BEGIN), item=item, categories=(f"k{n % 3}",)))
    for user in USERS[:5]:
        yield _record(PROFILES, Profile(**_fields(f"first-{user}", BEGIN), user=user, consent=("personal",)))
    for n in range(events):
        time = BEGIN + n * STEP
        if n == events // 2:
            for user in USERS[:3]:
                yield _record(PROFILES, Profile(**_fields(f"second-{user}", time), user=user))
        fields = {"kind": KINDS[n % 5], "item": f"item-{n * n % 13}", "value": 1 + n % 5}
        click = Click.model_validate({**_fields(f"shopping-{n}", time), "user": USERS[n * 3 % 7], **fields})
        yield _record(CLICKS, click)


def _fields(event_id: str, time: int) -> dict[str, object]:
    return {"event_id": event_id, "event_time": moment(time)}


def _record(topic: AnyTopic, message: Event) -> AnyRecord:
    return Record(topic, message, message.event_id)
