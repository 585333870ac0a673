"""What every request passes before the application sees it: whose it is, how many, and where from.

Plain ASGI around the application, so that its own errors leave with the same headers.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.responses import JSONResponse

from mien.cluster.serving.access import Door, is_loopback
from mien.cluster.serving.limits import Buckets, Refused, client_of

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; media-src 'self' blob:; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",  # with `no-referrer` the login's form would come with Origin: null
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
    "cache-control": "no-store",
}
WITHOUT_TOKEN = ("/health", "/login", "/page.css")
PAGE = "/"
_WHOLE = "mien.whole"  # in a scope: has all of the body been taken in?
DRAINED_BYTES, DRAINED_S = 32 << 20, 5.0
"""How much of a refused upload is still taken, so that its sender reads the answer and no broken pipe."""


class Refusal(JSONResponse):
    """The answer to what is refused: `error` says why in a sentence, `Retry-After` when to try again."""

    def __init__(self, refused: Refused) -> None:
        headers = {"connection": "close"}
        if refused.retry_s is not None:
            headers["retry-after"] = str(max(1, math.ceil(refused.retry_s)))
        if refused.status == 401:
            headers["www-authenticate"] = "Bearer"
        super().__init__({"error": refused.why}, refused.status, headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take in what is left of the upload, then answer."""
        if not scope.get(_WHOLE, False):
            await _drain(_first_of_each(scope), receive)
        await super().__call__(scope, receive, send)


class Gate:
    """Refuses strangers, floods and pages of other sites; puts the security headers on every answer."""

    def __init__(
        self, application: Application, door: Door, buckets: Buckets, tell: Callable[[str, int], None]
    ) -> None:
        self._application, self._door, self._buckets, self._tell = application, door, buckets, tell

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; `tell` hears its path and status."""
        if scope["type"] != "http":
            return
        headers = _first_of_each(scope)

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._tell(scope["path"], message["status"])
                message = {**message, "headers": [*message["headers"], *_security(scope)]}
            await send(message)

        async def receiving() -> Message:
            message = await receive()
            scope[_WHOLE] = not message.get("more_body", False)
            return message

        try:
            self._refuse(scope, headers)
        except Refused as refused:
            await Refusal(refused)(scope, receiving, sending)
            return
        await self._application(scope, receiving, sending)

    def _refuse(self, scope: Scope, headers: dict[str, str]) -> None:
        path, reads = scope["path"], scope["method"] in ("GET", "HEAD")
        host, origin = headers.get("host", ""), headers.get("origin")
        if self._door.open and not is_loopback(_name(host)):
            # a page elsewhere whose name was pointed at 127.0.0.1 must not ask in its visitor's name
            raise Refused(403, "not a name of this machine's loopback")
        if not reads and origin is not None and origin.partition("://")[2] != host:
            raise Refused(403, "asked for by a page of another site")
        if path == "/health":
            return
        if not reads or "authorization" in headers:
            self._buckets.take(client_of((scope.get("client") or ("unknown",))[0]))
        known = self._door.lets_in(headers.get("authorization", ""), headers.get("cookie", ""))
        if not known and path not in WITHOUT_TOKEN and not (path == PAGE and reads):
            raise Refused(401, "a token is asked for: Authorization: Bearer TOKEN")
        scope["mien.known"] = known


async def _drain(headers: dict[str, str], receive: Receive) -> None:
    """Take in and forget the rest of an upload, unless it is huge, slow, or waits to be asked for."""
    length = headers.get("content-length", "0")
    if "expect" in headers or not length.isdigit() or int(length) > DRAINED_BYTES:
        return
    left = DRAINED_BYTES

    async def rest() -> None:
        nonlocal left
        while left > 0:
            message = await receive()
            left -= len(message.get("body", b""))
            if message["type"] == "http.disconnect" or not message.get("more_body", False):
                return

    if int(length) > 0 or "transfer-encoding" in headers:
        try:
            await asyncio.wait_for(rest(), DRAINED_S)
        except TimeoutError:
            return


def _security(scope: Scope) -> list[tuple[bytes, bytes]]:
    told = {**HEADERS}
    if scope.get("scheme") == "https":
        told["strict-transport-security"] = "max-age=31536000"
    return [(name.encode(), value.encode()) for name, value in told.items()]


def _first_of_each(scope: Scope) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))
    return headers


def _name(host: str) -> str:
    """The name in a Host header, without its port."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]
