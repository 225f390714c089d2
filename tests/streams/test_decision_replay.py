"""A decision is made again from the log, to the last bit; and where anything was changed since, it says what."""

from collections.abc import Collection, Iterable
from decimal import Decimal
from functools import cache
from math import nextafter
from typing import Any

import pytest
from msgspec.structs import replace

from schemas.offer_results import Ranking
from schemas.offer_topics import RANKINGS
from schemas.records import DAY, AnyTopic
from schemas.results import FraudScore
from schemas.topics import JOURNAL, MODELS, SCORES, TRANSACTIONS
from streams.assembly import fraud_pipeline, offer_pipeline
from streams.decision_log import Unreplayable, followed
from streams.decision_replay import DecisionReplay, Replayed
from streams.decision_search import some_scores
from streams.journal import Begin, JournalReplay, journal
from streams.kafka_log import Stored
from streams.settings import Settings
from streams.simulator import World, simulate
from tests.builders import HOUR, NOON, score
from tests.processors import offer_world as offers
from tests.streams.memory_log import entry
from tests.streams.memory_worker import EDGE, Cluster, MemoryWorker

WORLD = World(customers=170, terminals=110, days=30, fraud_rate=0.03, duplicates=0.01, label_delay_ms=2 * DAY)
SETTINGS = Settings(throw_away=True, label_window=3 * DAY, publish_every=500)
WANTED = 10_000


@cache
def lived() -> Cluster:
    """Return the log of a worker that was stopped and started anew seven times."""
    log = Cluster()
    MemoryWorker(fraud_pipeline(SETTINGS), log, batch=400).live(list(simulate(WORLD)), stages=8)
    return log


def decisions(log: Cluster) -> list[FraudScore]:
    return [SCORES.decode(raw.value) for raw in log.all_of(SCORES.name)]


def newest(log: Cluster) -> FraudScore:
    return max(decisions(log), key=lambda score: score.event_time)


def again(log: Any, *scores: FraudScore, **known: Any) -> list[Replayed]:
    return list(DecisionReplay(fraud_pipeline(SETTINGS), log, EDGE, **known).scores(scores))


def fields(found: Iterable[Replayed]) -> list[str]:
    return [difference.field for each in found for difference in each.differing]


def test_ten_thousand_decisions_come_out_again_to_the_last_bit() -> None:
    wanted = some_scores(lived(), WANTED)
    found = again(lived(), *wanted)
    assert {each.stored.event_id for each in found} == {score.event_id for score in wanted}
    assert (len(found), fields(found)) == (WANTED, [])
    assert {score.source for score in wanted} == {"model", "rules"}
    assert len({score.version for score in wanted}) > 4


class Altered:
    """A log in which some records of a topic read otherwise, or are gone."""

    def __init__(self, log: Cluster, topic: AnyTopic, alter: Any) -> None:
        self._log, self._topic, self._alter = log, topic.name, alter
        self.seen: list[tuple[str, bytes | None]] = []

    def ends(self, topic: str) -> Any:
        return self._log.ends(topic)

    def read(self, topic: str, partition: int, first: int, last: int) -> Iterable[Stored]:
        for raw in self._log.read(topic, partition, first, last):
            self.seen.append((topic, raw.key))
            altered = self._alter(raw) if topic == self._topic else raw
            if altered is not None:
                yield altered


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        (lambda score: {"score": nextafter(score.score, 1.0)}, ["score"]),
        (lambda score: {"vector": (*score.vector[:-1], score.vector[-1] + 1.0)}, ["vector"]),
        (lambda score: {"amount": -score.amount, "card": "another"}, ["amount", "card"]),
        (lambda score: {"user": "nobody", "terminal": "nowhere"}, ["user", "terminal"]),
        (lambda score: {"version": score.version - 1}, ["version"]),
        (lambda score: {"reasons": score.reasons[1:]}, ["reasons"]),
        (lambda score: {"ages": score.ages | {"terminal": 1}}, ["ages"]),
    ],
)
def test_a_score_that_was_tampered_with_is_told_by_its_fields(changed: Any, named: list[str]) -> None:
    stored = newest(lived())
    assert fields(again(lived(), replace(stored, **changed(stored)))) == named


def test_a_payment_that_was_tampered_with_in_the_log_is_told_by_what_it_changes() -> None:
    stored = newest(lived())

    def cheaper(raw: Stored) -> Stored:
        payment = TRANSACTIONS.decode(raw.value)
        if payment.event_id != stored.event_id:
            return raw
        return raw._replace(value=TRANSACTIONS.encode(payment.model_copy(update={"amount": Decimal("0.01")})))

    assert {"amount", "vector"} <= set(fields(again(Altered(lived(), TRANSACTIONS, cheaper), stored)))


def test_a_zero_and_a_negative_zero_are_not_the_same_bits() -> None:
    stored = next(score for score in decisions(lived()) if score.other == 0.0)
    assert fields(again(lived(), replace(stored, other=-0.0))) == ["other"]


def test_apps_that_key_their_payments_otherwise_are_read_whole() -> None:
    stored = newest(lived())
    renamed = Altered(lived(), TRANSACTIONS, lambda raw: raw._replace(key=b"somebody's own key"))
    assert fields(again(renamed, stored)) == []


def made_by_a_model(score: FraudScore) -> bool:
    return score.version > 0


def compacted(version: int) -> Any:
    """Return how a record of `models` is read once versions before this one have been dropped."""
    return lambda raw: raw if MODELS.decode(raw.value).version >= version else None


def test_a_version_that_compaction_dropped_comes_from_where_it_is_kept() -> None:
    stored = min(filter(made_by_a_model, decisions(lived())), key=lambda score: score.version)
    versions = [raw for raw in lived().all_of(MODELS.name) if MODELS.decode(raw.value).version == stored.version]
    log = Altered(lived(), MODELS, compacted(stored.version + 1))
    with pytest.raises(Unreplayable, match=r"models/. was compacted"):
        again(log, stored)
    kept = {MODELS.name: [raw._replace(offset=-1) for raw in versions]}
    assert fields(again(log, stored, kept=kept)) == []
    assert {"source", "version"} <= set(fields(again(log, stored, kept={MODELS.name: []})))


def test_an_input_that_has_expired_is_refused_with_the_way_out() -> None:
    log = Altered(lived(), TRANSACTIONS, lambda raw: None if raw.offset < 9 else raw)
    with pytest.raises(Unreplayable, match=r"transactions/. does not keep all records .* --from DIR"):
        again(log, newest(lived()))


def test_a_journal_without_the_batch_is_refused() -> None:
    log = Altered(lived(), JOURNAL, lambda raw: None)
    with pytest.raises(Unreplayable, match="no batch of features/"):
        again(log, newest(lived()))


def test_a_score_of_history_from_a_file_has_no_log() -> None:
    with pytest.raises(Unreplayable, match="from a file"):
        again(lived(), score(input_offset=-1))


def test_a_score_of_a_payment_that_was_sent_again_was_never_made() -> None:
    scored = {(score.input_partition, score.input_offset) for score in decisions(lived())}
    ends = lived().ends(TRANSACTIONS.name).items()
    partition, offset = next((at, n) for at, end in ends for n in range(end) if (at, n) not in scored)
    invented = replace(newest(lived()), input_partition=partition, input_offset=offset)
    with pytest.raises(Unreplayable, match=f"features/{partition} says nothing of"):
        again(lived(), invented)


def test_only_the_records_of_the_customer_and_the_terminal_are_stepped(monkeypatch: pytest.MonkeyPatch) -> None:
    stored, stepped = newest(lived()), set[str]()
    pipeline = fraud_pipeline(SETTINGS)
    for processor in pipeline.processors:
        step = processor.step

        def noted(state: Any, record: Any, tables: Any, step: Any = step) -> Any:
            stepped.add(record.key)
            return step(state, record, tables)

        monkeypatch.setattr(processor, "step", noted)
    (found,) = DecisionReplay(pipeline, lived(), EDGE).scores([stored])
    assert (found.differing, stepped) == ((), {stored.user, stored.terminal})


def begins(until: int) -> Any:
    """Return how every task stood after its commit of this number, as a backup would have it."""
    found: dict[str, Begin] = {}
    replay = JournalReplay(fraud_pipeline(SETTINGS), lived(), EDGE)
    for (name, partition), entries in journal(lived()).items():
        taken = [entries[sequence] for sequence in sorted(entries) if sequence <= until]
        for _ in replay.task(name, partition, taken):
            pass
        at = f"{name}/{partition}"
        task = replay.tasks[at]
        found[at] = Begin(taken[-1].sequence, task.watermark, task.sources(), replay.heard[at], {}, task.states)

    def snapshots(task: str, keys: Collection[str]) -> list[Begin]:
        states = {key: state for key, state in found[task].states.items() if key in keys}
        return [found[task]._replace(states=states)]

    return snapshots


def test_a_replay_begins_at_the_newest_snapshot_before_the_decision() -> None:
    stored = newest(lived())
    known = begins(until=4)
    taken = [journal(lived())["features", stored.input_partition][sequence] for sequence in (1, 2)]
    gone = max(last for each in taken for topic, _, _, last in each.runs if topic == TRANSACTIONS.name)
    expired = Altered(lived(), TRANSACTIONS, lambda raw: None if raw.offset <= gone else raw)
    assert fields(again(expired, stored, snapshots=known)) == []
    with pytest.raises(Unreplayable):
        again(expired, stored)


def test_a_snapshot_that_knows_the_decision_already_is_not_begun_at() -> None:
    oldest = min(decisions(lived()), key=lambda score: score.event_time)
    assert fields(again(lived(), oldest, snapshots=begins(until=9))) == []


def test_commits_that_say_nothing_have_no_entry_but_lost_entries_are_told() -> None:
    kept = {sequence: entry("till/0", sequence) for sequence in (1, 2, 4, 6)}
    assert [each.sequence for each in followed("till/0", kept, 0)] == [1, 2, 4, 6]
    assert [each.sequence for each in followed("till/0", kept, 2)] == [4, 6]
    with pytest.raises(Unreplayable, match="lacks commits 1 to 3 of till/0"):
        followed("till/0", {4: kept[4]}, 0)
    with pytest.raises(Unreplayable, match="lacks commits 3 to 5 of till/0"):
        followed("till/0", {2: kept[2], 6: kept[6]}, 1)


@cache
def ranked() -> Cluster:
    """Return the log of a worker that has ranked offers for three customers."""
    log, users = Cluster(), ("ann", "bob", "cy")
    log.publish(offers.record(offers.offer(name)) for name in ("coffee", "tea", "cake", "juice"))
    told = [
        offers.record(message)
        for n in range(12)
        for user in users
        for message in (
            offers.payment(NOON + n * HOUR, event_id=f"tx-{user}-{n}", user=user),
            offers.request(f"d-{user}-{n}", NOON + n * HOUR + 1, user=user),
        )
    ]
    MemoryWorker(offer_pipeline(SETTINGS), log, batch=7).live(told, stages=2)
    return log


def rankings(log: Cluster) -> list[Ranking]:
    return [RANKINGS.decode(raw.value) for raw in log.all_of(RANKINGS.name)]


def test_rankings_come_out_again_to_the_last_bit() -> None:
    replay, stored = DecisionReplay(offer_pipeline(SETTINGS), ranked(), EDGE), rankings(ranked())
    assert len(stored) >= 36
    assert {replay.ranking(each).differing for each in stored} == {()}


def test_a_ranking_that_was_tampered_with_is_told_by_its_fields() -> None:
    replay, stored = DecisionReplay(offer_pipeline(SETTINGS), ranked(), EDGE), rankings(ranked())[-1]
    changed = replace(stored, slots=stored.slots[::-1], policy="another")
    assert fields([replay.ranking(changed)]) == ["slots", "policy"]


def test_a_ranking_that_nobody_made_is_refused() -> None:
    with pytest.raises(Unreplayable, match="made ranking invented"):
        DecisionReplay(offer_pipeline(SETTINGS), ranked(), EDGE).ranking(
            replace(rankings(ranked())[0], event_id="invented")
        )
