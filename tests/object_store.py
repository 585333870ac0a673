"""An S3 server of this process, by moto, that can be busy, and remembers what it was asked for."""

import threading
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server

from mien.shards.object_store import opened

BUCKET = "faces"
BUSY = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>later</Message></Error>"
REFUSED = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>no</Message></Error>"


class ObjectStore:
    """`status`: None answers, 503 is busy, 403 refuses. `asked`: method and path of each request."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.asked: list[tuple[str, str]] = []
        self._application = DomainDispatcherApplication(create_backend_app)
        self._server = make_server(
            "127.0.0.1", 0, self._answer, threaded=True, request_handler=MotoRequestHandler
        )
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        urllib.request.urlopen(urllib.request.Request(f"{self.endpoint}/{BUCKET}", method="PUT"))

    def environment(self) -> dict[str, str]:
        """What a process needs to find it."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def names(self) -> set[str]:
        """The keys of all objects."""
        with urllib.request.urlopen(f"{self.endpoint}/{BUCKET}") as answer:
            parts = answer.read().decode().split("<Key>")[1:]
        return {part.split("</Key>")[0] for part in parts}

    def read(self, name: str) -> bytes:
        files, path = opened(f"s3://{BUCKET}/{name}")
        with files.open_input_stream(path) as file:
            data: bytes = file.read()
        return data

    def write(self, name: str, data: bytes) -> None:
        files, path = opened(f"s3://{BUCKET}/{name}")
        with files.open_output_stream(path) as file:
            file.write(data)

    def close(self) -> None:
        self._server.shutdown()

    def _answer(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        self.asked.append((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
        if self.status is None:
            answer: Iterable[bytes] = self._application(environ, start)
            return answer
        body = BUSY if self.status == 503 else REFUSED
        start(f"{self.status} no", [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
        return [body]


@contextmanager
def object_store() -> Iterator[tuple[ObjectStore, str]]:
    """A server, found by this process through its environment, and the address of its bucket."""
    store = ObjectStore()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in store.environment().items():
            patch.setenv(name, value)
        yield store, f"s3://{BUCKET}"
    store.close()
