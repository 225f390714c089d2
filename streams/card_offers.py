"""A folder of card offers as records: the catalogue, the customers, and what they were sent, saw, redeemed and paid.

`portfolio.json` holds the offers, `profile.json` the customers, one JSON object a line, either also as .gz;
`transcript*.parquet` the events, with whole hours since the start as their time.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from schemas.events import Click, Event, Offer, Profile, Transaction
from schemas.records import AnyRecord, AnyTopic, Record
from schemas.topics import CLICKS, OFFERS, PROFILES, TRANSACTIONS
from streams.files import UnreadableFile, lines, read

START = datetime(2018, 8, 1, tzinfo=UTC)
"""Hour 0, which the files don't date: the last customers joined in the week before."""

UNKNOWN_AGE = 118
CLICK_OF = {"offer received": "impression", "offer viewed": "view", "offer completed": "redemption"}
OFFER_KEYS = ("id", "offer_type", "reward", "difficulty", "duration", "channels")
PROFILE_KEYS = ("id", "became_member_on", "gender", "age", "income")
COLUMNS = ("person", "event", "time", "offer_id", "amount")

Row = Mapping[str, Any]


def hour_of(time: int) -> int:
    """Return the whole hours from the start to a time in milliseconds."""
    return (time - round(START.timestamp() * 1000)) // 3_600_000


@dataclass(frozen=True)
class CardOffers:
    """The files of a folder. Raises UnreadableFile, which names what is missing."""

    folder: Path

    def __post_init__(self) -> None:
        self.portfolio, self.profiles, self.transcripts  # noqa: B018

    @property
    def portfolio(self) -> Path:
        """The file of the offers."""
        return self._one("portfolio.json")

    @property
    def profiles(self) -> Path:
        """The file of the customers."""
        return self._one("profile.json")

    @property
    def transcripts(self) -> list[Path]:
        """The files of the events, in order of their first event."""
        found = sorted(self.folder.glob("transcript*.parquet"))
        if not found:
            raise UnreadableFile(f"{self.folder} has no transcript*.parquet: the events are missing")
        return sorted(found, key=_first_hour)

    def _one(self, name: str) -> Path:
        for path in (self.folder / name, self.folder / f"{name}.gz"):
            if path.is_file():
                return path
        raise UnreadableFile(f"{self.folder} has neither {name} nor {name}.gz")

    def offers(self) -> list[Offer]:
        """Return the catalogue."""
        return [_offer(row) for row in _objects(self.portfolio, OFFER_KEYS)]

    def records(self) -> Iterator[AnyRecord]:
        """Yield everything in order of time: first the offers, then the customers, then what happened.

        A send is an impression whose propensity is one over the number of offers, as sends are random. Raises
        UnreadableFile for events that go back in time.
        """
        offers = self.offers()
        yield from (_record(OFFERS, offer) for offer in offers)
        yield from (_record(PROFILES, _profile(row)) for row in _objects(self.profiles, PROFILE_KEYS))
        newest = 0
        for path in self.transcripts:
            for number, row in enumerate(_rows(path)):
                if row["time"] < newest:
                    raise UnreadableFile(f"{path}: event {number} at hour {row['time']} comes after hour {newest}")
                newest = row["time"]
                yield _event(f"{path.stem}-{number}", row, 1.0 / len(offers))


def _first_hour(path: Path) -> int:
    return next((int(row["time"]) for row in _rows(path)), 0)


def _rows(path: Path) -> Iterator[Row]:
    for rows in read(path):
        if missing := [name for name in COLUMNS if name not in rows.columns]:
            raise UnreadableFile(f"{path} has no column {', '.join(missing)}")
        for row in zip(*(rows.columns[name] for name in COLUMNS), strict=True):
            yield dict(zip(COLUMNS, row, strict=True))


def _event(event_id: str, row: Row, propensity: float) -> AnyRecord:
    common = {"event_id": event_id, "event_time": START + timedelta(hours=row["time"]), "user": row["person"]}
    if row["event"] == "transaction":
        return _record(TRANSACTIONS, Transaction(**common, amount=f"{row['amount']:.2f}", currency="USD"))
    if row["event"] not in CLICK_OF:
        raise UnreadableFile(f"{event_id}: unknown event {row['event']!r}, known are transaction and {list(CLICK_OF)}")
    kind = CLICK_OF[row["event"]]
    sent = {"decision_id": event_id, "propensity": propensity} if kind == "impression" else {}
    return _record(CLICKS, Click(**common, kind=kind, offer=row["offer_id"], **sent))


def _offer(row: Row) -> Offer:
    return Offer.model_validate(
        {
            "event_id": f"offer-{row['id']}",
            "event_time": START,
            "offer": row["id"],
            "kind": row["offer_type"],
            "reward": row["reward"],
            "reward_unit": "USD",
            "minimum_spend": row["difficulty"],
            "duration_days": row["duration"],
            "channels": row["channels"],
        }
    )


def _profile(row: Row) -> Profile:
    joined = datetime.strptime(str(row["became_member_on"]), "%Y%m%d").replace(tzinfo=UTC)
    told = {
        "age": None if row["age"] == UNKNOWN_AGE else row["age"],
        "income": row["income"],
        "gender": row["gender"],
    }
    return Profile(event_id=f"profile-{row['id']}", event_time=START, user=row["id"], opened=joined, **told)


def _objects(path: Path, keys: tuple[str, ...]) -> Iterator[Row]:
    for line in (line for batch in lines(path) for line in batch):
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError:
            row = None
        if not isinstance(row, dict):
            raise UnreadableFile(f"{path}: a line is no JSON object: {line[:80]!r}")
        if missing := [key for key in keys if key not in row]:
            raise UnreadableFile(f"{path}: an entry has no {', '.join(missing)}")
        yield row


def _record(topic: AnyTopic, message: Event) -> AnyRecord:
    return Record(topic, message, message.event_id)
