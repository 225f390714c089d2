"""What is known of a customer when an offer is chosen: spending, what became of earlier offers, and the profile."""

from math import isnan, log, nan
from sys import intern

import msgspec

from processors.calendar import HOUR, hour, weekday
from processors.definitions import Feature
from processors.features import FeatureSet
from processors.offer_habits import Habits
from processors.offer_history import History, LastGood
from processors.offer_risk import Barred, Suspicion
from processors.offer_sessions import Sessions
from processors.offer_tallies import PRIOR, Shown, Tally
from processors.past import Known
from processors.trail import Trail
from schemas.events import Profile, Transaction
from schemas.money import minor_units
from schemas.records import DAY

KINDS = ("bogo", "discount", "informational")
"""The kinds of offer whose past is told apart; a bogo is "buy one, get one"."""

CHANNELS = ("web", "email", "mobile", "social")
GENDERS = ("F", "M", "O")

SPENDING = (
    *(
        Feature(name=f"{aggregate}_{days}d", aggregate=aggregate, of="amount", window=f"{days}d")
        for days in (7, 30, 90)
        for aggregate in ("count", "sum")
    ),
    Feature(name="max_90d", aggregate="max", of="amount", window="90d"),
    Feature(name="std_90d", aggregate="std", of="amount", window="90d"),
    Feature(name="since_last", aggregate="since_last"),
)

SPENT = (
    "payments_per_day_7d",
    "payments_per_day_30d",
    "payments_per_day_90d",
    "spend_per_day_7d",
    "spend_per_day_30d",
    "spend_per_day_90d",
    "basket_7d",
    "basket_30d",
    "basket_90d",
    "basket_max_90d",
    "basket_std_90d",
    "trend_7d_30d",
    "trend_30d_90d",
    "hours_since_payment",
)
RATES = ("view_rate", "redemption_rate", "blind_redemption_rate")
ANSWERED = (
    *RATES,
    *(f"{rate}_{kind}" for kind in KINDS for rate in RATES),
    "impressions",
    "hours_since_view",
    "hours_since_redemption",
    "in_flight",
    "in_flight_seen",
)
KNOWN = ("age", "income", "tenure_days", *(f"gender_{gender}" for gender in GENDERS), "profile_missing")
CONTEXT = (*SPENT, *ANSWERED, *KNOWN, "hour", "weekday")
"""The features of a customer's context, in order. Amounts are in the unit last paid in; NaN is unknown."""


class Demographics(msgspec.Struct, frozen=True, array_like=True):
    """What a profile says that bears on offers; NaN is not told."""

    age: float
    income: float
    opened: float
    gender: str
    segment: str = ""
    consent: tuple[str, ...] = ()


class Cause(msgspec.Struct, array_like=True):
    """What a ranking that nobody asked for is made after: the id of its decision, and the customer."""

    decision: str
    tenant: str
    user: str

    def __post_init__(self) -> None:
        # msgspec leaves a default out of a message only if it is the very same object, which a decoded text is not.
        self.tenant = intern(self.tenant)


class OfferContext(msgspec.Struct):
    """Everything kept about one customer for choosing offers; bounded by windows, counts and the catalogue.

    `ranked_at` is when the last ranking was made; `due` is when the next one is, after what happened last, the `cause`,
    or when the customer is `barred` no longer.
    """

    trails: list[Trail]
    first_seen: int
    unit: str = ""
    payments: Known = msgspec.field(default_factory=Known)
    whole: Tally = msgspec.field(default_factory=Tally)
    tallies: dict[str, Tally] = {}
    shown: list[Shown] = []
    viewed_at: float = nan
    redeemed_at: float = nan
    demographics: Demographics | None = None
    history: History = msgspec.field(default_factory=History)
    ranked_at: int | None = None
    due: int | None = None
    cause: Cause | None = None
    suspicions: list[Suspicion] = []
    good: LastGood | None = None
    barred: Barred | None = None
    habits: Habits = msgspec.field(default_factory=Habits)
    sessions: Sessions = msgspec.field(default_factory=Sessions)


_spending = FeatureSet(SPENDING)


def new_context(time: int) -> OfferContext:
    """Return the context of a customer first heard of at `time`."""
    return OfferContext(_spending.new(), time)


def pay(context: OfferContext, payment: Transaction) -> bool:
    """Take in a payment, once while it is among the last that are remembered; return whether it was not."""
    if not context.payments.is_new(payment.event_id):
        return False
    context.habits.pay(payment)
    context.unit = payment.currency
    fields = {"amount": minor_units(payment.amount, payment.currency), "fraud": 0}
    _spending.observe(context.trails, payment.time_ms(), payment.event_id, payment.currency, fields)
    return True


def introduce(context: OfferContext, profile: Profile) -> None:
    """Take in a profile; the last one holds."""
    opened = nan if profile.opened is None else profile.opened.timestamp() * 1000
    age, income = (nan if told is None else told for told in (profile.age, profile.income))
    gender, segment = profile.gender or "", profile.segment or ""
    context.demographics = Demographics(age, income, opened, gender, segment, profile.consent)
    context.habits.tell(profile)


def context_values(context: OfferContext, time: int) -> list[float]:
    """Return the features named in `CONTEXT` at `time`. Changes nothing."""
    return [*_spent(context, time), *_answered(context, time), *_known(context, time), hour(time), weekday(time)]


def _spent(context: OfferContext, time: int) -> list[float]:
    count_7, sum_7, count_30, sum_30, count_90, sum_90, most, spread, since = _spending.values(
        context.trails, time, context.unit, {}
    )
    observed = (time - context.first_seen) / DAY
    if observed < 1.0:
        return [nan] * (len(SPENT) - 1) + [since / 3600]
    days = [min(observed, window) for window in (7.0, 30.0, 90.0)]
    counts, sums = (count_7, count_30, count_90), (sum_7, sum_30, sum_90)
    per_day = [total / span for total, span in zip(sums, days, strict=True)]
    return [
        *(count / span for count, span in zip(counts, days, strict=True)),
        *per_day,
        *(total / count if count else nan for total, count in zip(sums, counts, strict=True)),
        most if count_90 else nan,
        spread if count_90 > 1 else nan,
        _log_ratio(per_day[0], per_day[1]),
        _log_ratio(per_day[1], per_day[2]),
        since / 3600,
    ]


def _log_ratio(a: float, b: float) -> float:
    return log((a + 0.1) / (b + 0.1))


def _answered(context: OfferContext, time: int) -> list[float]:
    overall = context.whole.rates(PRIOR)
    kinds = (context.tallies.get(kind) for kind in KINDS)
    in_flight = [shown for shown in context.shown if shown.end >= time and not shown.redeemed]
    return [
        *(overall if context.whole.impressions else (nan,) * 3),
        *(rate for tally in kinds for rate in ((nan,) * 3 if tally is None else tally.rates(overall))),
        float(context.whole.impressions),
        (time - context.viewed_at) / HOUR,
        (time - context.redeemed_at) / HOUR,
        float(len(in_flight)),
        float(sum(shown.seen for shown in in_flight)),
    ]


def _known(context: OfferContext, time: int) -> list[float]:
    told = context.demographics
    if told is None:
        return [nan, nan, nan, *(0.0 for _ in GENDERS), 1.0]
    missing = float(isnan(told.age) and isnan(told.income))
    genders = (float(told.gender == gender) for gender in GENDERS)
    return [told.age, told.income, (time - told.opened) / DAY, *genders, missing]
