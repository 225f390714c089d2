"""What a customer has had of each offer, and the decisions that were made for them: what limits are checked against."""

from collections.abc import MutableSequence
from typing import Protocol, TypeVar

import msgspec

from processors.offer_terms import Terms
from processors.past import Known
from schemas.events import Click
from schemas.records import DAY

WEEK = 7 * DAY

DECISION_LIFE = 7 * DAY
"""How long after a decision an impression may say that it was shown."""

DECISIONS = 16
"""Most decisions of a customer on requests that may still be shown; the oldest go first."""

CHARGES = 32
"""Most redemptions of a customer that a reversal may still take back; the oldest go first."""

UNASKED = 4
"""Most decisions that nobody asked for, each served until the next one, which are remembered apart from the others."""


class Had(msgspec.Struct, array_like=True):
    """What a customer has had of an offer: when it was shown in the last week, and how often and when redeemed.

    Times are kept only of an offer that is limited to so many shows a week, and no more of them than these.
    """

    shows: list[int] = []
    redemptions: int = 0
    redeemed_at: int | None = None


class Decision(msgspec.Struct, frozen=True, array_like=True):
    """A ranking that was made: its id, when, the offers in its slots, and whether a request asked for it."""

    id: str
    at: int
    offers: tuple[str, ...]
    asked: bool = True


class Charge(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A redemption that was counted: the impression it is of, when it was, and what it cost in `unit`."""

    decision: str
    offer: str
    at: int
    cost: float = 0.0
    unit: str = ""

    def is_reversed_by(self, click: Click) -> bool:
        """Return whether a reversal is about this redemption: of the decision it names, or else of its offer."""
        return click.is_about(self.decision, self.offer) and self.at <= click.time_ms()


class LastGood(msgspec.Struct, frozen=True, array_like=True):
    """The newest ranking that a model made of the whole catalogue: when, which version, and the offers with scores."""

    at: int
    version: int
    offers: tuple[str, ...]
    scores: tuple[float, ...]


class History(msgspec.Struct, array_like=True):
    """A customer's past with offers.

    It is bounded by the catalogue, `DECISIONS`, `UNASKED`, `CHARGES` and how many clicks are known.
    """

    had: dict[str, Had] = {}
    decisions: list[Decision] = []
    clicks: Known = msgspec.field(default_factory=Known)
    charges: list[Charge] = []

    def is_new(self, click: Click) -> bool:
        """Return whether a click is not among the last that are remembered; and remember it."""
        return bool(self.clicks.is_new(click.event_id))

    def decide(self, decision: Decision) -> None:
        """Take in a decision."""
        remember(self.decisions, decision)

    def decision(self, name: str, time: int) -> Decision | None:
        """Return the decision with this id, None when it is not known or too old to be shown at `time`."""
        for decision in reversed(self.decisions):
            if decision.id == name and time <= decision.at + DECISION_LIFE:
                return decision
        return None

    def show(self, terms: Terms, time: int) -> None:
        """Take in that an offer was shown."""
        most = terms.limits.shows_per_week
        if most is not None:
            had = self._of(terms.offer)
            had.shows = [*(at for at in had.shows if at > time - WEEK), time][-most:]

    def redeem(self, offer: str, time: int) -> None:
        """Take in that an offer was redeemed."""
        had = self._of(offer)
        # A state from when what was taken back was not always what had been counted may stand below none.
        had.redemptions = max(0, had.redemptions) + 1
        had.redeemed_at = time if had.redeemed_at is None else max(time, had.redeemed_at)

    def charge(self, charge: Charge) -> None:
        """Remember what a redemption cost, so that it can be taken back."""
        self.charges = [*self.charges[-CHARGES + 1 :], charge]

    def take_back(self, reversal: Click) -> list[Charge]:
        """Let what a reversal is about be as if it had not been redeemed, and return it: each redemption only once.

        Of an offer whose earlier redemptions are not all remembered the cool-down stays as it was.
        """
        taken = [charge for charge in self.charges if charge.is_reversed_by(reversal)]
        self.charges = [charge for charge in self.charges if not charge.is_reversed_by(reversal)]
        for charge in taken:
            had = self._of(charge.offer)
            had.redemptions = max(0, had.redemptions - 1)
        for offer in {charge.offer for charge in taken}:
            had, left = self.had[offer], [charge.at for charge in self.charges if charge.offer == offer]
            if left or not had.redemptions:
                had.redeemed_at = max(left, default=None)
        return taken

    def _of(self, offer: str) -> Had:
        if offer not in self.had:
            self.had[offer] = Had()
        return self.had[offer]


class Remembered(Protocol):
    """A decision, which a request asked for or not."""

    @property
    def asked(self) -> bool:
        """Whether a request asked for it."""
        ...


D = TypeVar("D", bound=Remembered)


def remember(decisions: MutableSequence[D], decision: D) -> None:
    """Append a decision, in the place of the oldest of its sort once there are `DECISIONS` or `UNASKED` of them."""
    alike = [at for at, known in enumerate(decisions) if known.asked == decision.asked]
    if len(alike) >= (DECISIONS if decision.asked else UNASKED):
        del decisions[alike[0]]
    decisions.append(decision)
