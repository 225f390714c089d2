"""What comes of what a customer was shown: impressions, views and redemptions, and those that are taken back."""

from math import nan

from processors.offer_context import OfferContext
from processors.offer_history import Charge
from processors.offer_tallies import SHOWN, Shown, remember_merchant, tallies_of
from processors.offer_terms import Terms
from schemas.events import Click


def show(context: OfferContext, decision: str, terms: Terms, time: int) -> None:
    """Take in an impression."""
    shown = Shown.of(decision, terms, time)
    context.shown = [*context.shown[-SHOWN + 1 :], shown]
    context.history.show(terms, time)
    for tally in tallies_of(shown, context.whole, context.tallies):
        tally.impressions += 1
    if shown.merchant:
        remember_merchant(context.tallies, shown.merchant)


def answer(context: OfferContext, click: Click) -> Shown | None:
    """Take in a click, and return the impression that a view or a redemption is about: the latest that it may be.

    What was taken in before changes nothing.
    """
    if click.kind not in ("view", "redemption"):
        context.sessions.browse(click)
        return None
    if not context.history.is_new(click):
        return None
    time = click.time_ms()
    about = [shown for shown in reversed(context.shown) if shown.may_be_meant_by(click)]
    if click.kind == "view":
        context.viewed_at = float(time)
        context.sessions.add(time)
        return _seen(context, about)
    context.redeemed_at = float(time)
    return _redeemed(context, about, time)


def take_back(context: OfferContext, reversal: Click) -> list[Charge]:
    """Let what a reversal is about be as if it had not been redeemed, and return it: each redemption only once.

    An impression counts as redeemed for as long as one of its redemptions stands.
    """
    taken = context.history.take_back(reversal)
    left = context.history.charges
    undone = {(each.decision, each.offer) for each in taken} - {(each.decision, each.offer) for each in left}
    for shown in context.shown:
        if shown.redeemed and (shown.decision, shown.offer) in undone:
            _undo(context, shown)
    if context.redeemed_at in {each.at for each in taken} and (left or not context.whole.redeemed):
        context.redeemed_at = max((float(each.at) for each in left), default=nan)
    return taken


def _seen(context: OfferContext, about: list[Shown]) -> Shown | None:
    shown = next((shown for shown in about if not shown.seen), None)
    if shown is not None:
        shown.seen = True
        for tally in tallies_of(shown, context.whole, context.tallies):
            tally.views += 1
    return shown


def _redeemed(context: OfferContext, about: list[Shown], time: int) -> Shown | None:
    """Count what is redeemed again for the limits, but not as another success of the same impression."""
    if not about:
        return None
    shown = next((shown for shown in about if not shown.redeemed), None)
    if shown is not None:
        shown.redeemed, shown.blind = True, not shown.seen
        for tally in tallies_of(shown, context.whole, context.tallies):
            tally.redeem(shown.blind, 1)
    redeemed = shown or about[0]
    context.history.redeem(redeemed.offer, time)
    return redeemed


def _undo(context: OfferContext, shown: Shown) -> None:
    for tally in tallies_of(shown, context.whole, context.tallies):
        # What is unseen was redeemed so, whether or not its state is from before that was kept.
        tally.redeem(shown.blind or not shown.seen, -1)
    shown.redeemed = shown.blind = False
