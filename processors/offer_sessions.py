"""Sessions: when a customer looks around, told by the pauses between their clicks."""

from math import nan

import msgspec

from processors.past import Known
from schemas.events import Click
from schemas.records import DAY

MINUTE = 60_000

PAUSE = 30 * MINUTE
"""A longer pause ends a session: what web analytics takes to be one."""

SPAN = 30 * DAY
"""How long before the newest session another is remembered."""

SESSIONS = 32
"""Most sessions of a customer that are remembered; the oldest go first."""

BROWSING = frozenset({"view", "click", "dismiss", "skip", "wishlist", "activation", "rating"})
"""The clicks of somebody who looks around; the others are shown to them, happen at a till, or take something back."""


class Session(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A run of clicks without a pause over `PAUSE`: when the first and the last were, in milliseconds, and how many."""

    start: int
    end: int
    clicks: int


class Sessions(msgspec.Struct, array_like=True):
    """A customer's sessions by their start, and the clicks last seen that were no views.

    They are the same in whatever order clicks come, as long as none is forgotten.
    """

    known: list[Session] = []
    clicks: Known = msgspec.field(default_factory=Known)

    def browse(self, click: Click) -> None:
        """Take in a click other than a view, once while it is among the last that are remembered."""
        if click.kind in BROWSING and self.clicks.is_new(click.event_id):
            self.add(click.time_ms())

    def add(self, time: int) -> None:
        """Take in a click that was not taken in before; it may join two sessions."""
        near = [session for session in self.known if session.start - PAUSE <= time <= session.end + PAUSE]
        joined = Session(
            min([time, *(session.start for session in near)]),
            max([time, *(session.end for session in near)]),
            1 + sum(session.clicks for session in near),
        )
        apart = [session for session in self.known if session not in near]
        newest = max([joined.end, *(session.end for session in apart)])
        recent = [session for session in (*apart, joined) if session.end > newest - SPAN]
        self.known = sorted(recent, key=lambda session: session.start)[-SESSIONS:]

    def values(self, time: int) -> tuple[float, float, float]:
        """Return how many sessions `SPAN` had up to `time`, the clicks in the present one, and its minutes so far.

        All are NaN while no session is known; outside of one there are no clicks, and its minutes are NaN.
        """
        if not self.known:
            return nan, nan, nan
        past = [session for session in self.known if session.start <= time and session.end > time - SPAN]
        if not past or time > past[-1].end + PAUSE:
            return float(len(past)), 0.0, nan
        return float(len(past)), float(past[-1].clicks), (time - past[-1].start) / MINUTE
