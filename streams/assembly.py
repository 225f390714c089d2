"""Puts the pipelines together from settings: which processors, which models, which keys."""

from collections.abc import Callable, Mapping
from functools import partial

from online_models.snapshots import sign, verify
from online_models.split_factors import SplitFactors
from processors import offer_features
from processors.customers import DERIVED, WINDOWED, CustomerFeatures
from processors.fraud import FraudScorer, Thresholds
from processors.item_demand import DemandForItems
from processors.learning import FraudLearner
from processors.offer_risk import RiskLimits
from processors.offer_usage import OfferUsageCounter
from processors.offers import OfferRanker
from processors.outcomes import FraudOutcomes
from processors.ranker_learning import OfferLearner
from processors.recommendations import Mix
from processors.recommender import Recommender
from processors.rewards import OfferRewards
from processors.rollout import OfferRollout, StoppingRule
from processors.trial import Trial
from streams.definitions_file import DefinitionsError, load_definitions
from streams.pipeline import Pipeline
from streams.settings import PipelineName, Settings


def pipeline(settings: Settings) -> Pipeline:
    """Return the pipelines that the settings name, as the one a worker runs."""
    return Pipeline.joined(_PIPELINES[name](settings) for name in settings.pipelines)


def fraud_pipeline(settings: Settings) -> Pipeline:
    """Return the pipeline that scores card transactions and learns from their labels."""
    features = customer_features(settings)
    scorer = fraud_scorer(settings, features)
    return Pipeline(
        (
            features,
            scorer,
            FraudOutcomes(settings.label_window, settings.late_horizon),
            FraudLearner(
                scorer.names,
                scorer.features_id,
                sign=partial(sign, key=settings.key("models")),
                verify=partial(verify, key=settings.key("models")),
                kinds={settings.champion: settings.model, **settings.shadows},
                every=settings.publish_every,
                at_most=settings.publish_at_most,
            ),
        ),
        unhurried=frozenset({FraudOutcomes.name, FraudLearner.name}),
    )


def offer_pipeline(settings: Settings) -> Pipeline:
    """Return the pipeline that ranks offers for customers and learns from what becomes of them."""
    key, trial = settings.key("models"), trial_of(settings)
    ranker = OfferRanker(
        partial(verify, key=key),
        policy=settings.policy,
        seed=settings.policy_seed,
        most_per_category=settings.most_per_category,
        throttle=settings.ranking_throttle,
        stale_after=settings.ranker_stale_after,
        risk=RiskLimits(
            settings.offer_risk_bar,
            settings.offer_risk_half_life,
            settings.offer_alert_hold,
            settings.offer_abuse_cost,
        ),
        trial=trial,
        decides="rules" if settings.apprentice else "model",
    )
    rule = StoppingRule(settings.rollout_alpha, settings.rollout_auto, settings.rollout_every)
    rollouts = () if trial is None else (OfferRollout(trial, rule),)
    return Pipeline(
        (
            ranker,
            OfferUsageCounter(),
            OfferRewards(settings.rewards, settings.reward_horizon),
            OfferLearner(
                partial(sign, key=key),
                partial(verify, key=key),
                every=settings.ranker_every,
                at_most=settings.ranker_at_most,
                corrects=settings.correct_rewards,
            ),
            *rollouts,
        ),
        unhurried=frozenset({OfferUsageCounter.name, OfferRewards.name, OfferLearner.name, OfferRollout.name}),
    )


def trial_of(settings: Settings) -> Trial | None:
    """Return the trial of the settings' challenger, None where there is none."""
    if settings.challenger_policy is None:
        return None
    return Trial(settings.policy, settings.challenger_policy, settings.challenger_share, settings.policy_seed)


def recommendation_pipeline(settings: Settings) -> Pipeline:
    """Return the pipeline that recommends items to customers. Raises ValueError for weights that are all 0."""
    mix = Mix(
        collaborative=settings.recommend_collaborative,
        content=settings.recommend_content,
        trending=settings.recommend_trending,
        count=settings.recommend_items,
        ttl_ms=settings.recommend_ttl,
        half_life_ms=settings.recommend_half_life,
    )
    model = SplitFactors()
    recommender = Recommender(model, mix, settings.recommend_throttle, settings.recommend_consent)
    return Pipeline((recommender, DemandForItems(model, mix)), unhurried=frozenset({DemandForItems.name}))


_PIPELINES: Mapping[PipelineName, Callable[[Settings], Pipeline]] = {
    "fraud": fraud_pipeline,
    "offers": offer_pipeline,
    "recommendations": recommendation_pipeline,
}


def customer_features(settings: Settings) -> CustomerFeatures:
    """Return the first hop: the built-in features, and those that the file of the settings declares beside them.

    Raises DefinitionsError for a file that is wrong, names a built-in feature, or declares one that is not a user's.
    """
    declared = () if settings.features is None else load_definitions(settings.features)
    known = {feature.name for feature in WINDOWED} | set(DERIVED)
    for feature in declared:
        if feature.entity != "user" or feature.name in known:
            why = "is built in: give it another name" if feature.name in known else "is not of entity `user`"
            raise DefinitionsError(f"{settings.features}: {feature.name} {why}")
    return CustomerFeatures(
        (*WINDOWED, *declared),
        label_window=settings.label_window,
        horizon=settings.dedupe_horizon,
        lateness=settings.lateness,
    )


def feature_names(settings: Settings) -> dict[str, tuple[str, ...]]:
    """Return the names of each set of features that vectors are of, by the id that stands beside a vector."""
    scorer = fraud_scorer(settings)
    rankers = {offer_features.features_id(names): names for names in offer_features.RELEASED}
    return {scorer.features_id: scorer.names} | rankers


def fraud_scorer(settings: Settings, features: CustomerFeatures | None = None) -> FraudScorer:
    """Return the scorer of the settings, which is also what explains a score again."""
    return FraudScorer(
        (features or customer_features(settings)).names,
        verify=partial(verify, key=settings.key("models")),
        champion=settings.champion,
        shadows=tuple(settings.shadows),
        label_window=settings.label_window,
        thresholds=Thresholds(settings.challenge, settings.review, settings.decline),
        sample=settings.sample_genuine,
    )
