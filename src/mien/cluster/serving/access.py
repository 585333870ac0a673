"""Who may ask: everyone on loopback, else the holders of the token, by header or by a browser's cookie."""

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address

from mien.config import MienError

TOKEN = "MIEN_SERVE_TOKEN"
TOKEN_LENGTH = 16  # characters at least
COOKIE = "mien"


def is_loopback(host: str) -> bool:
    """Does only this machine reach it?"""
    name = host.strip("[]")
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def check_token(host: str, token: str | None) -> None:
    """MienError: others reach the host and there is no token, or it is short enough to be guessed."""
    if token is None and not is_loopback(host):
        raise MienError(
            f"{host} is reached by others: put a token of {TOKEN_LENGTH} characters or more into {TOKEN}, "
            "or listen on 127.0.0.1."
        )
    if token is not None and len(token) < TOKEN_LENGTH:
        raise MienError(f"{TOKEN} is shorter than {TOKEN_LENGTH} characters; take a longer one.")


class Door:
    """Knows the token, and the cookies given for it; these end with the process."""

    def __init__(self, token: str | None, hours: float, clock: Callable[[], float] = time.time) -> None:
        self._token = token.encode() if token is not None else None
        self._key = secrets.token_bytes(32)
        self._seconds, self._clock = round(hours * 3600), clock

    @property
    def open(self) -> bool:
        """Is no token asked for?"""
        return self._token is None

    def is_token(self, given: str) -> bool:
        """Compared in a time that does not depend on what was given."""
        return self._token is not None and hmac.compare_digest(given.encode(), self._token)

    def lets_in(self, authorization: str, cookies: str) -> bool:
        """By a request's headers `Authorization: Bearer TOKEN` or `Cookie`."""
        if self._token is None:
            return True
        kind, _, given = authorization.partition(" ")
        if kind.lower() == "bearer" and self.is_token(given.strip()):
            return True
        try:
            cookie = SimpleCookie(cookies).get(COOKIE)
        except CookieError:
            return False
        end, _, seal = (cookie.value if cookie else "").partition("-")
        fresh = end.isascii() and end.isdigit() and len(end) < 16 and int(end) > self._clock()
        return hmac.compare_digest(seal.encode(), self._seal(end).encode()) and fresh

    def cookie(self, secure: bool) -> str:
        """A `Set-Cookie` that no script reads and no other site sends."""
        end = str(round(self._clock()) + self._seconds)
        told = f"{COOKIE}={end}-{self._seal(end)}; Max-Age={self._seconds}; Path=/; HttpOnly; SameSite=Strict"
        return told + ("; Secure" if secure else "")

    def _seal(self, end: str) -> str:
        return hmac.new(self._key, end.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()
