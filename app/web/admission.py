"""Lets a caller in: who it is, whether its limit is used up, whether it may do this.

Whoever is recognised from memory is counted by its own name. Everybody else is counted by address before
the credential is looked up, for that is what costs something: a signature, a place among those who wait for
Postgres or the provider. So guessing has a limit, and those who are known never share it.
"""

from ipaddress import IPv6Address
from typing import Final

from aiohttp import hdrs, web

from app import metrics
from app.auth.credentials import Credential, read_credential
from app.domain.access import Principal
from app.domain.errors import NotAllowed, NotAuthenticated, RateLimited
from app.web.headers import API_KEY_HEADER, OPENFIGI_KEY_HEADER
from app.web.services import PRINCIPAL, QUOTA, SERVICES, Services

_NETWORK_BYTES: Final = 8


def admit_at_once(request: web.Request, services: Services, scope: str | None) -> bool:
    """As `admit` lets a caller in, if neither Postgres nor Redis nor a provider has to be asked; False: it
    is not let in so, and nothing was counted.

    Nearly all requests pass here; coroutines for them would cost more than what they do.
    """
    principal = services.credentials.principal_of_known_key(_credential_of(request))
    if principal is None or (scope is not None and scope not in principal.scopes):
        return False
    try:
        quota = services.rate_limits.admit_at_once(principal.name, principal.requests_per_minute)
    except RateLimited:
        return False
    if quota is None:
        return False
    request[PRINCIPAL], request[QUOTA] = principal, quota
    return True


async def admit(request: web.Request, services: Services, scope: str | None) -> None:
    """Set who calls and what is left of its limit. `scope` None: whoever it is may do this.

    Raises NotAuthenticated, NotAllowed, RateLimited, and Unavailable if it cannot be found out who calls.
    """
    try:
        request[PRINCIPAL] = await _principal(request, services)
        if scope is not None:
            check_scope(request, scope)
    except NotAuthenticated as error:
        metrics.AUTH_FAILURES.labels(error.reason).inc()
        raise
    except NotAllowed:
        metrics.AUTH_FAILURES.labels("scope").inc()
        raise


async def _principal(request: web.Request, services: Services) -> Principal:
    credential = _credential_of(request)
    principal = None if credential is None else await services.credentials.known_principal(credential)
    if principal is None:
        address = f"address:{network_of(request.remote)}"
        await _count(request, services, address, services.anonymous.requests_per_minute)
        if credential is None:
            return services.anonymous
        principal = await services.credentials.principal(credential)
    await _count(request, services, principal.name, principal.requests_per_minute)
    return principal


def _credential_of(request: web.Request) -> Credential | None:
    headers = request.headers
    return read_credential(
        headers.get(API_KEY_HEADER), headers.get(OPENFIGI_KEY_HEADER), headers.get(hdrs.AUTHORIZATION)
    )


async def _count(request: web.Request, services: Services, identity: str, per_minute: int | None) -> None:
    limits = services.rate_limits
    try:
        quota = limits.admit_at_once(identity, per_minute)
        request[QUOTA] = quota if quota is not None else await limits.admit(identity, per_minute)
    except RateLimited as error:
        request[QUOTA] = error.quota
        metrics.RATE_LIMITED.labels(identity.partition(":")[0]).inc()
        raise


def check_scope(request: web.Request, scope: str) -> None:
    """Whether an admitted caller has this scope. Raises NotAuthenticated or NotAllowed."""
    principal = request[PRINCIPAL]
    if scope in principal.scopes:
        return
    if principal is request.app[SERVICES].anonymous:
        raise NotAuthenticated(
            f"this needs an API key or a token with the scope {scope}; send it as "
            f"'Authorization: Bearer KEY-or-TOKEN', or a key as '{API_KEY_HEADER}: KEY'",
            reason="missing",
        )
    raise NotAllowed(scope)


def network_of(address: str | None) -> str:
    """What is limited together: an IPv4 address, or the /64 of an IPv6 one: a host may have all of it."""
    if address is None:  # a Unix socket
        return "local"
    if ":" not in address:
        return address
    host = IPv6Address(address)
    if host.ipv4_mapped is not None:
        return str(host.ipv4_mapped)
    return f"{IPv6Address(host.packed[:_NETWORK_BYTES] + bytes(_NETWORK_BYTES))}/64"
