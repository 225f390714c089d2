"""The names of features in ClickHouse, so that its views can tell more than their places in a vector."""

from collections.abc import Mapping, Sequence

from sinks.analytics import Client, busy_when_away


def keep_feature_names(client: Client, sets: Mapping[str, Sequence[str]]) -> None:
    """Tell ClickHouse, which has its schema, the features of each set in their order. Raises SinkBusy."""
    with busy_when_away():
        client.insert("feature_sets", [[features, list(names)] for features, names in sets.items()])
