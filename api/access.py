"""Which tenant a request reads."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated

from fastapi import Header, Security
from fastapi.security import APIKeyHeader

from api.problems import Refused

DEFAULT_TENANT = "default"

AskedTenant = Annotated[
    str | None, Header(alias="X-Tenant", min_length=1, max_length=256, description="The tenant to read.")
]
ApiKey = Annotated[str | None, Security(APIKeyHeader(name="X-API-Key", auto_error=False))]


def tenant_of(api_keys: Mapping[str, str]) -> Callable[..., Awaitable[str]]:
    """Return the dependency that finds a request's tenant: the one asked for, or with API keys the key's.

    It refuses an unknown key (401) and a key of another tenant (403).
    """
    # Looked up by digest, so that how long a refusal takes says nothing about the keys.
    tenants = {_digest(key): tenant for key, tenant in api_keys.items()}

    async def open_tenant(asked: AskedTenant = None) -> str:
        return asked or DEFAULT_TENANT

    async def key_tenant(api_key: ApiKey = None, asked: AskedTenant = None) -> str:
        allowed = tenants.get(_digest(api_key or ""))
        if allowed is None:
            raise Refused(401, "Send a valid key in X-API-Key.", {"WWW-Authenticate": "ApiKey"})
        if asked not in (None, allowed):
            raise Refused(403, f"This API key reads tenant {allowed!r}: name that one in X-Tenant, or none.")
        return allowed

    return key_tenant if tenants else open_tenant


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
