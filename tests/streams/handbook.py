"""The Fraud Detection Handbook's features computed its own way: pandas, group by group, rolling over time."""

import numpy as np
import pandas as pd

DAYS = (1, 7, 30)
DELAY = 7


def handbook_features(transactions: pd.DataFrame) -> pd.DataFrame:
    """Return the 14 features of each transaction, in the order and with the ids of the table given."""
    numbered = transactions.reset_index(drop=True).assign(row=range(len(transactions)))
    table = (
        pd.concat([_per_group(numbered, "CUSTOMER_ID", _spending), _per_group(numbered, "TERMINAL_ID", _risk)], axis=1)
        .sort_index()
        .rename_axis(None)
    )
    moments = numbered["TX_DATETIME"].dt
    table.insert(0, "TX_DURING_WEEKEND", (moments.day_of_week >= 5).astype(int))
    table.insert(1, "TX_DURING_NIGHT", (moments.hour <= 6).astype(int))
    table.insert(0, "TRANSACTION_ID", numbered["TRANSACTION_ID"])
    return table


def _per_group(numbered, key, features):
    groups = (group.sort_values(["TX_DATETIME", "row"]) for _, group in numbered.groupby(key))
    return pd.concat([pd.DataFrame(features(group.set_index("TX_DATETIME")), index=group["row"]) for group in groups])


def _spending(group):
    amounts = group["TX_AMOUNT"]
    found = {}
    for days in DAYS:
        window = amounts.rolling(pd.Timedelta(days=days))
        count = window.count().to_numpy()
        found[f"CUSTOMER_ID_NB_TX_{days}DAY_WINDOW"] = count
        found[f"CUSTOMER_ID_AVG_AMOUNT_{days}DAY_WINDOW"] = window.sum().to_numpy() / count
    return found


def _risk(group):
    frauds = group["TX_FRAUD"].astype(float)
    unknown = frauds.rolling(pd.Timedelta(days=DELAY))
    found = {}
    for days in DAYS:
        window = frauds.rolling(pd.Timedelta(days=DELAY + days))
        count = (window.count() - unknown.count()).to_numpy()
        known = (window.sum() - unknown.sum()).to_numpy()
        found[f"TERMINAL_ID_NB_TX_{days}DAY_WINDOW"] = count
        found[f"TERMINAL_ID_RISK_{days}DAY_WINDOW"] = np.where(count > 0, known / np.maximum(count, 1), 0.0)
    return found
