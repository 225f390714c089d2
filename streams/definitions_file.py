"""Feature definitions in YAML: a list of features, each with the keys of `Feature`."""

from pathlib import Path
from typing import Any

import yaml

from processors.definitions import Feature, features_from


class DefinitionsError(ValueError):
    """A file of definitions is wrong; the message names the file, the feature and its field."""


def load_definitions(path: Path) -> tuple[Feature, ...]:
    """Read the features declared in a file, in its order.

    The file is a list, or an object whose `defaults` fill in what a feature of its `features` does not say. Raises
    DefinitionsError.
    """
    try:
        declared = yaml.safe_load(path.read_text(encoding="utf-8"))
        return features_from(_entries(declared))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DefinitionsError(f"{path} cannot be read: {error}") from None
    except ValueError as error:
        raise DefinitionsError(f"{path}: {error}") from None


def _entries(declared: Any) -> list[Any]:
    if not isinstance(declared, dict):
        declared = {"features": declared}
    if unknown := sorted(set(map(str, declared)) - {"defaults", "features"}):
        raise ValueError(f"{', '.join(unknown)}: the file has `features` and maybe `defaults`, nothing else")
    features, defaults = declared.get("features"), declared.get("defaults") or {}
    if not isinstance(features, list) or not features or not isinstance(defaults, dict):
        raise ValueError("it declares no list of features")
    return [defaults | feature if isinstance(feature, dict) else feature for feature in features]
