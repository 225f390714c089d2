"""Old states and messages of offers are read by new code, and what was learned from fewer features goes on."""

from base64 import b64decode
from math import nan
from typing import Any

import msgspec
import numpy as np
import pytest

from online_models.base import Vector
from online_models.offers import AdditiveRanker
from processors.offer_features import FEATURES_ID, NAMES, WIDTHS, candidate_vectors, features_id
from processors.offer_scoring import OfferScorer
from processors.offer_terms import Candidate, terms_of
from processors.ranker_learner import RankerLearner
from schemas.errors import BadMessage
from schemas.offer_results import OfferExample, RankerVersion
from schemas.offer_topics import OFFER_EXAMPLES, RANKERS
from schemas.topics import BY_NAME, OFFERS
from streams.replay import Replay
from streams.state_codec import state_codec
from streams.task import Task
from tests.builders import verified
from tests.processors.offer_world import CATALOGUE, pipeline, record, world
from tests.streams.offer_release import CUSTOMERS, RECORDS
from tests.streams.release import FOLDER, Left
from tests.streams.test_old_states import grown

RELEASES = sorted(FOLDER.glob("offers-*.json.gz"))


@pytest.fixture(scope="module", params=RELEASES, ids=lambda file: file.name)
def left(request: pytest.FixtureRequest) -> Left:
    return Left.by(request.param)


def message(left: Left, topic: str) -> Any:
    """Return the message of a topic that was left."""
    return BY_NAME[topic].decode(b64decode(left.messages[topic]))


def features_of(version: RankerVersion) -> tuple[str, ...]:
    """Return the features that a version was learned from."""
    names: tuple[str, ...] = tuple(msgspec.msgpack.decode(verified(b64decode(version.blob)))["features"])
    return names


def of_earlier(version: RankerVersion) -> AdditiveRanker:
    """Return the model as the code that published it knew it."""
    model = AdditiveRanker(features_of(version))
    model.restore(verified(b64decode(version.blob)))
    return model


def plain(state: bytes) -> Any:
    """Return a state in which what is missing equals itself."""
    return msgspec.json.decode(msgspec.json.encode(msgspec.msgpack.decode(state)))


def filled() -> Vector:
    return np.linspace(-3.0, 60.0, 7 * len(NAMES)).reshape(7, -1)


def test_some_release_is_kept() -> None:
    assert RELEASES


def test_states_of_a_release_mean_what_they_meant(left: Left) -> None:
    for processor in pipeline().processors:
        codec = state_codec(processor)
        for key in left.states[processor.name]:
            if issubclass(processor.state, msgspec.Struct):
                blob = left.state(processor.name, key)
                again = codec.encode(codec.decode(blob))
                assert grown(plain(blob), plain(again)), (processor.name, key)


def test_messages_of_a_release_are_read(left: Left) -> None:
    for name, blob in left.messages.items():
        [decoded] = BY_NAME[name].decode_batch([b64decode(blob)])
        assert not isinstance(decoded, BadMessage), name


def test_features_of_a_release_are_the_first_of_those_there_are(left: Left) -> None:
    version = message(left, RANKERS.name)
    names = features_of(version)
    assert names == NAMES[: len(names)]
    assert (version.features, WIDTHS[version.features]) == (features_id(names), len(names))


def test_a_version_of_a_release_goes_on_scoring_to_the_last_bit(left: Left) -> None:
    version = message(left, RANKERS.name)
    earlier = of_earlier(version)
    ranker = OfferScorer(verified).ranker(version)
    assert ranker is not None
    width = len(earlier.features)
    assert ranker.score_many(filled()).tolist() == earlier.score_many(filled()[:, :width]).tolist()


def test_a_version_of_a_release_scores_customers_of_that_release(left: Left) -> None:
    version = message(left, RANKERS.name)
    context = state_codec(pipeline().processors[0]).decode(left.state("offers", CUSTOMERS[0]))
    candidates = [Candidate(terms_of(each)) for each in CATALOGUE]
    scored = OfferScorer(verified).score(context, candidates, version.learned_through, version)
    vectors = candidate_vectors(context, [terms for terms, _ in candidates], version.learned_through)
    assert (scored.source, scored.degraded) == ("model", False)
    assert scored.scores.tolist() == of_earlier(version).score_many(vectors[:, : WIDTHS[version.features]]).tolist()


def test_a_learner_of_a_release_learns_old_examples_and_new_ones(left: Left) -> None:
    old: OfferExample = message(left, OFFER_EXAMPLES.name)
    engine = Replay(pipeline())
    task = engine.tasks["offer-learning"]
    task.states["offers"] = RankerLearner.restored(left.state("offer-learning", "offers"))
    new = msgspec.structs.replace(old, event_id="d-new", features=FEATURES_ID, vector=tuple(filled()[0].tolist()))
    learned = task.states["offers"].model.learned
    for each in (old, new):
        task.step(record(each))
    state = task.states["offers"]
    state.learn()
    assert state.model.features == NAMES
    assert state.model.learned == learned + 2


def test_an_example_of_the_first_features_is_learned_as_one_with_the_others_missing(left: Left) -> None:
    old = msgspec.structs.replace(message(left, OFFER_EXAMPLES.name), late=False, before=None)
    missing = (nan,) * (len(NAMES) - len(old.vector))
    same = msgspec.structs.replace(old, features=FEATURES_ID, vector=(*old.vector, *missing))
    snapshots = []
    for each in (old, same):
        task = Task(pipeline().processors[-1], {}, {})
        task.step(record(each))
        snapshots.append(task.states["offers"].snapshot())
    assert snapshots[0] == snapshots[1]


def test_work_goes_on_with_the_states_of_a_release(left: Left) -> None:
    """What was decided before, with fewer features, is learned from, and versions of all features are published."""
    engine = Replay(pipeline())
    engine.tables[OFFERS].update({OFFERS.key(each): each for each in CATALOGUE})
    version = message(left, RANKERS.name)
    engine.tables[RANKERS][version.model] = version
    for name, states in left.states.items():
        codec = state_codec(engine.tasks[name].processor)
        engine.tasks[name].states.update({key: codec.decode(left.state(name, key)) for key in states})
    before = engine.tasks["offer-learning"].states["offers"].examples
    said = [each.message for one in world()[RECORDS:] for each in engine.step(one)]
    examples = [each for each in said if isinstance(each, OfferExample) and not each.late]
    versions = [each for each in said if isinstance(each, RankerVersion)]
    assert {version.features, FEATURES_ID} == {each.features for each in examples}
    assert engine.tasks["offer-learning"].states["offers"].examples == before + len(examples)
    assert {each.features for each in versions} == {FEATURES_ID}
