"""CloudEvents headers: written for what leaves, read for what arrives, and plain JSON needs none."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.cloudevents import Envelope, Headers, headers_of, read
from schemas.errors import BadMessage

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SENT: Headers = [("ce_specversion", b"1.0"), ("ce_id", b"7"), ("ce_source", b"/shop"), ("ce_type", b"paid")]


def test_what_is_written_is_read() -> None:
    envelope = read(headers_of("tx-1", "transactions", "/files/day.csv", 1_500, tenant="bank"))
    assert envelope == Envelope(
        id="tx-1",
        source="/files/day.csv",
        type="headrace.transactions",
        time="1970-01-01T00:00:01.500Z",
        tenant="bank",
    )


@given(st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC)))
def test_any_time_is_written_as_rfc_3339_to_the_millisecond(time: datetime) -> None:
    millisecond = (time - EPOCH) // timedelta(milliseconds=1)
    written = dict(headers_of("tx-1", "transactions", "/files", millisecond))["ce_time"].decode()
    assert written == (EPOCH + timedelta(milliseconds=millisecond)).isoformat(timespec="milliseconds")[:-6] + "Z"


def test_the_default_tenant_is_not_written() -> None:
    assert read(headers_of("tx-1", "transactions", "/files", 0)).tenant is None


@pytest.mark.parametrize("headers", [None, [], [("x-request", b"1")]])
def test_plain_json_needs_no_headers(headers: Headers | None) -> None:
    assert read(headers) == Envelope()
    assert read(headers).record_id("tx-1") == "tx-1"


def test_source_and_id_name_a_record() -> None:
    assert read(SENT).record_id("tx-1") == "/shop#7"


def test_a_record_has_the_same_id_from_a_file_and_from_the_topic_it_was_published_to() -> None:
    assert read(headers_of("tx-1", "transactions", "/files", 0)).record_id("tx-1") == "tx-1"


def test_the_trace_and_other_attributes_are_kept() -> None:
    envelope = read([*SENT, ("ce_traceparent", b"00-a-b-01"), ("ce_shard", b"4"), ("empty", None)])
    assert envelope.traceparent == "00-a-b-01"
    assert envelope.extensions == {"shard": "4"}


def test_names_are_read_in_any_case() -> None:
    assert read([(name.upper(), value) for name, value in SENT]) == read(SENT)


@pytest.mark.parametrize("content", [b"application/cloudevents+json", b"Application/CloudEvents+json; charset=UTF-8"])
def test_structured_mode_is_refused_with_the_way_out(content: bytes) -> None:
    with pytest.raises(BadMessage, match=r"structured_mode: .* binary mode"):
        read([("content-type", content)])


def test_another_version_is_refused() -> None:
    with pytest.raises(BadMessage, match=r"CloudEvents 0\.3 is not read"):
        read([("ce_specversion", b"0.3"), *SENT[1:]])


def test_a_missing_attribute_is_named() -> None:
    with pytest.raises(BadMessage, match="needs ce_source"):
        read([header for header in SENT if header[0] != "ce_source"])


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["ce_id", "ce_specversion", "content-type", "x"]), st.binary() | st.none())))
def test_no_headers_do_more_harm_than_a_bad_message(headers: list[tuple[str, bytes | None]]) -> None:
    try:
        envelope = read(headers)
    except BadMessage as bad:
        assert bad.reason in {"structured_mode", "invalid_header"}  # noqa: PT017
    else:
        assert isinstance(envelope, Envelope)
