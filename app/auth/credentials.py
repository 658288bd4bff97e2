"""Which credential a request bears, and whose it is: an API key, or a token of the OpenID provider."""

from dataclasses import dataclass
from typing import Final, Literal

from app.auth.keyring import KEY_PRINCIPAL_PREFIX, Keyring
from app.auth.tokens import TokenVerifier
from app.domain.access import ANONYMOUS, API_KEY_PREFIX, Principal
from app.domain.errors import NotAuthenticated

_DOTS_OF_A_TOKEN: Final = 2


@dataclass(slots=True)
class Credential:
    """Not frozen: each request makes one, and that would take ten times as long."""

    kind: Literal["key", "token", "malformed"]
    text: str


def read_credential(
    api_key: str | None, openfigi_key: str | None, authorization: str | None
) -> Credential | None:
    """What the headers X-API-Key, X-OPENFIGI-APIKEY and Authorization bear; None: nothing.

    The first that is there counts. Those of keys hold keys only; OpenFIGI's own examples send theirs empty
    if they have none. A bearer is a token if it has two dots and does not begin as our keys do.
    """
    if api_key is not None:
        return Credential("key", api_key.strip())
    if openfigi_key:
        return Credential("key", openfigi_key.strip())
    if authorization is None:
        return None
    scheme, _, text = authorization.partition(" ")
    text = text.strip()
    if scheme.lower() != "bearer" or not text:
        return Credential("malformed", "")
    is_token = text.count(".") == _DOTS_OF_A_TOKEN and not text.startswith(API_KEY_PREFIX)
    return Credential("token" if is_token else "key", text)


class Credentials:
    """`tokens` None: no OpenID provider is configured."""

    def __init__(self, keyring: Keyring, tokens: TokenVerifier | None) -> None:
        self._keyring = keyring
        self._tokens = tokens

    def principal_of_known_key(self, credential: Credential | None) -> Principal | None:
        """Whose key it is, if it is one that is known and valid."""
        if credential is None or credential.kind != "key":
            return None
        return self._keyring.known_principal(credential.text)

    async def known_principal(self, credential: Credential) -> Principal | None:
        """Whose it is, if it was found to be valid before: that costs next to nothing."""
        if credential.kind == "token" and self._tokens is not None:
            return await self._tokens.known_principal(credential.text)
        return self.principal_of_known_key(credential)

    def still_admits(self, principal: Principal) -> bool:
        """Whether a credential that was let in would be now, with no right less."""
        if principal.name.startswith(KEY_PRINCIPAL_PREFIX):
            return self._keyring.still_admits(principal)
        if principal.name == ANONYMOUS:  # who has none
            return True
        return self._tokens is not None and self._tokens.still_admits(principal)

    async def principal(self, credential: Credential) -> Principal:
        """Whose it is. Raises NotAuthenticated, or Unavailable if that cannot be found out now."""
        if credential.kind == "malformed":
            raise NotAuthenticated(
                "the Authorization header is malformed; write it as 'Authorization: Bearer KEY-or-TOKEN'",
                reason="malformed_header",
            )
        if credential.kind == "key":
            return await self._keyring.principal(credential.text)
        if self._tokens is None:
            raise NotAuthenticated(
                "JSON Web Tokens are not accepted here, for no OpenID provider is configured; use an API key",
                reason="tokens_not_accepted",
            )
        return await self._tokens.principal(credential.text)
