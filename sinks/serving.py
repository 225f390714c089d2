"""Results in Redis: what is written, how it is read, and the key layout between them.

| key                               | type   | value                                             | kept       |
|-----------------------------------|--------|---------------------------------------------------|------------|
| `hr:{tenant}:score:{event_id}`    | string | FraudScore                                        | 7 days     |
| `hr:{tenant}:user:{user}:risk`    | string | order + the FraudScore of the user's newest event | 90 days    |
| `hr:{tenant}:card:{card}:risk`    | string | order + the FraudScore of the card's newest event | 90 days    |
| `hr:{tenant}:terminal:{id}:risk`  | string | order + the FraudScore of the terminal's newest   | 90 days    |
| `hr:{tenant}:user:{user}:features`| string | order + the CardFeatures of the user's newest     | 90 days    |
| `hr:{tenant}:models`              | hash   | model → order + its newest ModelVersion, no blob  | for good   |
| `hr:{tenant}:models:{m}:{v}`      | string | ModelVersion with its signed blob                 | 90 days    |
| `hr:{tenant}:ranking:{decision}`  | string | Ranking                                           | 30 days    |
| `hr:{tenant}:user:{user}:offers`  | string | order + the user's newest Ranking of our own      | 90 days    |
| `hr:{tenant}:offer:{offer}:usage` | string | order + the offer's newest OfferUsage             | 90 days    |
| `hr:{tenant}:user:{user}:items`   | string | order + the user's newest Recommendations         | 90 days    |
| `hr:{tenant}:item:{item}:demand`  | string | order + the item's newest ItemDemand              | 90 days    |
| `hr:{tenant}:rankers`             | hash   | model → order + its newest RankerVersion, no blob | for good   |
| `hr:{tenant}:rankers:{m}:{v}`     | string | RankerVersion with its signed blob                | 90 days    |
| `hr:progress`                     | hash   | "processor/partition" → Progress                  | for good   |

Values are JSON as it stands on the topics. The order before a newest value is 26 digits: the event time (a model's
version, how much a usage or a demand has counted), then the CRC-32 of the value, so that one of two values of the same
millisecond wins, whichever comes first. A decision of somebody else has the offer that was told of last.
The tenant is percent-encoded, which keeps one tenant's keys out of another's. No write needs two keys of one slot, so
on Redis Cluster each result may be applied by itself; on one node a whole batch goes in one script.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from zlib import crc32

from msgspec.structs import replace

from schemas.offer_results import OfferUsage, RankerVersion, Ranking
from schemas.offer_topics import OFFER_USAGE, RANKERS, RANKINGS
from schemas.recommendation_results import ItemDemand, Recommendations
from schemas.recommendation_topics import ITEM_DEMANDS, RECOMMENDATIONS
from schemas.records import DAY, AnyRecord, AnyTopic, Record
from schemas.results import CardFeatures, FraudScore, ModelVersion
from schemas.topics import BY_NAME, CARD_FEATURES, MODELS, SCORES
from sinks.base import Encoded, Progress, refuse_foreign
from sinks.connection import Scripted, Values, busy_when_away
from sinks.offer_serving import OfferReader, offers_key, rankers_key, ranking_key, usage_key
from sinks.progress import PROGRESS, merged_progress
from sinks.recommendation_serving import RecommendationReader, demand_key, recommendations_key
from sinks.stored import Stored, prefix

ORDER_ZERO = 10**15  # makes times before 1970 positive, so that orders compare as text

SERVE = """
local function serve(key, ttl, newest, field, value)
  local stored = ''
  if newest == '1' then
    stored = field == '' and redis.call('GETRANGE', key, 0, 25)
      or string.sub(redis.call('HGET', key, field) or '', 1, 26)
  end
  if newest == '0' or stored <= string.sub(value, 1, 26) then
    if field ~= '' then redis.call('HSET', key, field, value)
    elseif ttl == '0' then redis.call('SET', key, value)
    else redis.call('SET', key, value, 'PX', ttl) end
  end
end
"""
"""The part of a Lua script that writes one served value, unless what is stored there is newer."""

SCRIPT = SERVE + "for i, key in ipairs(KEYS) do serve(key, unpack(ARGV, i * 4 - 3, i * 4)) end"


class Served(NamedTuple):
    """One value for readers, and where it is kept.

    `ttl_ms` 0 keeps it for good. With an `order` (an event time, a version) the value yields to one of a higher order;
    without, it is written once. With a `field` the key is a hash.
    """

    key: str
    value: bytes
    ttl_ms: int
    order: int | None = None
    field: str = ""


@dataclass(frozen=True, slots=True)
class Keep:
    """How long each kind of result is served, in milliseconds."""

    scores_ms: int = 7 * DAY
    newest_ms: int = 90 * DAY
    models_ms: int = 90 * DAY
    rankings_ms: int = 30 * DAY


def serve(record: AnyRecord, encoded: bytes, keep: Keep = Keep()) -> tuple[Served, ...]:
    """Return what is served of an output record whose JSON is `encoded`; () for what nobody reads by key."""
    match record.message:
        case FraudScore() as score:
            return _served_score(score, encoded, keep)
        case CardFeatures() as known:
            key = f"{prefix(known.tenant)}:user:{known.user}:features"
            return (Served(key, encoded, keep.newest_ms, known.event_time),)
        case ModelVersion() as version:
            return _served_version(models_key(version.tenant), record, encoded, keep)
        case Ranking() as ranking:
            return _served_ranking(ranking, encoded, keep)
        case OfferUsage() as usage:
            return (Served(usage_key(usage.tenant, usage.offer), encoded, keep.newest_ms, usage.counted),)
        case RankerVersion() as ranker:
            return _served_version(rankers_key(ranker.tenant), record, encoded, keep)
        case Recommendations() as told:
            return (Served(recommendations_key(told.tenant, told.user), encoded, keep.newest_ms, told.event_time),)
        case ItemDemand() as demand:
            return (Served(demand_key(demand.tenant, demand.item), encoded, keep.newest_ms, demand.count),)
    return ()


def apply(pipeline: Scripted, served: Iterable[Served]) -> Any:
    """Write all of `served` by one atomic script, on a client or queued on a pipeline; nothing for nothing."""
    keys, arguments = script_arguments(served)
    return pipeline.eval(SCRIPT, len(keys), *keys, *arguments) if keys else None


def script_arguments(served: Iterable[Served]) -> tuple[list[str], list[bytes | str | int]]:
    """Return the key of each value that is left to write, and four arguments of `serve` behind it: see SERVE."""
    keys: list[str] = []
    arguments: list[bytes | str | int] = []
    value = stored = b""
    for (key, field), each in _settled(served).items():
        keys.append(key)
        if each.order is None:
            arguments += (each.ttl_ms, "0", field, each.value)
            continue
        if each.value is not value:  # what one score says to several keys is put behind its order only once
            value, stored = each.value, stamped(each)
        arguments += (each.ttl_ms, "1", field, stored)
    return keys, arguments


class ServingSink:
    """Writes results for readers from their topics, where the engine's checkpoint does not do it."""

    inputs: tuple[AnyTopic, ...] = (
        *(SCORES, CARD_FEATURES, MODELS),
        *(RANKINGS, OFFER_USAGE, RANKERS),
        *(RECOMMENDATIONS, ITEM_DEMANDS),
    )

    def __init__(self, client: Values, keep: Keep = Keep()) -> None:
        self._client = client
        self._keep = keep

    async def write(self, records: Sequence[Encoded]) -> None:
        """Serve the records. Raises SinkBusy, BadMessage for bytes that are no message, ValueError for their topic."""
        refuse_foreign(self, records)
        served = served_of(records, self._keep)
        if served:
            with busy_when_away():
                await apply(self._client, served)


class Reader(OfferReader, RecommendationReader):
    """Reads results from Redis by the reader's key; see ResultReader."""

    def __init__(self, client: Values) -> None:
        super().__init__(Stored(client))

    async def score(self, event_id: str, tenant: str = "default") -> bytes | None:
        """Return the FraudScore of an event."""
        return await self._stored.value(score_key(tenant, event_id))

    async def wait_for_score(self, event_id: str, timeout_ms: int, tenant: str = "default") -> bytes | None:
        """Return the FraudScore of an event as soon as it is there; None when it is not within `timeout_ms`."""
        return await self._stored.awaited(score_key(tenant, event_id), timeout_ms)

    async def user_risk(self, user: str, tenant: str = "default") -> bytes | None:
        """Return the FraudScore of a user's newest event."""
        return await self._stored.newest(f"{prefix(tenant)}:user:{user}:risk")

    async def user_features(self, user: str, tenant: str = "default") -> bytes | None:
        """Return the CardFeatures of a user's newest event."""
        return await self._stored.newest(f"{prefix(tenant)}:user:{user}:features")

    async def card(self, card: str, tenant: str = "default") -> bytes | None:
        """Return the FraudScore of a card's newest event; `card` is the card's token."""
        return await self._stored.newest(f"{prefix(tenant)}:card:{card}:risk")

    async def terminal(self, terminal: str, tenant: str = "default") -> bytes | None:
        """Return the FraudScore of a terminal's newest event; its vector holds the terminal's features."""
        return await self._stored.newest(f"{prefix(tenant)}:terminal:{terminal}:risk")

    async def models(self, tenant: str = "default") -> Mapping[str, bytes]:
        """Return the newest ModelVersion of each model, without its blob."""
        return await self._stored.members(models_key(tenant))

    async def model_version(self, model: str, version: int, tenant: str = "default") -> bytes | None:
        """Return a ModelVersion with its signed blob."""
        return await self._stored.value(f"{models_key(tenant)}:{model}:{version}")

    async def progress(self) -> Mapping[str, Progress]:
        """Return how far each processor has come."""
        return merged_progress(await self._stored.fields(PROGRESS))

    async def aclose(self) -> None:
        """Close the client; whoever still waits is told None."""
        await self._stored.aclose()


def served_of(records: Sequence[Encoded], keep: Keep) -> list[Served]:
    """Return what is served of encoded records. Raises BadMessage."""
    served: list[Served] = []
    for encoded in records:
        topic = BY_NAME[encoded.topic]
        message = topic.decode(encoded.value)
        served += serve(Record(topic, message, message.event_id), encoded.value, keep)
    return served


def score_key(tenant: str, event_id: str) -> str:
    """Return where the FraudScore of an event is kept."""
    return f"{prefix(tenant)}:score:{event_id}"


def models_key(tenant: str) -> str:
    """Return where the newest model versions are kept."""
    return f"{prefix(tenant)}:models"


def stamped(served: Served) -> bytes:
    """Return a newest value behind its order, as it is stored."""
    return b"%016d%010d" % ((served.order or 0) + ORDER_ZERO, crc32(served.value)) + served.value


def _served_score(score: FraudScore, encoded: bytes, keep: Keep) -> tuple[Served, ...]:
    tenant, time, ttl = prefix(score.tenant), score.event_time, keep.newest_ms
    served = (
        Served(f"{tenant}:score:{score.event_id}", encoded, keep.scores_ms),
        Served(f"{tenant}:user:{score.user}:risk", encoded, ttl, time),
        Served(f"{tenant}:terminal:{score.terminal}:risk", encoded, ttl, time),
    )
    return served if score.card is None else (*served, Served(f"{tenant}:card:{score.card}:risk", encoded, ttl, time))


def _served_version(key: str, record: AnyRecord, encoded: bytes, keep: Keep) -> tuple[Served, ...]:
    """Return what is served of a version: without its blob among the newest, and with it by its number."""
    version = record.message
    return (
        Served(key, record.topic.encode(replace(version, blob="")), 0, version.version, version.model),
        Served(f"{key}:{version.model}:{version.version}", encoded, keep.models_ms),
    )


def _served_ranking(ranking: Ranking, encoded: bytes, keep: Keep) -> tuple[Served, ...]:
    decision = Served(ranking_key(ranking.tenant, ranking.event_id), encoded, keep.rankings_ms)
    if ranking.shown:  # what somebody else showed is no answer to what to show next
        return (decision,)
    newest = Served(offers_key(ranking.tenant, ranking.user), encoded, keep.newest_ms, ranking.event_time)
    return (decision, newest)


def _settled(served: Iterable[Served]) -> dict[tuple[str, str], Served]:
    """Return what is left to write by key and field: of newest values the newest only."""
    settled: dict[tuple[str, str], Served] = {}
    for each in served:
        at = (each.key, each.field)
        known = settled.get(at)
        if known is None or not _is_newer(known, each):
            settled[at] = each
    return settled


def _is_newer(known: Served, other: Served) -> bool:
    if known.order is None or other.order is None:
        return False
    return known.order > other.order or (known.order == other.order and crc32(known.value) > crc32(other.value))
