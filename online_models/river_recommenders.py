"""River's own rating models behind the protocol of ours, to compare: neither knows times or categories."""

from __future__ import annotations

from typing import Any

from river import optim, reco

from online_models.factorisation import Item

SEED = 73


class RiverRatings:
    """A River recommender."""

    def __init__(self, estimator: Any) -> None:
        self._estimator = estimator

    def predict_one(self, user: str, item: Item, at: int) -> float:
        """Return the rating expected."""
        return float(self._estimator.predict_one(user, item.id))

    def learn_one(self, user: str, item: Item, at: int, rating: float) -> None:
        """Learn what a user rated an item."""
        self._estimator.learn_one(user, item.id, rating)


def river_baseline() -> RiverRatings:
    """Return River's `Baseline`, biases alone, with the settings of its guide on recommender systems."""
    zeros = optim.initializers.Zeros()
    return RiverRatings(reco.Baseline(optimizer=optim.SGD(0.025), l2=0.0, initializer=zeros))


def river_biased_mf() -> RiverRatings:
    """Return River's `BiasedMF`, biases and ten factors, with the settings of the same guide."""
    return RiverRatings(
        reco.BiasedMF(
            n_factors=10,
            bias_optimizer=optim.SGD(0.025),
            latent_optimizer=optim.SGD(0.05),
            weight_initializer=optim.initializers.Zeros(),
            latent_initializer=optim.initializers.Normal(mu=0.0, sigma=0.1, seed=SEED),
            l2_bias=0.0,
            l2_latent=0.0,
        )
    )
