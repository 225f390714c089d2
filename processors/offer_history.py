"""What a customer has had of each offer, and the decisions that were made for them: what limits are checked against."""

import msgspec

from processors.offer_terms import Terms
from processors.past import Known
from schemas.events import Click
from schemas.records import DAY

WEEK = 7 * DAY

DECISION_LIFE = 7 * DAY
"""How long after a decision an impression may say that it was shown."""

DECISIONS = 16
"""Most decisions of a customer that may still be shown; the oldest go first."""


class Had(msgspec.Struct, array_like=True):
    """What a customer has had of an offer: when it was shown in the last week, and how often and when redeemed.

    Times are kept only of an offer that is limited to so many shows a week, and no more of them than these.
    """

    shows: list[int] = []
    redemptions: int = 0
    redeemed_at: int | None = None


class Decision(msgspec.Struct, frozen=True, array_like=True):
    """A ranking that was made: its id, when, and the offers in its slots."""

    id: str
    at: int
    offers: tuple[str, ...]


class History(msgspec.Struct, array_like=True):
    """A customer's past with offers; bounded by the catalogue, `DECISIONS` and how many clicks are remembered."""

    had: dict[str, Had] = {}
    decisions: list[Decision] = []
    clicks: Known = msgspec.field(default_factory=Known)

    def is_new(self, click: Click) -> bool:
        """Return whether a click is not among the last that are remembered; and remember it."""
        return bool(self.clicks.is_new(click.event_id))

    def decide(self, decision: Decision) -> None:
        """Take in a decision."""
        self.decisions = [*self.decisions[-DECISIONS + 1 :], decision]

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
        had.redemptions += 1
        had.redeemed_at = time if had.redeemed_at is None else max(time, had.redeemed_at)

    def _of(self, offer: str) -> Had:
        if offer not in self.had:
            self.had[offer] = Had()
        return self.had[offer]
