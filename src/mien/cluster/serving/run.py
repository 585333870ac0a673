"""A served model from its start to its end: check, listen, answer, and leave nothing behind."""

import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import uvicorn

from mien.cluster.serving.access import check_token
from mien.cluster.serving.front import make_application
from mien.cluster.serving.gate import Application
from mien.cluster.serving.model import deployed
from mien.config import MienError
from mien.config.serve import Serve

CONNECTIONS = 256  # at once; one more is closed with 503
IDLE_S, GOODBYE_S = 15, 10
HEADER_BYTES = 16 << 10


@dataclass(frozen=True)
class Address:
    """Where to listen, and for whom."""

    host: str
    port: int  # 0: any that is free
    token: str | None  # None: whoever reaches it, which must be this machine alone
    certificate: Path | None  # PEM with the key; None: plain HTTP

    def shown(self, port: int) -> str:
        """As a browser takes it."""
        scheme = "http" if self.certificate is None else "https"
        return f"{scheme}://{f'[{self.host}]' if ':' in self.host else self.host}:{port}"


def serve(
    model: Path, title: str, settings: Serve, address: Address, announce: Callable[[str], None]
) -> None:
    """Serve a model's folder or exported file until Ctrl-C or SIGTERM.

    `title` names it on the page; `announce` hears where it answers, once it does.
    MienError: others reach the host and there is no token; the port is taken; certificate or model is bad.
    """
    check_token(address.host, address.token)
    _check_certificate(address.certificate)
    with (
        _ended_by_signals(),
        _listening(address) as listener,
        deployed(model, settings) as answering,
        _ended_by_signals(),  # once more, as Ray has put handlers of its own in between
    ):
        application = make_application(answering, title, settings, address.token)
        announce(f"{title}: {address.shown(listener.getsockname()[1])} (Ctrl-C ends it)")
        _server(application, address.certificate).run(sockets=[listener])


def _server(application: Application, certificate: Path | None) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            application,
            # h11 bounds a request's headers, httptools does not
            http="h11",
            h11_max_incomplete_event_size=HEADER_BYTES,
            ws="none",
            lifespan="off",
            loop="asyncio",
            # who asked for what is nobody's business; errors of the program are still written
            access_log=False,
            log_level="error",
            server_header=False,
            proxy_headers=False,  # else anyone on loopback could pass for another client
            limit_concurrency=CONNECTIONS,
            timeout_keep_alive=IDLE_S,
            timeout_graceful_shutdown=GOODBYE_S,
            ssl_certfile=certificate,
        )
    )


@contextmanager
def _listening(address: Address) -> Iterator[socket.socket]:
    """A socket that listens, before the model costs seconds. MienError: the address is not to be had."""
    host, port = address.host, address.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        raise MienError(
            f"{host}:{port} is not to be had ({error.strerror or error}); take another --port."
        ) from error
    with listener:
        yield listener


def _check_certificate(certificate: Path | None) -> None:
    if certificate is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate)
    except (OSError, ssl.SSLError) as error:
        raise MienError(f"{certificate} does not hold a certificate and its key ({error}).") from error


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Ctrl-C and SIGTERM leave the block as an orderly end does, whenever they come."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(0)

    before = {number: signal.signal(number, leave) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
