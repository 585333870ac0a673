"""Notices to a webhook and a mail server that listen on loopback."""

import json
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import pytest

from mien.cli.notify import VARIABLE, notify
from mien.config import MienError


class Hook(BaseHTTPRequestHandler):
    """Keeps what is posted; answers 500 at /broken."""

    got: ClassVar[list[dict[str, object]]] = []

    def do_POST(self) -> None:
        self.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(500 if self.path == "/broken" else 200)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


class Mail(socketserver.StreamRequestHandler):
    """Enough of SMTP to take one message."""

    got: ClassVar[list[str]] = []

    def handle(self) -> None:
        self.wfile.write(b"220 here\r\n")
        for line in self.rfile:
            word = line[:4].upper()
            if word == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                text = b"".join(iter(self.rfile.readline, b".\r\n"))
                self.got.append(text.decode())
            self.wfile.write(b"221 bye\r\n" if word == b"QUIT" else b"250 ok\r\n")
            if word == b"QUIT":
                return


@pytest.fixture
def servers() -> Iterator[tuple[int, int]]:
    Hook.got.clear()
    Mail.got.clear()
    with HTTPServer(("127.0.0.1", 0), Hook) as web, socketserver.TCPServer(("127.0.0.1", 0), Mail) as mail:
        for server in (web, mail):
            threading.Thread(target=server.serve_forever, daemon=True).start()
        yield web.server_address[1], mail.server_address[1]
        web.shutdown()
        mail.shutdown()


def test_without_an_address_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert notify("a", "b", {}) is False


def test_a_webhook_gets_text_and_facts(servers: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, f"http://127.0.0.1:{servers[0]}/hook")
    assert notify("promoted", "line", {"svm": {"new": 2}})
    assert Hook.got == [{"text": "promoted\nline", "subject": "promoted", "facts": {"svm": {"new": 2}}}]


def test_a_mail_has_subject_addresses_and_text(
    servers: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, f"smtp://127.0.0.1:{servers[1]}/?from=mien@lab.example&to=me@lab.example")
    assert notify("promoted", "line", {})
    assert "Subject: promoted" in Mail.got[0]
    assert "To: me@lab.example" in Mail.got[0]
    assert Mail.got[0].rstrip().endswith("line")


def test_what_does_not_arrive_is_told_without_the_password(
    servers: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for url in (
        f"http://127.0.0.1:{servers[0]}/broken",
        "http://name:geheim@127.0.0.1:1/",
        "smtp://name:geheim@127.0.0.1:1/?from=a@b.example&to=c@d.example",
        "smtp://name:geheim@127.0.0.1/",
        "ftp://name:geheim@127.0.0.1/",
    ):
        monkeypatch.setenv(VARIABLE, url)
        with pytest.raises(MienError) as told:
            notify("a", "b", {})
        assert "geheim" not in str(told.value)
