"""The second hop: scores each payment at its terminal with the newest published model, and says why."""

from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from typing import NamedTuple

import numpy as np

from online_models.base import Vector
from online_models.release import Release, unpack
from processors.base import Said, Tables
from processors.judgement import judge, rule_judgement
from processors.model_roles import Aliases, challenger_of, champion_of
from processors.terminals import Terminal, TerminalHistory
from schemas.keys import keyed
from schemas.offer_results import CustomerRisk
from schemas.records import DAY, AnyRecord
from schemas.results import Alert, CardFeatures, Decision, FraudScore, Label, ModelVersion
from schemas.topics import ALERTS, CARD_FEATURES, CUSTOMER_RISKS, MODEL_ALIASES, MODELS, SCORES, TERMINAL_LABELS

Versions = Mapping[str, ModelVersion]
"""The newest version of each model, by its name."""


class Thresholds(NamedTuple):
    """From which calibrated probability on a payment is challenged, reviewed and declined."""

    challenge: float = 0.05
    review: float = 0.20
    decline: float = 0.60

    def decision(self, probability: float) -> Decision:
        """Return what to do at this probability of fraud.

        >>> Thresholds().decision(0.25)
        'review'
        """
        if probability < self.challenge:
            return "approve"
        if probability < self.review:
            return "challenge"
        return "review" if probability < self.decline else "decline"


class Shadow(NamedTuple):
    """The score of each model in the shadow, and the version that made it: 0 while it has none."""

    scores: dict[str, float]
    versions: dict[str, int]


NO_SHADOW = Shadow({}, {})


class FraudScorer:
    """Folds a terminal's payments and labels, and says a score for every payment.

    `verify` returns the model blob of a signed one, or raises BadSignature: such a version never scores. Without a
    usable model the rules score, and the score says so. `champion` decides, and `shadows` score beside it, until an
    alias says otherwise: then another of them is the champion, or decides for a share of the customers. `sample` in
    (0, 1] of the genuine outcomes will be learned from; which, is decided here by a hash of the event id.
    """

    name = "fraud"
    inputs = (CARD_FEATURES, TERMINAL_LABELS)
    outputs = (SCORES, ALERTS, CUSTOMER_RISKS)
    tables = (MODELS, MODEL_ALIASES)
    state = Terminal

    def __init__(
        self,
        customer_names: tuple[str, ...],
        verify: Callable[[bytes], bytes],
        champion: str = "fraud",
        shadows: tuple[str, ...] = (),
        label_window: int = 7 * DAY,
        thresholds: Thresholds = Thresholds(),
        sample: float = 1.0,
    ) -> None:
        self.history = TerminalHistory(label_window)
        self.names = customer_names + self.history.names
        self.features_id = blake2b(",".join(self.names).encode(), digest_size=6).hexdigest()
        self._verify = verify
        self._champion = champion
        self._models = (champion, *shadows)
        self._thresholds = thresholds
        self._sample = sample
        self._loaded: dict[str, tuple[str, Release | None]] = {}

    def step(self, state: Terminal | None, record: AnyRecord, tables: Tables) -> tuple[Terminal | None, Iterable[Said]]:
        """Return the terminal's next state and, for a payment, its score and any alert."""
        message = record.message
        if isinstance(message, Label):
            if state is not None:
                self.history.learn(state, message)
            return state, ()
        if state is None:
            state = self.history.new()
        newest = state.trails[0].watched
        x = np.array([*message.customer, *self.history.observe(state, message)], dtype=np.float64)
        return state, self._say(message, x, newest, tables)

    def _say(self, payment: CardFeatures, x: Vector, newest: int, tables: Tables) -> Iterable[Said]:
        versions = tables[MODELS]
        model = self._decides(payment, tables[MODEL_ALIASES], versions)
        score = self.score(payment, x, newest, model, versions)
        if score.decision == "approve":
            return (Said(SCORES, score),)
        if score.decision == "challenge":
            return (Said(SCORES, score), Said(CUSTOMER_RISKS, _risk(score)))
        return (Said(SCORES, score), Said(ALERTS, _alert(score)), Said(CUSTOMER_RISKS, _risk(score)))

    def _decides(self, payment: CardFeatures, aliases: Aliases, versions: Versions) -> str:
        """Return the model that decides on a payment; a challenger without a usable version never does."""
        if not aliases:
            return self._champion
        challenger = challenger_of(aliases, self._models, keyed(payment.tenant, payment.user))
        if challenger is not None and self.release(versions.get(challenger)) is not None:
            return challenger
        return champion_of(aliases, self._models, self._champion)

    def score(self, payment: CardFeatures, x: Vector, newest: int, model: str, versions: Versions) -> FraudScore:
        """Return the score of a payment with features `x` (NaN: missing) under the version of a model, else the rules.

        The other models score in its shadow.
        """
        vector = tuple(x.tolist())
        version = versions.get(model)
        release = self.release(version)
        used = None if release is None else version
        judged = rule_judgement(vector, self.names) if release is None else judge(release, x, vector, self.names)
        shadow = self._shadow(x, model, versions) if len(self._models) > 1 else NO_SHADOW
        return FraudScore(
            event_id=payment.event_id,
            event_time=payment.event_time,
            tenant=payment.tenant,
            user=payment.user,
            terminal=payment.terminal,
            amount=payment.amount,
            currency=payment.currency,
            score=judged.score,
            probability=judged.probability,
            risk=round(100 * judged.probability),
            decision=self._thresholds.decision(judged.probability),
            source="rules" if used is None else "model",
            model=model,
            version=0 if used is None else used.version,
            features=self.features_id,
            vector=vector,
            reasons=judged.reasons,
            other=judged.other,
            intercept=judged.intercept,
            anomaly=judged.anomaly,
            shadow=shadow.scores,
            shadow_versions=shadow.versions,
            ages=_ages(payment, newest, used),
            weight=self._weight(payment.event_id),
            card=payment.card,
            country=payment.country,
            digest="" if used is None else used.digest,
            input_topic=payment.input_topic,
            input_partition=payment.input_partition,
            input_offset=payment.input_offset,
        )

    def _shadow(self, x: Vector, decides: str, versions: Versions) -> Shadow:
        scores, numbers = {}, {}
        for model in self._models:
            if model == decides:
                continue
            release = self.release(versions.get(model))
            scores[model] = 0.0 if release is None else release.model.score_one(x)
            numbers[model] = 0 if release is None else versions[model].version
        return Shadow(scores, numbers)

    def release(self, version: ModelVersion | None) -> Release | None:
        """Return the model of a version, or None when there is none, or it is forged, broken or of other features."""
        if version is None:
            return None
        loaded = self._loaded.get(version.model)
        if loaded is None or loaded[0] != version.digest:
            loaded = self._loaded[version.model] = (version.digest, self._load(version))
        return loaded[1]

    def _load(self, version: ModelVersion) -> Release | None:
        if version.features != self.features_id:
            return None
        try:
            return unpack(self._verify(b64decode(version.blob)), version.kind, self.names)
        except ValueError:
            return None

    def _weight(self, event_id: str) -> float:
        if self._sample >= 1.0:
            return 1.0
        drawn = int.from_bytes(blake2b(event_id.encode(), digest_size=8).digest()) / 2**64
        return 1.0 / self._sample if drawn < self._sample else 0.0


def _ages(payment: CardFeatures, newest: int, version: ModelVersion | None) -> dict[str, int]:
    """Return how old what a score was made of is, in milliseconds; -1 where there is nothing yet."""
    ages = {"customer": payment.customer_age, "terminal": -1 if newest < 0 else payment.event_time - newest}
    if version is not None:
        ages["model"] = payment.event_time - version.learned_through
    return ages


def _risk(score: FraudScore) -> CustomerRisk:
    return CustomerRisk(
        event_id=score.event_id,
        event_time=score.event_time,
        tenant=score.tenant,
        user=score.user,
        probability=score.probability,
        alert=score.decision != "challenge",
    )


def _alert(score: FraudScore) -> Alert:
    return Alert(
        event_id=score.event_id,
        event_time=score.event_time,
        tenant=score.tenant,
        user=score.user,
        terminal=score.terminal,
        amount=score.amount,
        currency=score.currency,
        risk=score.risk,
        decision=score.decision,
        reasons=score.reasons,
        model=score.model,
        version=score.version,
    )
