"""How a stored result becomes an answer: in an envelope that says how fresh it is, and not sent twice."""

import hashlib
from math import inf
from typing import Literal

import msgspec
from fastapi import Request, Response

from api.answers import Envelope, Source, head, spliced
from api.bounds import marked
from api.freshness import Freshness
from api.problems import Refused
from api.settings import ApiSettings


class Answers:
    """Makes the answers of every route that reads results. Raises SinkBusy while results are away."""

    def __init__(self, freshness: Freshness, settings: ApiSettings) -> None:
        self._freshness = freshness
        self._names = {known: msgspec.json.encode(names) for known, names in settings.feature_names.items()}

    async def about(self, request: Request, part: str, stored: bytes | None, unknown: str) -> Response:
        """Answer with a stored result as `part`, and the names of its features. Raises Refused (404) for None."""
        if stored is None:
            raise Refused(404, unknown + await self._waiting(part))
        known = head(stored)
        envelope = await self.envelope(part, known.event_time, known.source, (known.model, known.version))
        names = self._names.get(known.features or "customer", b"null")
        return conditional(request, envelope, {"feature_names": names, part: stored})

    async def ranking(
        self, request: Request, stored: bytes | None, unknown: str, old_after_ms: float = inf
    ) -> Response:
        """Answer with a ranking; it is degraded once it is so old. Raises Refused (404) for None."""
        if stored is None:
            raise Refused(404, unknown + await self._waiting("ranking"))
        known = head(stored)
        envelope = await self.envelope("ranking", known.event_time, known.source, (known.model, known.version))
        degraded = known.degraded or envelope.ages.event_ms > old_after_ms
        names = self._names.get(known.features or "", b"null")
        parts = {"feature_names": names, "degraded": msgspec.json.encode(degraded), "ranking": stored}
        return conditional(request, envelope, parts)

    async def versions(
        self, request: Request, part: Literal["models", "rankers"], found: dict[str, bytes], none: str
    ) -> Response:
        """Answer with versions by model as `part`. Raises Refused (404) where there are none."""
        if not found:
            raise Refused(404, none)
        as_of = max(head(version).event_time for version in found.values())
        return conditional(request, await self.envelope(part, as_of, part), {part: joined(found)})

    async def envelope(
        self, part: str, as_of: int, source: Source, made_by: tuple[str | None, int | None] = (None, None)
    ) -> Envelope:
        """Return the envelope of a part about an event of that time, whose scores that model and version made."""
        ages, lag = await self._freshness.ages(as_of, part), await self._freshness.lag(part)
        stale, (model, version) = self._freshness.is_stale(ages, lag), made_by
        return Envelope(as_of=as_of, ages=ages, stale=stale, source=source, model=model, version=version, lag=lag)

    async def _waiting(self, part: str) -> str:
        """Return what to add where a result is not there: it may be among what waits."""
        lag = await self._freshness.lag(part)
        if lag is None or not lag.records:
            return ""
        return f" {lag.records} records wait for the pipeline, the oldest for {lag.ms} ms."


def conditional(request: Request, envelope: Envelope, parts: dict[str, bytes]) -> Response:
    """Return 304 when the client has the same results, equally stale; their ages alone are no news.

    Raises Refused (409) where they are older than the client takes.
    """
    envelope = marked(request, envelope)
    digest = hashlib.blake2b(b"%d" % envelope.stale, digest_size=12)
    for value in parts.values():
        digest.update(value)
    tag = f'W/"{digest.hexdigest()}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    held = {each.strip() for each in request.headers.get("If-None-Match", "").split(",")}
    if tag in held or "*" in held:
        return Response(status_code=304, headers=headers)
    return Response(spliced(envelope, **parts), headers=headers, media_type="application/json")


def joined(members: dict[str, bytes]) -> bytes:
    """Return a JSON object of members that are JSON already.

    >>> joined({"a": b"1", "b": b"[2]"})
    b'{"a":1,"b":[2]}'
    """
    return b"{%s}" % b",".join(b"%s:%s" % (msgspec.json.encode(name), value) for name, value in members.items())
