"""Vectors of candidates: what is known of the customer, what each offer asks and gives, and the two crossed."""

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from math import log, nan

import numpy as np

from online_models.base import Vector
from processors.columns import SCALES
from processors.offer_context import CHANNELS, CONTEXT, KINDS, OfferContext, context_values
from processors.offer_habits import Trend
from processors.offer_tallies import PRIOR, Rates, rates_of
from processors.offer_terms import Terms
from schemas.records import DAY

OFFER = (
    "reward",
    "minimum_spend",
    "duration_days",
    "reward_share",
    *(f"kind_{kind}" for kind in KINDS),
    *(f"by_{channel}" for channel in CHANNELS),
)
PAST = (
    "offer_view_rate",
    "offer_redemption_rate",
    "offer_blind_redemption_rate",
    "channel_view_rate",
    "offer_impressions",
    "offer_in_flight",
)
REACH = ("spend_to_minimum", "recent_spend_to_minimum", "basket_to_minimum", "largest_basket_to_minimum", "payments")
"""How far the customer's habit goes toward what the offer asks, as natural logarithms of ratios."""

SESSIONS = ("sessions_30d", "session_clicks", "minutes_into_session")
CATEGORY = (
    "category_share",
    "category_trend_7d",
    "category_trend_30d",
    "category_days_since_payment",
    "category_view_rate",
    "category_redemption_rate",
)
MERCHANT = ("merchant_view_rate", "merchant_redemption_rate")
TASTES = ("liking", *CATEGORY, *MERCHANT)
"""What the customer told to like, and their past with the category and the merchant; NaN where the offer tells none."""

BY_KIND = (
    *("age", "income", "tenure_days", "gender_F", "gender_M", "gender_O", "profile_missing"),
    *("spend_per_day_90d", "basket_90d", "payments_per_day_90d", "hours_since_payment"),
    *("view_rate", "redemption_rate", "blind_redemption_rate", "spend_to_minimum", "basket_to_minimum"),
)
BY_CHANNEL = ("age", "income", "tenure_days", "gender_M", "view_rate")
KINDS_CROSSED = ("bogo", "discount")
CHANNELS_CROSSED = ("web", "mobile", "social")
"""The channels worth a cross; nearly every offer goes by e-mail as well."""

PLAIN = (*CONTEXT, *OFFER, *PAST, *REACH)
CROSSED = tuple((name, f"kind_{kind}") for kind in KINDS_CROSSED for name in BY_KIND) + tuple(
    (name, f"by_{channel}") for channel in CHANNELS_CROSSED for name in BY_CHANNEL
)
NAMES = (*PLAIN, *(f"{name} where {flag}" for name, flag in CROSSED), *SESSIONS, *TASTES)
"""The features of a candidate, in order: new ones come at the end, so that old vectors are the first part of new ones.

A cross is the customer's feature where the offer has the flag, else NaN.
"""


def features_id(names: Sequence[str]) -> str:
    """Return what stands beside a vector to tell the features it is of."""
    return blake2b(",".join(names).encode(), digest_size=6).hexdigest()


FEATURES_ID = features_id(NAMES)
WIDTHS = {features_id(NAMES[:width]): width for width in range(1, len(NAMES) + 1)}
"""How many features each set has that `NAMES` may have grown from, itself included, by its id."""

RELEASED = (NAMES[: -len((*SESSIONS, *TASTES))], NAMES)
"""The sets of features that rankings were ever made by."""

_AT = {name: at for at, name in enumerate(PLAIN)}
_VALUES = np.array([_AT[name] for name, _ in CROSSED])
_FLAGS = np.array([_AT[flag] for _, flag in CROSSED])
_CROSSES = slice(len(PLAIN), len(PLAIN) + len(CROSSED))
_SMALL = 0.1


def candidate_vectors(context: OfferContext, candidates: Sequence[Terms], time: int) -> Vector:
    """Return one row of the features `NAMES` per candidate, at `time`. Changes nothing."""
    rows = np.empty((len(candidates), len(NAMES)))
    if not candidates:
        return rows
    known = context_values(context, time)
    past = _Past(context, time)
    plain, end = len(PLAIN), len(PLAIN) - len(REACH)
    rows[:, : len(known)] = known
    rows[:, len(known) : end] = [_offered(terms) + past.of(terms) for terms in candidates]
    rows[:, end:plain] = _reach(rows)
    rows[:, _CROSSES] = np.where(rows[:, _FLAGS] > 0.0, rows[:, _VALUES], np.nan)
    rows[:, _CROSSES.stop : -len(TASTES)] = context.sessions.values(time)
    rows[:, -len(TASTES) :] = _tastes(past, candidates)
    return rows


@lru_cache(10_000)
def _offered(terms: Terms) -> tuple[float, ...]:
    return (
        terms.reward,
        terms.minimum_spend,
        terms.duration / DAY,
        terms.reward / terms.minimum_spend if terms.minimum_spend else nan,
        *(float(terms.kind == kind) for kind in KINDS),
        *(float(channel in terms.channels) for channel in CHANNELS),
    )


class _Past:
    """What became of a customer's earlier impressions, per offer and channel, drawn to their rates over all offers.

    Beside it, what they told, and what they pay in each category.
    """

    def __init__(self, context: OfferContext, time: int) -> None:
        self._habits, self._time = context.habits, time
        self._shares = context.habits.shares(time)
        self._categories: dict[str, tuple[float, ...]] = {}
        self._tallies = context.tallies
        self._overall = context.whole.rates(PRIOR)
        self._in_flight = {shown.offer for shown in context.shown if shown.end >= time}
        self._view_rates = {channel: self._rates(f"by {channel}")[0] for channel in CHANNELS}

    def of(self, terms: Terms) -> tuple[float, ...]:
        """Return the features named in `PAST`."""
        by_channel = [self._view_rates[channel] for channel in terms.channels if channel in self._view_rates]
        tally = self._tallies.get(f"offer {terms.offer}")
        return (
            *(self._overall if tally is None else tally.rates(self._overall)),
            sum(by_channel) / len(by_channel) if by_channel else nan,
            0.0 if tally is None else float(tally.impressions),
            float(terms.offer in self._in_flight),
        )

    def tastes(self, kind: str, category: str, merchant: str) -> tuple[float, ...]:
        """Return the features named in `TASTES`."""
        if category not in self._categories:
            self._categories[category] = self._category(category)
        told = self._habits.liking(category, kind)
        past = self._rates(f"at {merchant}")[:2] if merchant else (nan,) * len(MERCHANT)
        return (nan if told is None else told, *self._categories[category], *past)

    def _category(self, name: str) -> tuple[float, ...]:
        if not name:
            return (nan,) * len(CATEGORY)
        since = self._habits.days_since(name, self._time)
        return (
            self._shares.get(name, 0.0) if self._shares else nan,
            _trend(self._habits.trend(name, self._time, days=7)),
            _trend(self._habits.trend(name, self._time)),
            nan if since is None else float(since),
            *self._rates(f"in {name}")[:2],
        )

    def _rates(self, name: str) -> Rates:
        return rates_of(self._tallies, name, self._overall)


def _tastes(past: _Past, candidates: Sequence[Terms]) -> Vector:
    """Return the features named in `TASTES` of each candidate, found out once for those that are alike in them."""
    alike: dict[tuple[str, str, str], int] = {}
    which = [alike.setdefault((each.kind, each.category, each.merchant), len(alike)) for each in candidates]
    tastes: Vector = np.array([past.tastes(*each) for each in alike])[which]
    return tastes


def _trend(trend: Trend | None) -> float:
    """Return the natural logarithm of what is spent now over what is usual."""
    if trend is None:
        return nan
    small = _SMALL * SCALES[trend.unit]
    return log((trend.now + small) / (trend.usual + small))


def _reach(rows: Vector) -> Vector:
    def column(name: str) -> Vector:
        values: Vector = rows[:, _AT[name]]
        return values

    minimum, days = column("minimum_spend") + _SMALL, column("duration_days")
    ratios = (
        (column("spend_per_day_90d") * days + _SMALL) / minimum,
        (column("spend_per_day_7d") * days + _SMALL) / minimum,
        (column("basket_90d") + _SMALL) / minimum,
        (column("basket_max_90d") + _SMALL) / minimum,
        column("payments_per_day_90d") * days + _SMALL,
    )
    reach: Vector = np.log(np.column_stack(ratios))
    return reach
