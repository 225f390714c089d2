"""What is published of a fraud model: the model, its calibration and its anomaly score, as one blob."""

from typing import NamedTuple

import msgspec

from online_models.anomaly import AnomalyScore
from online_models.base import Model
from online_models.calibration import Calibration
from online_models.fraud import build


class Release(NamedTuple):
    """A model with the calibration and the anomaly detector that were learned beside it."""

    model: Model
    calibrator: Calibration
    anomaly: AnomalyScore


class _Packed(msgspec.Struct, frozen=True, array_like=True):
    model: bytes
    calibrator: bytes
    anomaly: bytes


def new(kind: str, features: tuple[str, ...]) -> Release:
    """Return a release that has learned nothing; `kind` is one that `online_models.fraud.build` knows."""
    return Release(build(kind, features), Calibration(), AnomalyScore(features))


def pack(release: Release) -> bytes:
    """Return the release as one blob."""
    return msgspec.msgpack.encode(
        _Packed(release.model.snapshot(), release.calibrator.snapshot(), release.anomaly.snapshot())
    )


def unpack(blob: bytes, kind: str, features: tuple[str, ...]) -> Release:
    """Return the release in a blob; ValueError when it is none, of other features or of another kind.

    A forest's blob is a pickle: only give this what a signature vouches for.
    """
    release = new(kind, features)
    try:
        packed = msgspec.msgpack.decode(blob, type=_Packed)
        release.model.restore(packed.model)
        release.calibrator.restore(packed.calibrator)
        release.anomaly.restore(packed.anomaly)
    except msgspec.DecodeError as error:
        raise ValueError(f"not a release of this version of headrace: {error}") from error
    return release
