"""The contract of every model, as functions that a new model must pass.

Each takes a function that makes a new model, so that a test can run all of them on all models:

    @pytest.mark.parametrize("check", list(model_checks()), ids=lambda check: check.__name__)
    def test_the_contract(check): check(make)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from online_models.base import Explains, Model, Vector
from online_models.explanation import top

Make = Callable[[], Model]
Check = Callable[[Make], None]

STREAM = 400
"""Examples a model is trained with; one that warms up must be made to be ready by then."""
SNAPSHOT_BYTES = 20_000_000
"""Most that a snapshot may weigh."""


def model_checks() -> Iterator[Check]:
    """Yield every check; each raises `AssertionError` when a model breaks its promise."""
    yield check_scores_are_probabilities
    yield check_scoring_changes_nothing
    yield check_learning_moves_the_score_toward_the_label
    yield check_learning_is_deterministic
    yield check_many_are_learned_as_one_by_one
    yield check_the_vector_is_not_kept
    yield check_weight_zero_changes_nothing
    yield check_a_bad_weight_is_refused
    yield check_missing_values_are_tolerated
    yield check_an_infinite_value_is_named
    yield check_a_wrong_length_is_refused
    yield check_restored_is_identical
    yield check_a_new_model_restores
    yield check_foreign_snapshots_are_refused
    yield check_the_snapshot_is_bounded
    yield check_contributions_add_up


def check_scores_are_probabilities(make: Make) -> None:
    """A score is in [0, 1] before, during and after learning, on any number."""
    model = make()
    for x, y in _stream(model):
        assert 0.0 <= model.score_one(x) <= 1.0
        model.learn_one(x, y)
    for size in (0.0, 1e-300, 1e9, -1e9, 1e300):
        assert 0.0 <= model.score_one(np.full(len(model.features), size)) <= 1.0


def check_many_are_learned_as_one_by_one(make: Make) -> None:
    """A model that learned a matrix of examples scores as one that learned its rows, to the last bit."""
    single, at_once = make(), make()
    examples = list(_stream(single))
    weights = [float(number % 3) for number in range(len(examples))]
    for (x, y), weight in zip(examples, weights, strict=True):
        single.learn_one(x, y, weight)
    xs, ys = np.array([x for x, _ in examples]), np.array([float(y) for _, y in examples])
    for start in range(0, len(examples), 150):
        part = slice(start, start + 150)
        at_once.learn_many(xs[part], ys[part], np.array(weights)[part])
    assert _scores(single) == _scores(at_once)


def check_scoring_changes_nothing(make: Make) -> None:
    """A model that also scores learns the same as one that only learns."""
    quiet, asked = make(), make()
    for x, y in _stream(quiet):
        asked.score_one(x)
        asked.score_one(-x)
        quiet.learn_one(x, y)
        asked.learn_one(x, y)
    assert _scores(quiet) == _scores(asked)


def check_learning_moves_the_score_toward_the_label(make: Make) -> None:
    """Learning one example over and over moves its score up when positive and down when not."""
    model = _trained(make)
    x = _probes(model)[0]
    first = model.score_one(x)
    _repeat(model, x, True)
    second = model.score_one(x)
    assert second > first
    _repeat(model, x, False)
    assert model.score_one(x) < second


def check_learning_is_deterministic(make: Make) -> None:
    """Two models that learn the same are the same."""
    assert _scores(_trained(make)) == _scores(_trained(make))


def check_the_vector_is_not_kept(make: Make) -> None:
    """The caller may use the array again after `score_one` and `learn_one`, which do not write to it."""
    model = make()
    for x, y in _stream(model):
        used = x.copy()
        model.score_one(used)
        model.learn_one(used, y)
        assert np.array_equal(used, x)
        used[:] = 0.0
    assert _scores(model) == _scores(_trained(make))


def check_weight_zero_changes_nothing(make: Make) -> None:
    """An example of weight 0 leaves all scores, now and later, as they are."""
    model = make()
    for x, y in _stream(model):
        model.learn_one(x, not y, 0.0)
        model.learn_one(x, y)
    assert _scores(model) == _scores(_trained(make))


def check_a_bad_weight_is_refused(make: Make) -> None:
    """A weight that is negative or not finite is a ValueError, and changes nothing."""
    model = _trained(make)
    before = _scores(model)
    x = _probes(model)[0]
    for weight in (-1.0, float("nan"), float("inf")):
        _assert_refused(lambda: model.learn_one(x, True, weight), str(weight))  # noqa: B023
    assert _scores(model) == before


def check_missing_values_are_tolerated(make: Make) -> None:
    """NaN is a value like any other: scored, learned, and forgotten by the next example."""
    model = make()
    for index, (x, y) in enumerate(_stream(model)):
        x[index % x.size] = np.nan
        model.learn_one(x, y)
    nothing = np.full(len(model.features), np.nan)
    assert 0.0 <= model.score_one(nothing) <= 1.0
    model.learn_one(nothing, True)
    assert all(0.0 <= score <= 1.0 for score in _scores(model))


def check_an_infinite_value_is_named(make: Make) -> None:
    """An infinite value is a ValueError that names its feature, before and after training; nothing changes."""
    for model in (make(), _trained(make)):
        before = _scores(model)
        for value in (np.inf, -np.inf):
            x = np.zeros(len(model.features))
            x[-1] = value
            _assert_refused(lambda: model.score_one(x), model.features[-1])  # noqa: B023
            _assert_refused(lambda: model.learn_one(x, True), model.features[-1])  # noqa: B023
        assert _scores(model) == before


def check_a_wrong_length_is_refused(make: Make) -> None:
    """A vector of another length or shape is a ValueError that says the right length."""
    model = _trained(make)
    size = len(model.features)
    for x in (np.zeros(size - 1), np.zeros(size + 1), np.zeros((1, size))):
        _assert_refused(lambda: model.score_one(x), str(size))  # noqa: B023
        _assert_refused(lambda: model.learn_one(x, True), str(size))  # noqa: B023


def check_restored_is_identical(make: Make) -> None:
    """A snapshot taken anywhere goes on bit for bit, in scores and in further learning."""
    straight = make()
    for index, (x, y) in enumerate(_stream(straight)):
        if index % 97 == 0:
            restored = make()
            restored.restore(straight.snapshot())
            assert _scores(restored) == _scores(straight)
            straight = restored
        straight.learn_one(x, y)
    assert _scores(straight) == _scores(_trained(make))


def check_a_new_model_restores(make: Make) -> None:
    """A snapshot of a model that learned nothing empties one that did."""
    model = _trained(make)
    model.restore(make().snapshot())
    assert _scores(model) == _scores(make())


def check_foreign_snapshots_are_refused(make: Make) -> None:
    """Bytes that are no snapshot, or one cut short, are a ValueError; the model stays as it is."""
    model = _trained(make)
    before = _scores(model)
    whole = model.snapshot()
    for blob in (b"", b"not a snapshot", whole[: len(whole) // 2]):
        _assert_refused(lambda: model.restore(blob), "snapshot")  # noqa: B023
    assert _scores(model) == before


def check_the_snapshot_is_bounded(make: Make) -> None:
    """However much is learned, a snapshot stays within `SNAPSHOT_BYTES`."""
    model = _trained(make)
    for x, y in _examples(len(model.features), 3 * STREAM, seed=3):
        model.learn_one(x, y)
    assert len(model.snapshot()) <= SNAPSHOT_BYTES


def check_contributions_add_up(make: Make) -> None:
    """The score of a model that explains itself is the logistic of its parts, to the last bit."""
    for model in (make(), _trained(make)):
        if isinstance(model, Explains):
            for x in _probes(model):
                logit = model.intercept
                for term in model.contributions(x).tolist():
                    logit += term
                assert model.score_one(x) == _logistic(logit)
                at_once = model.explain_one(x, 3)
                assert at_once[:3] == (model.score_one(x), logit, model.intercept)
                assert at_once.contributions.tolist() == model.contributions(x).tolist()
                assert tuple(at_once.largest) == top(at_once.contributions, 3)


def _trained(make: Make) -> Model:
    model = make()
    for x, y in _stream(model):
        model.learn_one(x, y)
    return model


def _repeat(model: Model, x: Vector, y: bool) -> None:
    for _ in range(100):
        model.learn_one(x, y)


def _stream(model: Model) -> list[tuple[Vector, bool]]:
    return _examples(len(model.features), STREAM, seed=1)


def _examples(features: int, count: int, seed: int) -> list[tuple[Vector, bool]]:
    """Return skewed, discrete and centred numbers, and labels that depend on the first."""
    rng = np.random.default_rng(seed)
    columns = [
        (rng.lognormal(1.0, 1.0, count), rng.poisson(1.0, count), rng.normal(0.0, 1.0, count))[f % 3]
        for f in range(features)
    ]
    labels = rng.random(count) < 1.0 / (1.0 + np.exp(4.0 - columns[0]))
    return list(zip(np.column_stack(columns).astype(np.float64), labels.tolist(), strict=True))


def _probes(model: Model) -> list[Vector]:
    return [x for x, _ in _examples(len(model.features), 20, seed=2)]


def _scores(model: Model) -> list[float]:
    return [model.score_one(x) for x in _probes(model)]


def _assert_refused(act: Callable[[], object], named: str) -> None:
    said = _refusal(act)
    assert said is not None, f"accepted, though {named} is wrong"
    assert named in said, f"the error {said!r} does not name {named}"


def _refusal(act: Callable[[], object]) -> str | None:
    try:
        act()
    except ValueError as error:
        return str(error)
    return None


def _logistic(logit: float) -> float:
    if logit >= 0.0:
        return 1.0 / (1.0 + math.exp(-logit))
    return math.exp(logit) / (1.0 + math.exp(logit))
