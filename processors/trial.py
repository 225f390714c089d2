"""A trial: which customers a challenger's policy decides for, beside the champion's."""

from dataclasses import dataclass

from online_models.slots import seed_of
from schemas.keys import keyed
from schemas.offer_results import Arm

_HASHES = 2**128


@dataclass(frozen=True)
class Trial:
    """A challenger's policy, which decides for a share of the customers, beside the champion's.

    Which customers these are is a hash of the trial and the customer under `seed`: a customer keeps their arm, and
    another trial draws anew. ValueError for a share that leaves one of them nobody.
    """

    champion: str
    challenger: str
    share: float
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0.0 < self.share < 1.0:
            raise ValueError(f"the challenger's share must be in (0, 1), got {self.share}: one arm alone tells nothing")

    @property
    def name(self) -> str:
        """Return what the trial is known by: another where anything of it is different.

        >>> Trial("softmax", "thompson", 0.1).name
        'softmax/thompson/0.1/0'
        """
        return f"{self.champion}/{self.challenger}/{self.share}/{self.seed}"

    def arm(self, tenant: str, user: str) -> Arm:
        """Return who decides for a customer."""
        drawn = seed_of(self.seed, f"{self.name}\n{keyed(tenant, user)}")
        return "challenger" if drawn < self.share * _HASHES else "champion"
