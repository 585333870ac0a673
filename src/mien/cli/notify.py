"""A notice to people: MIEN_NOTIFY_URL is a webhook (https://...) or a mail server (smtp://...).

`smtp://NAME:PASSWORD@HOST:PORT/?from=A&to=B` speaks STARTTLS where the server offers it, `smtps://` TLS from
the start. The address may hold a password, so it stands in the environment and in no file or message.
"""

import json
import os
import smtplib
import urllib.error
import urllib.request
from collections.abc import Mapping
from email.message import EmailMessage
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from mien.config import MienError

VARIABLE = "MIEN_NOTIFY_URL"
TIMEOUT_S = 20


def notify(subject: str, text: str, facts: Mapping[str, Any]) -> bool:
    """Send a notice; False where nobody asked for one. MienError: it did not arrive.

    A webhook gets JSON: `text` (as chat services read it), `subject` and `facts`.
    """
    url = os.environ.get(VARIABLE, "")
    if not url:
        return False
    parts = urlsplit(url)
    try:
        if parts.scheme in ("http", "https"):
            _post(url, {"text": f"{subject}\n{text}", "subject": subject, "facts": dict(facts)})
        elif parts.scheme in ("smtp", "smtps"):
            _mail(url, subject, text)
        else:
            raise MienError(f"{VARIABLE} begins with {parts.scheme!r}; give https://, smtp:// or smtps://.")
    except (OSError, urllib.error.URLError, smtplib.SMTPException) as error:
        reason = type(error).__name__ if parts.password else error
        raise MienError(f"the notice did not reach {parts.hostname} ({reason}); see {VARIABLE}.") from error
    return True


def _post(url: str, body: Mapping[str, Any]) -> None:
    data = json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method="POST")
    with urllib.request.urlopen(request, timeout=TIMEOUT_S):
        pass


def _mail(url: str, subject: str, text: str) -> None:
    parts = urlsplit(url)
    asked = parse_qs(parts.query)
    if not asked.get("from") or not asked.get("to"):
        raise MienError(f"{VARIABLE} names a mail server without ?from=...&to=...; add both.")
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = subject, asked["from"][0], ", ".join(asked["to"])
    message.set_content(text)
    host = parts.hostname or "localhost"
    server: smtplib.SMTP
    if parts.scheme == "smtps":
        server = smtplib.SMTP_SSL(host, parts.port or 465, timeout=TIMEOUT_S)
    else:
        server = smtplib.SMTP(host, parts.port or 25, timeout=TIMEOUT_S)
    with server:
        server.ehlo()
        if parts.scheme == "smtp" and server.has_extn("starttls"):
            server.starttls()
        if parts.username:
            server.login(unquote(parts.username), unquote(parts.password or ""))
        server.send_message(message)
