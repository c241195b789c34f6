"""Who may ask: whoever has the token, or, without one, whoever asks this machine by its own name."""

from __future__ import annotations

import hmac
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from graftwork.serving.refusal import Refusal

_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
_BEARER = HTTPBearer(auto_error=False, description="The --token of the service, where it has one")


class Access:
    """A dependency of protected addresses, which raises Refusal.

    Parameters
    ----------
    only_here
        Whether the service listens to this machine alone. Then it answers, without a token, to this machine's own names
        alone: a page from elsewhere can point a name of its own here, let a browser ask by it, and read the answer.
    """

    def __init__(self, token: str | None, *, only_here: bool) -> None:
        self._token, self._only_here = token, only_here

    async def __call__(
        self, request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]
    ) -> None:
        """Raise Refusal where this request may not be answered; a coroutine, so that it costs no thread."""
        if self._token is not None:
            if given is None or not hmac.compare_digest(given.credentials.encode("latin-1"), self._token.encode()):
                raise Refusal(401, "the service needs its token, as `Authorization: Bearer TOKEN`; ask who runs it")
        elif self._only_here:
            name = request.headers.get("host", "").lower()
            if not {name, name.rpartition(":")[0]} & set(_LOOPBACK_NAMES):
                raise Refusal(
                    421,
                    f"the service listens to this machine alone and answers to {', '.join(_LOOPBACK_NAMES)}, but was "
                    f"asked as {name}; serve with a --token for other names",
                )
