"""What can be chosen about the API."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """Who may read, how long a request may wait, and when results count as stale.

    `api_keys` maps each API key to its tenant; without any, everybody may read every tenant. `feature_names` maps the
    name of a feature set to the names of its vector, and "customer" to those of a customer's features. An answer is
    stale when newer events have waited for longer than `behind_after_ms`; where nobody knows what waits, when the last
    commit is older than `stale_after_ms`. A customer's newest ranking counts as degraded when it is older than
    `ranking_old_after_ms`. Spans are milliseconds.
    """

    api_keys: Mapping[str, str] = field(default_factory=dict)
    feature_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    stale_after_ms: int = 60_000
    behind_after_ms: int = 1_000
    longest_wait_ms: int = 10_000
    ranking_old_after_ms: int = 7 * 86_400_000
