"""What a person sees of the demo: live progress, then the summary and what to try."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from streams.offer_tally import OfferTally
from streams.recommendation_tally import RecommendationTally
from streams.tally import Tally

STYLES = {"decline": "bold red", "review": "yellow"}


def progress(tally: Tally, expected: int | None) -> RenderableType:
    """Return how far a run is, its newest alerts, rankings and recommendations, and how good its models have been."""
    parts: list[RenderableType] = [_counts(tally)]
    if expected:
        # A bar alone does not end its line: the header of the table below it would be on it, and be cut off.
        bar = Table.grid(expand=True)
        bar.add_row(ProgressBar(total=expected, completed=tally.events))
        parts.append(bar)
    parts += [_alerts(tally), _model(tally)]
    if tally.offers.newest:
        parts += [_rankings(tally.offers), _ranker(tally.offers)]
    if tally.recommendations.newest:
        parts.append(_recommendations(tally.recommendations))
    return Panel(Group(*parts), title="headrace demo", border_style="cyan")


def summary(result: Mapping[str, Any]) -> RenderableType:
    """Return the run's figures as a table."""
    table = Table("measure", "value", title="What came of it", box=None, title_justify="left")
    for name, value in result.items():
        figures = {f"{name}: {each}": of for each, of in value.items()} if isinstance(value, Mapping) else {name: value}
        for each, figure in figures.items():
            table.add_row(each.replace("_", " "), _figure(figure))
    return table


def to_try(api: str, sample: Mapping[str, str]) -> RenderableType:
    """Return what to ask the API and ClickHouse about the run, with ids that are in it."""
    table = Table.grid(padding=(0, 2))
    table.add_row("read a score", f"curl {api}/scores/{sample['event_id']}")
    table.add_row("a customer", f"curl {api}/users/{sample['user']}/risk")
    if "ranking" in sample:
        table.add_row("their offers", f"curl {api}/users/{sample['ranking']}/offers")
    if "recommended" in sample:
        table.add_row("their items", f"curl {api}/users/{sample['recommended']}/recommendations")
    table.add_row("all routes", f"{api}/docs")
    table.add_row("explain it", f"headrace explain {sample['event_id']}")
    table.add_row("in SQL", 'headrace sql "SELECT decision, count() FROM v_scores GROUP BY 1"')
    return Group(Rule("the API runs until Ctrl-C; try", style="green"), table)


def moment(milliseconds: int) -> str:
    """Return an event time as people read it.

    >>> moment(1_530_446_400_000)
    '2018-07-01 12:00:00'
    """
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _counts(tally: Tally) -> Text:
    at = moment(tally.score.event_time) if tally.score else "–"
    counted = f"{tally.events:,} events   {tally.rate:,.0f}/s   {tally.alerts:,} alerts   event time {at} UTC"
    return Text(counted, style="bold")


def _alerts(tally: Tally) -> Table:
    table = Table("event time", "event", "customer", "amount", "risk", "decision", "why", box=None, expand=True)
    for alert in tally.newest:
        style = STYLES.get(alert.decision, "")
        why = alert.reasons[0].text if alert.reasons else "–"
        amount = f"{alert.amount:,.2f} {alert.currency}"
        found = (moment(alert.event_time), alert.event_id, alert.user, amount, str(alert.risk), alert.decision, why)
        table.add_row(*map(escape, found), style=style)
    return table


def _model(tally: Tally) -> Text:
    version = tally.version
    if version is None:
        return Text(f"no model yet: rules score while {tally.matured:,} outcomes have matured", style="dim")
    metrics = version.metrics
    measured = "   ".join(
        f"{words} {metrics[name]:.3f}"
        for name, words in (("roc_auc", "AUC"), ("average_precision", "average precision"))
        if name in metrics
    )
    learned = f"model {version.model}@{version.version} has learned {version.examples:,} outcomes"
    return Text(f"{learned}, {version.frauds:,} of them fraud   {measured}", style="green")


def _rankings(offers: OfferTally) -> Table:
    table = Table("event time", "customer", "first offer", "chance", "of", "why", box=None, expand=True)
    for ranking in offers.newest:
        first = ranking.slots[0]
        why = first.reasons[0].text if first.reasons else "–"
        found = (moment(ranking.event_time), ranking.user, first.offer, f"{first.score:.0%}")
        table.add_row(*map(escape, (*found, str(len(ranking.candidates)), why)))
    return table


def _ranker(offers: OfferTally) -> Text:
    rate = offers.reward_rate
    redeemed = "" if rate is None else f"   {rate:.1%} of what was shown was redeemed"
    if offers.version is None:
        return Text(f"no ranker yet, after {offers.rankings:,} rankings{redeemed}", style="dim")
    version = offers.version
    learned = f"ranker {version.model}@{version.version} has learned what became of {version.examples:,} offers"
    return Text(f"{learned}{redeemed}", style="green")


def _recommendations(recommendations: RecommendationTally) -> Table:
    table = Table("event time", "customer", "first item", "score", "why", box=None, expand=True)
    for told in recommendations.newest:
        first = told.items[0]
        found = (moment(told.event_time), told.user, first.item, f"{first.score:.2f}", first.reason)
        table.add_row(*map(escape, found))
    return table


def _figure(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.4f}" if isinstance(value, float) and value < 1 else f"{value:,.0f}"
