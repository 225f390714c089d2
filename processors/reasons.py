"""Reasons in words: what a feature's number means to the person who has to act on it."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import exp, isnan


class Facts:
    """A vector read by the names of its features."""

    __slots__ = ("_at", "_vector")

    def __init__(self, names: tuple[str, ...], vector: Sequence[float]) -> None:
        self._at = _places(names)
        self._vector = vector

    def __getitem__(self, feature: str) -> float:
        return self._vector[self._at[feature]]

    def __contains__(self, feature: str) -> bool:
        return feature in self._at


@lru_cache(16)
def _places(names: tuple[str, ...]) -> dict[str, int]:
    return {name: at for at, name in enumerate(names)}


Wording = Callable[[float, Facts], str]


def _times(value: float, usual: float) -> str:
    return f"{value / usual:.1f}×" if usual > 0 else "more than"


def _amount(value: float, facts: Facts) -> str:
    usual = usual_amount(facts)
    if isnan(usual):
        return f"amount {facts['amount']:.2f} is this customer's first"
    return f"amount {facts['amount']:.2f} is {_times(facts['amount'], usual)} this customer's usual {usual:.2f}"


def usual_amount(facts: Facts) -> float:
    """Return the mean of the customer's earlier payments of 30 days in the same unit; NaN when there are none."""
    usual = (facts["amount"] + 1.0) * exp(-facts["amount_log_ratio_mean"]) - 1.0
    return usual if isnan(usual) else max(0.0, usual)


def _risk(days: int) -> Wording:
    def words(value: float, facts: Facts) -> str:
        count = facts[f"terminal_count_{days}d"]
        return (
            f"{round(value * count):.0f} of the {count:.0f} matured payments of {days} days at this terminal were fraud"
        )

    return words


def _count(period: str) -> Wording:
    return lambda value, facts: f"{value:.0f} payments by this customer in {period}"


def _matured(days: int) -> Wording:
    return lambda value, facts: f"{value:.0f} matured payments of {days} days at this terminal"


def _run(value: float, facts: Facts) -> str:
    run = facts["terminal_fraud_run"]
    return f"the last {run:.0f} matured payments at this terminal were all fraud" if run else "no run of frauds here"


WORDINGS: dict[str, Wording] = {
    "amount": lambda value, facts: f"amount {value:.2f}",
    "amount_z": _amount,
    "amount_z_genuine": _amount,
    "amount_log_ratio_genuine": _amount,
    "amount_log_ratio_mean": _amount,
    "amount_log_ratio_max": _amount,
    "customer_mean_30d": lambda value, facts: f"this customer pays {value:.2f} on average in 30 days",
    "customer_mean_7d": lambda value, facts: f"this customer paid {value:.2f} on average in 7 days",
    "customer_mean_1d": lambda value, facts: f"this customer paid {value:.2f} on average today",
    "customer_count_1d": _count("a day"),
    "customer_count_7d": _count("7 days"),
    "customer_count_30d": _count("30 days"),
    "weekend": lambda value, facts: "at a weekend" if value else "on a working day",
    "night": lambda value, facts: "at night" if value else "by day",
    "hour": lambda value, facts: f"at {value:.0f} o'clock UTC",
    "surprises_14d": lambda value, facts: f"{value:.0f} unusual payments of 14 days that nobody has explained",
    "surprise_max_14d": lambda value, facts: f"an unexplained payment of 14 days was {value:.1f} deviations off",
    "known_frauds_decayed": lambda value, facts: f"this customer has known frauds (weight {value:.2f} today)",
    "known_surprising_frauds_decayed": lambda value, facts: (
        f"known frauds of unusual amounts (weight {value:.2f} today)"
    ),
    "seconds_since_last": lambda value, facts: f"{value / 3600:.1f} hours after the customer's last payment",
    "account_age_days": lambda value, facts: f"customer known for {value:.1f} days",
    "new_terminal": lambda value, facts: "first payment at this terminal" if value else "a terminal used before",
    "new_country": lambda value, facts: "first payment from this country" if value else "a country used before",
    "new_device": lambda value, facts: "first payment from this device" if value else "a device used before",
    "speed_kmh": lambda value, facts: f"{value:.0f} km/h from the place of the last payment",
    "terminal_count_1d": _matured(1),
    "terminal_count_7d": _matured(7),
    "terminal_count_30d": _matured(30),
    "terminal_traffic_1d": lambda value, facts: f"{value:.0f} payments at this terminal in a day",
    "terminal_matured": lambda value, facts: f"{value:.0f} payments at this terminal have matured",
    "terminal_risk_1d": _risk(1),
    "terminal_risk_7d": _risk(7),
    "terminal_risk_30d": _risk(30),
    "terminal_risk_decayed_3d": lambda value, facts: f"recent fraud rate {value:.0%} at this terminal",
    "terminal_risk_decayed_10d": lambda value, facts: f"fraud rate {value:.0%} at this terminal",
    "terminal_fraud_run": _run,
    "terminal_fraud_run_age_days": lambda value, facts: f"this terminal's run of frauds began {value:.1f} days ago",
    "terminal_cusum": lambda value, facts: f"fraud evidence {value:.1f} at this terminal (0 is none)",
    "terminal_cusum_age_days": lambda value, facts: f"fraud evidence has risen here for {value:.1f} days",
    "terminal_days_since_fraud": lambda value, facts: f"last known fraud at this terminal {value:.1f} days ago",
}
"""How each feature is put into words; a feature that is not here is named with its value."""


def in_words(feature: str, value: float, facts: Facts) -> str:
    """Return what a feature's value means, from the numbers in `facts` alone.

    >>> facts = Facts(("amount", "amount_log_ratio_mean"), (412.0, 1.79954))
    >>> in_words("amount_z", 3.2, facts)
    "amount 412.00 is 6.1× this customer's usual 67.30"
    """
    if isnan(value):
        return f"{feature} is unknown"
    wording = WORDINGS.get(feature)
    return f"{feature} is {value:g}" if wording is None else wording(value, facts)
