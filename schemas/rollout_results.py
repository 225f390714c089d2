"""What headrace says of a challenger's trial, and what it can be told to do about it.

All times are milliseconds since 1970 UTC.
"""

from typing import Literal

from schemas.results import Result

Course = Literal["running", "promoted", "rolled_back"]


class Rollout(Result, frozen=True, kw_only=True):
    """How a challenger's trial stands: who decides for whom, and on what evidence.

    `event_id` is "model@number", and `event_time` when the last outcome that is counted had matured. `trial` names
    champion, challenger, `share` and seed: it is another one where any of these is. While it is "running", the
    challenger decides for its share of the customers; for all when it is "promoted", for none when it is
    "rolled_back".

    Each customer counts once. `better` and `worse` are e-values, cut at 1e299: the chance that they ever reach
    1 / `alpha` although the challenger is not better, or not worse, is at most `alpha`. `low` and `high` hold the mean
    difference of the rewards, challenger less champion, at all times with a chance of 1 - `alpha`. Means are None
    before the first outcome. `by` is who decided, "test" or an account, by which `order`, `decided_at` when, and `why`
    says on what grounds.
    """

    model: str
    trial: str
    state: Course
    champion: str
    challenger: str
    share: float
    champion_outcomes: int
    champion_mean: float | None
    challenger_outcomes: int
    challenger_mean: float | None
    better: float
    worse: float
    low: float
    high: float
    alpha: float
    decided_at: int | None = None
    by: str = ""
    why: str = ""
    order: str = ""


class RolloutOrder(Result, frozen=True, kw_only=True):
    """An order to end a trial: the challenger decides for all customers from now on, or for none.

    `event_time` places the order among the outcomes, `given_at` is when it was given. `why` and `by` are for the audit.
    """

    model: str
    trial: str
    state: Literal["promoted", "rolled_back"]
    why: str
    by: str
    given_at: int
