"""What a batch said keeps its bytes, and every record tells where it was said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.records import Record
from schemas.topics import ALERTS, MODELS, SCORES, TERMINAL_LABELS
from streams.outbox import HEADER, Origin, Outbound, origin, origin_header, outbound, pack, unpack
from tests.builders import NOON, label, record, score

outbounds = st.builds(
    Outbound,
    topic=st.sampled_from([SCORES.name, ALERTS.name, MODELS.name]),
    key=st.text(),
    value=st.binary(),
    id=st.text(),
    watermark=st.integers(-1, 2**53),
    time=st.integers(0, 2**53),
    internal=st.booleans(),
)


@given(st.lists(outbounds))
def test_what_is_packed_is_unpacked_byte_for_byte(said: list[Outbound]) -> None:
    assert unpack(pack(said)) == said
    assert pack(unpack(pack(said))) == pack(said)


def test_an_outbox_without_bytes_holds_nothing() -> None:
    assert unpack(b"") == []


def test_a_record_goes_out_under_its_key_with_its_tasks_watermark() -> None:
    said = Record(SCORES, score("a", tenant="acme"), "a>features.0>fraud.0", watermark=99)
    assert outbound(said, b"{}") == Outbound("scores", "acme/a", b"{}", said.id, 99, NOON, internal=False)


def test_a_record_without_a_watermark_promises_nothing() -> None:
    assert outbound(record(label(), TERMINAL_LABELS), b"").watermark == -1


@given(st.text(), st.integers(1, 2**40), st.integers(0, 10_000), outbounds)
def test_a_header_tells_where_a_record_was_said(task: str, sequence: int, n: int, said: Outbound) -> None:
    header = origin_header(task, sequence, n, said)
    expected = Origin(task, sequence, n, said.watermark, said.id)
    assert origin([("ce_id", b"x"), header]) == expected


@pytest.mark.parametrize("headers", [[], [("ce_id", b"1")], [("Headrace", b'["a/0",1,0,0,"x"]')]])
def test_a_record_of_others_has_no_origin(headers: list[tuple[str, bytes]]) -> None:
    assert origin(headers) is None


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b'["fraud/0",1,2,3]',
        b'["fraud/0","one",2,3,"id"]',
        b'["fraud/0",1,2,3.5,"id"]',
        b'["\xff",1,2,3,"id"]',
        b'["f/0",1,2,' + b"9" * 20 + b',"x"]',
    ],
)
def test_a_header_that_is_not_ours_is_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match=HEADER):
        origin([(HEADER, value)])
