"""Settings: every one is an environment variable HEADRACE_<NAME>, or a line of a .env file."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from processors.reward_terms import DeclaredTerms
from schemas.durations import milliseconds

Duration = Annotated[int, BeforeValidator(milliseconds), Field(ge=0)]
DEVELOPMENT_SECRET = "headrace-development-secret"

PipelineName = Literal["fraud", "offers", "recommendations"]
Policy = Literal["greedy", "epsilon-greedy", "softmax", "squarecb", "thompson", "ucb", "uniform"]
PIPELINES: tuple[PipelineName, ...] = ("fraud", "offers", "recommendations")
"""Every pipeline there is, in the order in which a worker has them."""


def _names(told: object) -> object:
    return [name.strip() for name in told.split(",")] if isinstance(told, str) else told


def _in_order(names: tuple[PipelineName, ...]) -> tuple[PipelineName, ...]:
    return tuple(name for name in PIPELINES if name in names)


Pipelines = Annotated[
    tuple[PipelineName, ...], NoDecode, Field(min_length=1), BeforeValidator(_names), AfterValidator(_in_order)
]


class Settings(BaseSettings):
    """What an operator can set. Durations read 7d, 12h, 250ms; addresses are those of the services.

    `secret` signs models, makes the tokens of personal data and seals dead letters; its default is for trying out
    only, and a worker refuses it unless `throw_away` is set.
    """

    model_config = SettingsConfigDict(env_prefix="HEADRACE_", env_file=".env", extra="ignore")

    kafka: str = "127.0.0.1:9092"
    redis: str = "redis://127.0.0.1:6379/0"
    clickhouse: str = "http://127.0.0.1:8123"
    secret: SecretStr = SecretStr(DEVELOPMENT_SECRET)
    throw_away: bool = False
    group: str = "headrace"
    folder: Path = Path(".headrace")
    pipelines: Pipelines = PIPELINES

    label_window: Duration = milliseconds("7d")
    late_horizon: Duration = milliseconds("30d")
    dedupe_horizon: Duration = milliseconds("7d")
    lateness: Duration = milliseconds("7d")

    features: Path | None = None

    champion: str = "fraud"
    model: str = "additive"
    shadows: dict[str, str] = {}
    publish_every: Annotated[int, Field(ge=1)] = 1_000
    publish_at_most: Duration = milliseconds("1d")
    sample_genuine: Annotated[float, Field(gt=0, le=1)] = 1.0
    challenge: Annotated[float, Field(ge=0, le=1)] = 0.05
    review: Annotated[float, Field(ge=0, le=1)] = 0.20
    decline: Annotated[float, Field(ge=0, le=1)] = 0.60

    policy: Policy = "epsilon-greedy"
    policy_seed: int = 0
    apprentice: bool = False
    challenger_policy: Policy | None = None
    challenger_share: Annotated[float, Field(gt=0, lt=1)] = 0.1
    rollout_auto: bool = False
    rollout_alpha: Annotated[float, Field(gt=0, lt=1)] = 0.05
    rollout_every: Annotated[int, Field(ge=1)] = 100
    most_per_category: Annotated[int, Field(ge=1)] = 2
    rewards: DeclaredTerms = {}
    reward_horizon: Duration = milliseconds("7d")
    correct_rewards: bool = True
    ranker_every: Annotated[int, Field(ge=1)] = 200
    ranker_at_most: Duration = milliseconds("1h")
    ranking_throttle: Duration = milliseconds("60s")
    ranker_stale_after: Annotated[Duration, Field(ge=1)] = milliseconds("30d")
    offer_risk_bar: Annotated[float, Field(gt=0, le=1)] = 0.5
    offer_risk_half_life: Annotated[Duration, Field(ge=1)] = milliseconds("7d")
    offer_alert_hold: Duration = milliseconds("1d")
    offer_abuse_cost: Annotated[float, Field(ge=0)] = 0.1

    recommend_collaborative: Annotated[float, Field(ge=0)] = 0.40
    recommend_content: Annotated[float, Field(ge=0)] = 0.35
    recommend_trending: Annotated[float, Field(ge=0)] = 0.25
    recommend_items: Annotated[int, Field(ge=1, le=100)] = 10
    recommend_ttl: Annotated[Duration, Field(ge=1)] = milliseconds("1d")
    recommend_throttle: Duration = milliseconds("1m")
    recommend_half_life: Annotated[Duration, Field(ge=1)] = milliseconds("7d")
    recommend_consent: str | None = None

    batch: Annotated[int, Field(ge=1)] = 2_000
    cache: Annotated[int, Field(ge=1)] = 200_000
    skew: Duration = milliseconds("3d")
    linger: Duration = 100
    stalled_after: Duration = milliseconds("60s")
    session_timeout: Duration = milliseconds("10s")
    host: str = "127.0.0.1"
    port: int = 8000
    metrics_port: int = 0

    def key(self, purpose: str) -> bytes:
        """Return the secret key of one purpose, derived from the one secret."""
        return f"{purpose}:{self.secret.get_secret_value()}".encode()

    def group_of(self, pipelines: tuple[PipelineName, ...]) -> str:
        """Return Kafka's consumer group of the workers that run these pipelines.

        Members of one group share its partitions, so those that run fewer than all pipelines have a group of their own.
        """
        return self.group if pipelines == PIPELINES else "-".join((self.group, *pipelines))
