"""What upstream apps publish: transactions, clicks, offers, requests for them, feedback and profiles."""

from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, WithJsonSchema, model_validator

from schemas.money import Amount, refuse_inexact
from schemas.privacy import CardNumber, ContactAddress, DeviceId, IpAddress

Id = Annotated[str, Field(min_length=1, max_length=256)]
Country = Annotated[str, Field(min_length=2, max_length=3)]
_Days = Annotated[float, Field(gt=0, le=36_500)]
_Liking = Annotated[float, Field(ge=0, le=1)]
_Answer = Annotated[str, Field(strict=True, min_length=1, max_length=256)]

MAX_CANDIDATES = 1_000
"""No request names more offers than this."""

_TIME: dict[str, Any] = {
    "anyOf": [{"type": "string", "format": "date-time"}, {"type": "number"}],
    "title": "Event Time",
}


EPOCH_DAY = date(1970, 1, 1).toordinal()
_KNOWN = "_time_ms"
"""Where an event keeps its time in milliseconds, asked for at every step, with the `event_time` that this is of."""


class Event(BaseModel):
    """What every event has: an id of its own, the time it happened, and the tenant it belongs to.

    `event_time` is RFC 3339 with an offset, or seconds or milliseconds since 1970 UTC (a number above 2e10 is
    milliseconds), and is kept in UTC. Fields that headrace does not know are kept; of a field given twice the last one.
    """

    model_config = ConfigDict(extra="allow", coerce_numbers_to_str=True)

    event_id: Id
    event_time: Annotated[AwareDatetime, WithJsonSchema(_TIME)]
    tenant: Id = "default"

    @model_validator(mode="after")
    def _settled(self) -> Self:
        self._to_utc()
        return self

    def _to_utc(self) -> None:
        if self.event_time.utcoffset():
            try:
                self.__dict__["event_time"] = self.event_time.astimezone(UTC)
            except OverflowError:
                raise ValueError(f"event_time {self.event_time} is outside the years 1 to 9999 in UTC") from None

    def time_ms(self) -> int:
        """Return the event time in milliseconds since 1970 UTC."""
        fields = self.__dict__
        at = fields["event_time"]
        known: tuple[datetime, int] | None = fields.get(_KNOWN)
        if known is None or known[0] is not at:
            known = fields[_KNOWN] = (at, _milliseconds(at))
        return known[1]


def _milliseconds(at: datetime) -> int:
    seconds = (at.toordinal() - EPOCH_DAY) * 86_400 + at.hour * 3_600 + at.minute * 60 + at.second
    return seconds * 1_000 + (at.microsecond + 500) // 1_000


class Transaction(Event):
    """A payment: who paid whom how much, where and by what.

    `amount` is a decimal number or text, not negative, exact to the unit's exponent; `currency` is ISO 4217 or a
    declared unit such as SAT, MILES or POINTS. `terminal` is the point of sale, `merchant` its owner.
    """

    user: Id
    amount: Amount
    currency: str
    terminal: Id | None = None
    merchant: Id | None = None
    card: CardNumber | None = None
    device: DeviceId | None = None
    ip: IpAddress | None = None
    country: Country | None = None
    mcc: str | None = None
    channel: str | None = None
    latitude: Annotated[float, Field(ge=-90, le=90)] | None = None
    longitude: Annotated[float, Field(ge=-180, le=180)] | None = None

    @model_validator(mode="after")
    def _settled(self) -> Self:
        self._to_utc()
        refuse_inexact(self.amount, self.currency)
        return self

    def counterparty(self) -> str:
        """Return the terminal, else the merchant, else the user: whoever the second hop is about."""
        return self.terminal or self.merchant or self.user


class Click(Event):
    """Something a customer did with an offer or an item.

    `decision_id` is the ranking it goes back to. `propensity` is how likely it was that what was shown was shown. A
    `reversal` takes back a redemption or purchase: a refund, a return. `value` is a rating's.
    """

    user: Id
    kind: Literal[
        "impression",
        "view",
        "click",
        "dismiss",
        "skip",
        "wishlist",
        "activation",
        "redemption",
        "purchase",
        "rating",
        "reversal",
    ]
    offer: Id | None = None
    item: Id | None = None
    decision_id: Id | None = None
    value: float | None = None
    session: str | None = None
    device: DeviceId | None = None
    ip: IpAddress | None = None
    propensity: Annotated[float, Field(gt=0, le=1)] | None = None

    def is_about(self, decision: str, offer: str) -> bool:
        """Return whether this names a decision and no other offer than this one, or no decision but the offer."""
        if self.decision_id is None:
            return self.offer == offer
        return self.decision_id == decision and self.offer in (None, offer)


class Offer(Event):
    """An entry of the offer catalogue; the last one published of an `offer` holds.

    Amounts are in `reward_unit`. `cost` is what a redemption costs us, the reward where nobody tells, and `margin` what
    we earn on one; `budget` and `stock` are the most that all redemptions may cost and how many there may be. It can be
    redeemed for `duration_days` after it was shown, at most `most_per_customer` times by one customer; it is shown to
    nobody more than `shows_per_week` times in seven days, nor for `cool_down_days` after they redeemed it, nor while an
    offer of `exclusive_of` can be redeemed, nor to a customer whose profile does not have the `consent` it takes.
    A `paced` offer is not shown while more of its budget is spent than evenly from `starts` to `ends`.
    """

    offer: Id
    merchant: Id | None = None
    category: str | None = None
    reward: Amount | None = None
    reward_unit: str | None = None
    starts: AwareDatetime | None = None
    ends: AwareDatetime | None = None
    segments: tuple[str, ...] = ()
    budget: Amount | None = None
    stock: Annotated[int, Field(ge=0)] | None = None
    status: Literal["active", "paused", "expired"] = "active"
    kind: str | None = None
    minimum_spend: Amount | None = None
    duration_days: _Days | None = None
    channels: tuple[str, ...] = ()
    cost: Amount | None = None
    margin: Amount | None = None
    most_per_customer: Annotated[int, Field(ge=1)] | None = None
    shows_per_week: Annotated[int, Field(ge=1)] | None = None
    cool_down_days: _Days | None = None
    exclusive_of: tuple[Id, ...] = ()
    consent: str | None = None
    paced: bool = False

    @model_validator(mode="after")
    def _settled(self) -> Self:
        self._to_utc()
        if self.paced and None in (self.budget, self.starts, self.ends):
            raise ValueError("a paced offer tells its budget, and when it starts and ends")
        return self


class OfferRequest(Event):
    """A question: which offers to show this customer now. Its `event_id` is the id of the decision that answers it.

    `offers` are the candidates; with none told it is the whole catalogue. `slots` is how many offers are wanted.
    """

    user: Id
    offers: Annotated[tuple[Id, ...], Field(max_length=MAX_CANDIDATES)] = ()
    slots: Annotated[int, Field(ge=1, le=20)] = 3


class Feedback(Event):
    """What is learned later about an earlier event: a chargeback, a dispute, a verdict, a reward, a rating.

    Only `about`, the id of that event, says what it concerns; the keys are found in what was stored with the event.
    Without an `event_id` of its own a feedback is known by its kind, source and what it is about.
    """

    event_id: str = ""
    about: Id
    kind: Literal["chargeback", "dispute", "verdict", "reversal", "reward", "rating"]
    verdict: Literal["fraud", "genuine"] | None = None
    value: float | None = None
    source: str = "upstream"
    confidence: Annotated[float, Field(ge=0, le=1)] = 1.0

    @model_validator(mode="after")
    def _settled(self) -> Self:
        self._to_utc()
        if self.kind == "verdict" and self.verdict is None:
            raise ValueError("a verdict says whether it was 'fraud' or 'genuine'")
        if not self.event_id:
            self.__dict__["event_id"] = f"{self.kind}:{self.source}:{self.about}"
            self.__pydantic_fields_set__.add("event_id")
        return self

    def fraud(self) -> bool | None:
        """Return whether this says fraud (True), genuine (False) or neither (None)."""
        if self.kind in ("chargeback", "dispute"):
            return True
        if self.kind == "reversal":
            return False
        return None if self.verdict is None else self.verdict == "fraud"


class Profile(Event):
    """What is known about a customer and what they agreed to.

    `preferences` are answers of a quiz, or what was set: how much, in [0, 1], a category or kind of offer is liked, or,
    as text, which one is. They are used only where `consent` has "personalisation".
    """

    user: Id
    country: Country | None = None
    segment: str | None = None
    opened: AwareDatetime | None = None
    email: ContactAddress | None = None
    phone: ContactAddress | None = None
    consent: tuple[str, ...] = ()
    age: Annotated[float, Field(ge=0, le=150)] | None = None
    income: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    gender: str | None = None
    preferences: Annotated[dict[Id, _Liking | _Answer], Field(max_length=32)] = {}
