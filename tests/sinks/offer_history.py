"""Four days of rankings whose figures can be worked out by hand."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from schemas.offer_results import RankedOffer, Ranking
from schemas.topics import OFFERS
from sinks.base import Encoded
from tests.contracts.results import NOON, click, offer_example, offer_usage, ranker_version, ranking, slot

DAY = 86_400_000
TERM = {"starts": "2018-07-01T12:00:00Z", "ends": "2018-07-21T12:00:00Z"}
CHANCES = {"coffee": 0.8, "tea": 0.1, "books": 0.1}


def offer_history() -> list[Any]:
    """Return ten decisions a day of two slots, all shown but the first of each day.

    Coffee is first in eight of ten, tea and books in one each. Of each day's coffees in the first slot three are viewed
    and redeemed, of all books in the first slot one is, and each day something is clicked in the second. Two of five
    customers are a challenger's in a trial.
    """
    messages: list[Any] = [ranker_version(), _offer("coffee", budget="100.00", **TERM), _offer("books")]
    for n in range(40):
        day, nth = divmod(n, 10)
        first = "tea" if nth == 8 else "books" if nth == 9 else "coffee"
        second = "coffee" if first == "books" else "books"
        at = NOON + day * DAY + nth * 60_000
        slots = (_slot(first, at, CHANCES[first]), _slot(second, at, 0.5))
        messages.append(_decision(n, event_time=at, slots=slots))
        if nth:
            redeemed = (first == "coffee" and nth in (2, 4, 6)) or n == 9
            messages += _shown(messages[-1], {first: redeemed, second: False}, clicked=nth == 5)
    messages += [offer_usage(5 * n, event_time=NOON + n * DAY) for n in range(1, 13)]
    elsewhere = {"policy": "logged", "shown": True, "source": "rules", "version": 0, "degraded": True, "refused": {}}
    return [*messages, ranking("elsewhere", slots=(slot("tea", propensity=0.25),), **elsewhere)]


def _offer(offer: str, **terms: str) -> Encoded:
    return Encoded(
        OFFERS.name,
        OFFERS.encode(OFFERS.model(event_id=f"{offer}@1", event_time=_text(NOON), offer=offer, **terms)),
    )


def _slot(offer: str, at: int, propensity: float) -> RankedOffer:
    score = {"coffee": 0.6, "books": 0.2, "tea": 0.1}[offer]
    doubt = 0.05 if offer == "tea" else 0.0
    return slot(offer, score=score, propensity=propensity, window_end=at + 7 * DAY, abuse=doubt)


def _decision(n: int, **fields: Any) -> Ranking:
    refused = {"wine": "paused", "gold": "consent"} if n % 4 == 0 else {"wine": "paused"}
    tried = {"trial": "spring", "arm": "challenger" if n % 5 > 2 else "champion"}
    return ranking(f"request-{n}", user=f"shopper-{n % 5}", scores=(0.2, 0.6, 0.1), refused=refused, **tried, **fields)


def _shown(made: Ranking, outcomes: dict[str, bool], *, clicked: bool) -> Iterator[Any]:
    for position, (chosen, redeemed) in enumerate(zip(made.slots, outcomes.values(), strict=True), 1):
        about = {"user": made.user, "offer": chosen.offer, "decision_id": made.event_id}
        kinds = ["impression", *["view", "redemption"] * redeemed, *["click"] * (clicked and position == 2)]
        for minutes, kind in enumerate(kinds):
            at = _text(made.event_time + minutes * 60_000)
            yield click(f"{made.event_id}/{position}/{kind}", kind, event_time=at, **about)
        yield offer_example(
            f"{made.event_id}/{position}",
            event_time=made.event_time,
            user=made.user,
            offer=chosen.offer,
            label=redeemed,
            matured_at=chosen.window_end,
            score=chosen.score,
            propensity=chosen.propensity,
            decision=made.event_id,
            position=position,
            policy=made.policy,
        )


def _text(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat()
