"""A request to an ASGI application without a network, and a model that answers at once."""

import asyncio
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from mien.cluster.serving.gate import Application
from mien.cluster.serving.model import NotAnswering

FOUND = {
    "expression": "happy",
    "probabilities": {"happy": 0.75, "sad": 0.25},
    "reason": None,
    "box": [1.0, 2.0, 30.0, 40.0],
    "points": [[1.0, 1.0]] * 68,
    "score": 0.99,
    "width": 64,
    "height": 48,
    "batch": 1,
}


class Prompt:
    """Stands for the replicas: gives what it was told to, and counts what it was asked."""

    def __init__(self, answer: dict[str, Any] | None = None) -> None:
        self.told, self.asked, self.signs, self.away = answer or FOUND, 0, 0, False
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def answer(self, upload: bytes) -> dict[str, Any]:
        self.asked += 1
        await self.go_on.wait()
        if self.away:
            raise NotAnswering("the model is being restarted")
        return dict(self.told)

    async def classes(self) -> list[str]:
        self.signs += 1
        if self.away:
            raise NotAnswering("the model is being restarted")
        return ["happy", "sad"]


@dataclass(frozen=True)
class Told:
    """A response."""

    status: int
    headers: dict[str, str]
    body: bytes
    left: int  # parts of the request's body that nobody took in

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def ask(
    application: Application,
    path: str,
    method: str = "GET",
    body: Sequence[bytes] = (),
    client: str = "127.0.0.1",
    pause_s: float = 0.0,
    broken_off: bool = False,
    **headers: str,
) -> Told:
    """One request; its body comes in these parts, `pause_s` after one another. Headers: `content_length=...`."""
    sent: list[Any] = []
    parts = [{"type": "http.request", "body": part, "more_body": True} for part in body]
    parts.append({"type": "http.disconnect"} if broken_off else {"type": "http.request", "body": b""})

    async def receive() -> Any:
        await asyncio.sleep(pause_s)
        return parts.pop(0) if parts else await asyncio.Future()  # the client waits for its answer

    async def send(message: Any) -> None:
        sent.append(message)

    given = {"host": "localhost:8000", **{k.replace("_", "-"): v for k, v in headers.items()}}
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(k.encode(), v.encode()) for k, v in given.items()],
        "client": (client, 1234),
        "server": ("127.0.0.1", 8000),
    }
    await application(scope, receive, send)
    start = sent[0]
    told = {k.decode(): v.decode() for k, v in start["headers"]}
    return Told(start["status"], told, b"".join(m.get("body", b"") for m in sent[1:]), len(parts))


def picture(form: str = "JPEG", size: tuple[int, int] = (64, 48)) -> bytes:
    """A grey picture of nobody."""
    file = io.BytesIO()
    Image.new("RGB", size, (90, 90, 90)).save(file, form)
    return file.getvalue()
