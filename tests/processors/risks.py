"""Risky payments and what they turned out to be, as messages with defaults, and what is ranked after them."""

from typing import Any

from processors.base import Tables
from processors.offer_risk import Suspicions, suspect
from processors.offers import OfferRanker
from schemas.offer_results import CustomerRisk, Ranking
from schemas.offer_topics import RANKINGS
from schemas.records import AnyRecord, Record
from schemas.results import Label
from schemas.topics import CUSTOMER_LABELS, CUSTOMER_RISKS
from streams.task import Task
from tests.builders import NOON, verified
from tests.processors.offer_world import CATALOGUE, record, tables


def risk(at: int = NOON, probability: float = 0.1, event_id: str = "tx-1", **changed: Any) -> CustomerRisk:
    return CustomerRisk(event_id=event_id, event_time=at, user="ann", probability=probability, **changed)


def label(at: int = NOON, event_id: str = "tx-1", **changed: Any) -> Label:
    fields: dict[str, Any] = {"event_time": NOON, "user": "ann", "terminal": "t", "fraud": False, "known_at": at}
    return Label(event_id=event_id, **fields | changed)


def recorded(message: Any) -> AnyRecord:
    match message:
        case CustomerRisk():
            return Record(CUSTOMER_RISKS, message, f"{message.event_id}>fraud.1")
        case Label():
            return Record(CUSTOMER_LABELS, message, f"{message.event_id}>outcomes.1")
    return record(message)


def said(*messages: Any, known: Tables | None = None, **settings: Any) -> list[Ranking]:
    task = Task(OfferRanker(verified, policy="greedy", **settings), {}, known or tables(*CATALOGUE))
    return [each.message for message in messages for each in task.step(recorded(message)) if each.topic is RANKINGS]


def suspicions(*told: CustomerRisk | Label) -> Suspicions:
    found: Suspicions = []
    for each in told:
        suspect(found, each)
    return found
