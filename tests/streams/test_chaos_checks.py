"""A check of the fault drills that cannot fail proves nothing: each finds what is planted, and nothing else."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from schemas.errors import BadMessage
from schemas.records import AnyRecord, AnyTopic
from schemas.results import JournalEntry
from schemas.topics import ALERTS, BY_NAME, DEAD_LETTERS, EXAMPLES, FEEDBACK, SCORES, TRANSACTIONS
from streams.assembly import fraud_pipeline
from streams.chaos import recordings
from streams.chaos.campaign import Notes, carried_out
from streams.chaos.checks import Findings, Replayed, check, heard, state_hash
from streams.chaos.evidence import Evidence, Said
from streams.chaos.explained import unexplained
from streams.chaos.ledger import Letter, Write
from streams.chaos.verdict import Verdict, summary
from streams.chaos.watch import Sample, gone_back, longest_recovery
from streams.replay import replay
from streams.settings import Settings

SETTINGS = Settings(label_window="3d", publish_every=50)
PIPELINE = fraud_pipeline(SETTINGS)
EVENTS = 400


def said(topic: AnyTopic, identity: str, value: bytes, sequence: int, task: str = "fraud/0") -> Said:
    return Said(topic.name, 0, identity, value, task, sequence, 0)


def entry(processor: str, sequence: int, *runs: tuple[str, int, int, int], epoch: int = 1) -> JournalEntry:
    place = {"processor": processor, "partition": 0, "epoch": epoch, "sequence": sequence}
    return JournalEntry(event_id=f"{processor}/0/{sequence}", event_time=0, runs=runs, **place)  # type: ignore[arg-type]


WRITES = (
    Write("transactions", 0, 0, "tx-1"),
    Write("transactions", 0, 1, "tx-2"),
    Write("transactions", 0, 2, None),
    Write("feedback", 0, 0, "f-1"),
)
SAID = (
    said(SCORES, "tx-1>features.0>fraud.0", b"one", 1),
    said(SCORES, "tx-2>features.0>fraud.0", b"two", 2),
    said(DEAD_LETTERS, "transactions/0/2>edge.0", b"bad", 1, "features/0"),
)
JOURNAL = {
    ("features", 0): {
        1: entry("features", 1, ("transactions", 0, 0, 1)),
        2: entry("features", 2, ("transactions", 0, 2, 2)),
    },
    ("outcomes", 0): {1: entry("outcomes", 1, ("feedback", 0, 0, 0))},
}
STATES = {"features/0": {"ann": b"1", "bob": b"2"}}
ENDS = {("transactions", 0): 3, ("feedback", 0): 1}
WHOLE = Evidence(WRITES, SAID, JOURNAL, STATES, {"features/0": {("transactions", 0): 3}}, ENDS, ENDS)
REPLAYED = Replayed({each.id: each.value for each in SAID}, STATES)


def findings(**planted: object) -> Findings:
    return check(PIPELINE, replace(WHOLE, **planted), REPLAYED)  # type: ignore[arg-type]


def test_what_holds_is_not_complained_about() -> None:
    found = findings()
    assert (found.lost, found.doubled, found.mismatched, found.broken) == (set(), set(), set(), [])
    assert found.events == len(WRITES)
    assert list(found.told()) == []


def test_what_is_said_again_in_its_place_is_no_harm() -> None:
    assert list(findings(said=(*SAID[:2], *SAID)).told()) == []


def test_a_payment_without_score_is_lost() -> None:
    assert findings(said=(SAID[0], SAID[2])).lost == {"tx-2", "tx-2>features.0>fraud.0"}


def test_an_unreadable_message_without_dead_letter_is_lost() -> None:
    assert "transactions/0/2" in findings(said=SAID[:2]).lost


def test_a_write_that_a_reader_never_took_is_lost() -> None:
    journal = JOURNAL | {("outcomes", 0): {}}
    assert findings(journal=journal).lost == {"feedback/0/0 by outcomes"}


def test_what_its_readers_take_for_a_repeat_is_lost() -> None:
    """It stands in the log, but behind a later place of its task: whoever reads it drops it."""
    late = (SAID[1], SAID[0], SAID[2])
    assert [each.id for each in heard(late)] == [SAID[1].id, SAID[2].id]
    found = findings(said=late)
    assert found.lost == {SAID[0].id}
    assert found.broken == ["I5: fraud/0 said tx-1>features.0>fraud.0 on scores/0 behind later records"]


def test_a_record_that_was_taken_twice_is_doubled() -> None:
    again = {**JOURNAL[("features", 0)], 3: entry("features", 3, ("transactions", 0, 1, 1))}
    assert findings(journal=JOURNAL | {("features", 0): again}).doubled == {"transactions/0/1 by features"}


def test_two_sayings_under_one_id_are_doubled() -> None:
    other = said(SCORES, SAID[1].id, b"another", 3)
    found = findings(said=(*SAID, other))
    assert found.doubled == found.mismatched == {SAID[1].id}


def test_two_scores_of_one_payment_are_doubled() -> None:
    other = said(SCORES, "tx-2>features.1>fraud.0", b"two", 3)
    assert "tx-2" in findings(said=(*SAID, other)).doubled


def test_an_example_that_was_taught_twice_is_doubled() -> None:
    examples = [each for each in replayed_records() if each.topic is EXAMPLES][:1]
    taught = [said(EXAMPLES, f"{n}", EXAMPLES.encode(examples[0].message), 3 + n) for n in range(2)]
    lesson = examples[0].message
    assert f"{lesson.event_id} to {lesson.model}" in findings(said=(*SAID, *taught)).doubled


@pytest.mark.parametrize(
    ("states", "differing"),
    [
        ({"features/0": {"ann": b"1", "bob": b"3"}}, {"features/0:bob"}),
        ({"features/0": {"ann": b"1"}}, {"features/0:bob"}),
        (STATES | {"fraud/1": {"shop": b""}}, {"fraud/1:shop"}),
        ({}, {"features/0:ann", "features/0:bob"}),
    ],
    ids=["another state", "a missing one", "one too many", "none at all"],
)
def test_a_state_that_the_replay_has_otherwise_is_told(
    states: dict[str, dict[str, bytes]], differing: set[str]
) -> None:
    assert findings(states=states).mismatched == differing


def test_the_state_hash_is_canonical() -> None:
    turned = {"features/0": dict(reversed(STATES["features/0"].items())), "empty/0": {}}
    assert state_hash(turned) == state_hash(STATES)
    assert state_hash({"features/0": {"annb": b"1", "ob": b"2"}}) != state_hash(STATES)


def test_lag_and_an_offset_ahead_of_the_checkpoint_are_told() -> None:
    ahead = findings(committed=ENDS | {("transactions", 0): 4}).broken
    assert any("only 3 taken" in why for why in ahead)
    assert findings(committed={("feedback", 0): 1}).broken == ["I3: 3 records of lag left in 1 partitions"]


def test_answers_to_what_nobody_sent_are_told() -> None:
    scores = said(SCORES, "tx-9>features.0>fraud.0", b"?", 3)
    letter = said(DEAD_LETTERS, "transactions/0/1>edge.0", b"?", 2, "features/0")
    broken = findings(said=(*SAID, scores, letter)).broken
    assert broken == [
        "I6: 1 scores of payments that nobody acknowledged",
        "I6: 1 dead letters of good messages",
    ]


def replayed_records() -> list[AnyRecord]:
    return list(replay(PIPELINE, recordings.recorded(1, EVENTS)))


def test_a_score_that_its_vector_does_not_give_is_told() -> None:
    scores = [each for each in replayed_records() if each.topic in (SCORES, ALERTS, BY_NAME["models"])]
    sayings = [said(each.topic, each.id, each.topic.encode(each.message), n) for n, each in enumerate(scores)]
    assert unexplained(sayings, SETTINGS) == []
    at = next(n for n, each in enumerate(sayings) if each.topic == SCORES.name)
    value = sayings[at].value.replace(b'"probability":0.', b'"probability":0.9', 1)
    assert unexplained([*sayings[:at], sayings[at]._replace(value=value)], SETTINGS) != []


def letters_of(made: Sequence[Letter]) -> list[str | None]:
    return [letter.id for letter in made]


def test_recordings_keep_every_event() -> None:
    records = recordings.recorded(2, EVENTS)
    ids = {record.id for record in records}
    for recording in (recordings.unchanged, recordings.with_duplicates, recordings.out_of_order):
        assert set(letters_of(recording(records, Random(1)))) == ids
    assert letters_of(recordings.out_of_order(records, Random(1))) != letters_of(
        recordings.unchanged(records, Random(1))
    )
    assert len(recordings.with_duplicates(records, Random(1))) > 1.2 * EVENTS
    late = recordings.with_late_labels(records, Random(1))
    assert ids < set(letters_of(late))
    assert {letter.topic for letter in late} == {TRANSACTIONS.name, FEEDBACK.name}


def test_what_is_poisoned_cannot_be_read_and_the_rest_can() -> None:
    for letter in recordings.poisoned(recordings.recorded(3, 2_000), Random(1)):
        [message] = BY_NAME[letter.topic].decode_batch([letter.value])
        assert isinstance(message, BadMessage) == (letter.id is None)


def sample(at: float, *commits: int) -> Sample:
    return Sample(at, {f"features/{n}": count for n, count in enumerate(commits)})


TASKS = ("features/0", "features/1")


def test_a_recovery_lasts_until_the_slowest_task_has_committed_again() -> None:
    samples = [sample(1, 5, 5), sample(3, 6, 5), sample(4, 7, 5), sample(6, 8, 6)]
    assert longest_recovery(samples, [sample(2, 5, 5)], TASKS) == 4


def test_what_comes_after_the_next_fault_is_none_of_this_ones_recovery() -> None:
    samples = [sample(3, 6, 5), sample(11, 7, 6)]
    assert longest_recovery(samples, [sample(2, 5, 5), sample(10, 6, 5)], TASKS) == 1


def test_without_a_fault_or_a_commit_after_it_there_is_no_recovery() -> None:
    assert longest_recovery([sample(1, 5, 5)], [], TASKS) is None
    assert longest_recovery([sample(3, 5, 5)], [sample(2, 5, 5)], TASKS) is None


def test_what_goes_back_is_told() -> None:
    assert gone_back("checkpoint of", {"a": 3, "b": 1}, {"a": 3, "b": 2}) == []
    assert gone_back("checkpoint of", {"a": 3}, {}) == ["I3: the checkpoint of a went back from 3 to 0"]


GOOD = Verdict("zombie", 1, 10, fenced=2, recovery_s=4.0)


def replace_seed(seed: int, **changed: object) -> Verdict:
    fields = {name: getattr(GOOD, name) for name in GOOD.__struct_fields__} | {"seed": seed}
    return Verdict(**fields | changed)


def test_a_summary_holds_when_every_seed_does() -> None:
    told = summary("zombie", [GOOD, replace_seed(2, recovery_s=6.0)], fences=True)
    assert (told.ok, told.seeds, told.fenced) == (True, 2, 4)
    assert (told.recovery_s_p50, told.recovery_s_max) == (5.0, 6.0)


@pytest.mark.parametrize("planted", [{"lost": 1}, {"doubled": 1}, {"state_mismatch": 1}, {"broken": ("I3: lag",)}])
def test_one_seed_that_fails_fails_the_scenario(planted: dict[str, object]) -> None:
    assert not summary("zombie", [GOOD, replace_seed(2, **planted)]).ok


def test_a_fence_that_nobody_met_proves_nothing() -> None:
    told = summary("zombie", [replace_seed(1, fenced=0)], fences=True)
    assert not told.ok
    assert told.broken == ("nobody was fenced, so the fence was not tried",)


@pytest.mark.parametrize(
    ("verdicts", "counts"),
    [
        ([GOOD], GOOD),
        ([replace_seed(1, unpublished=True, broken=("726 were not acknowledged",)), GOOD], GOOD),
        ([replace_seed(1, unpublished=True, lost=1)], replace_seed(1, unpublished=True, lost=1)),
        ([replace_seed(1, unpublished=True, fenced=n) for n in (1, 2)], replace_seed(1, unpublished=True, fenced=2)),
    ],
    ids=["a good one", "a stream that got through at last", "something lost", "a stream that never got through"],
)
def test_only_a_drill_whose_stream_did_not_get_through_is_run_once_more(
    verdicts: list[Verdict], counts: Verdict
) -> None:
    left = iter(verdicts)
    assert carried_out(lambda: next(left)) == counts
    assert next(left, None) is None


def test_a_scenario_that_never_ran_has_no_summary() -> None:
    with pytest.raises(ValueError, match="never run"):
        summary("zombie", [])


def test_notes_outlive_a_campaign_that_was_broken_off(tmp_path: Path) -> None:
    notes = Notes(tmp_path / "deep" / "results.jsonl")
    assert notes.read() == {}
    notes.add(GOOD, 10)
    notes.add(replace_seed(2, recovery_s=None), 10)
    with (tmp_path / "deep" / "results.jsonl").open("ab") as file:
        file.write(b'{"events":10,"verd')
    assert notes.read() == {("zombie", 1, 10): GOOD, ("zombie", 2, 10): replace_seed(2, recovery_s=None)}
    notes.forget({"poison"})
    assert len(notes.read()) == 2
    notes.forget({"zombie"})
    assert notes.read() == {}
