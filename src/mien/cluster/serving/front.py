"""The HTTP face of a served model: a page, `POST /predict`, health and metrics."""

import asyncio
import time
from collections.abc import Awaitable
from html import escape
from importlib.resources import files
from typing import Any, Protocol, TypeVar
from urllib.parse import parse_qs

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from starlette.requests import ClientDisconnect

from mien.cluster.serving.access import Door
from mien.cluster.serving.figures import Figures
from mien.cluster.serving.gate import Application, Gate, Refusal
from mien.cluster.serving.limits import FORMATS, Buckets, Refused, Room, look_at
from mien.cluster.serving.model import UNREADABLE, NotAnswering
from mien.config.serve import Serve
from mien.evaluation.notice import FORBIDDEN, LIMITS

T = TypeVar("T")
LOGIN_BYTES = 4096
HEALTH_S = 2.0  # how long a sign of life is taken to hold
_UPLOAD = {
    "requestBody": {
        "required": True,
        "content": {
            f"image/{name.lower()}": {"schema": {"type": "string", "format": "binary"}} for name in FORMATS
        },
    }
}


class Answering(Protocol):
    """What the front asks of the model behind it; both raise NotAnswering."""

    async def answer(self, upload: bytes) -> dict[str, Any]:
        """What is in one picture."""

    async def classes(self) -> list[str]:
        """The expressions that it tells apart."""


def make_application(model: Answering, title: str, settings: Serve, token: str | None) -> Application:
    """The whole of it as ASGI. `title` names the model on the page."""
    door, figures = Door(token, settings.login_hours), Figures()
    buckets = Buckets(settings.client_pictures_per_s, settings.client_burst)
    room = Room(settings.waiting_pictures, settings.waiting_mb * 2**20)
    app = FastAPI(title=f"mien {title}", docs_url=None, redoc_url=None)

    @app.exception_handler(Refused)
    async def refuse(request: Request, refused: Refused) -> Response:
        return Refusal(refused)

    _add_pages(app, title, door)
    _add_predict(app, model, settings, room, figures)
    _add_state(app, model, room, figures)
    return Gate(app, door, buckets, figures.request)


def _add_pages(app: FastAPI, title: str, door: Door) -> None:
    page = _packaged("page.html").replace("{{title}}", escape(title))
    page = page.replace("{{forbidden}}", _items(FORBIDDEN)).replace("{{limits}}", _items(LIMITS))
    login, style, script = _packaged("login.html"), _packaged("page.css"), _packaged("page.js")

    @app.get("/", include_in_schema=False)
    async def show(request: Request) -> Response:
        known = request.scope["mien.known"]
        return HTMLResponse(page if known else login, status_code=200 if known else 401)

    @app.get("/page.css", include_in_schema=False)
    async def show_style() -> Response:
        return Response(style, media_type="text/css")

    @app.get("/page.js", include_in_schema=False)
    async def show_script() -> Response:
        return Response(script, media_type="text/javascript")

    @app.post("/login", include_in_schema=False)
    async def log_in(request: Request) -> Response:
        sent = parse_qs((await _body(request, LOGIN_BYTES, 5.0)).decode("utf-8", "replace"))
        if not door.is_token(sent.get("token", [""])[0].strip()):
            return HTMLResponse(login.replace("<!-- wrong -->", "That is not the token."), status_code=401)
        cookie = door.cookie(secure=request.url.scheme == "https")
        return RedirectResponse("/", status_code=303, headers={"set-cookie": cookie})


def _add_predict(app: FastAPI, model: Answering, settings: Serve, room: Room, figures: Figures) -> None:
    limit = int(settings.max_upload_mb * 2**20)

    @app.post("/predict", openapi_extra=_UPLOAD)
    async def predict(request: Request) -> Response:
        """Say the expression of the best face in a picture: the request's body is its file.

        200 with `expression`, `probabilities`, `box`, `points` (68) and `score`, or with the `reason` why
        there is no face; 413 too large, 415 no picture, 422 damaged; 429 and 503 say when to try again.
        """
        with room.hold(_declared(request, limit)):
            upload = await _body(request, limit, settings.upload_s)
            look_at(upload, settings.max_megapixels * 1e6)
            begun = time.perf_counter()
            answer = await _or_503(model.answer(upload))
            batch, seconds = answer.pop("batch"), time.perf_counter() - begun
        if UNREADABLE in answer:
            figures.picture("unreadable", seconds, batch)
            return JSONResponse({"error": answer[UNREADABLE]}, status_code=422)
        figures.picture("no_face" if answer["probabilities"] is None else "face", seconds, batch)
        return JSONResponse(answer)


def _add_state(app: FastAPI, model: Answering, room: Room, figures: Figures) -> None:
    sign: dict[str, float] = {"until": 0.0}
    asking = asyncio.Lock()

    @app.get("/health")
    async def health() -> Response:
        """200 while the model answers, else 503."""
        async with asking:  # a flood of questions puts one to the model
            if time.monotonic() > sign["until"]:
                await _or_503(model.classes())
                sign["until"] = time.monotonic() + HEALTH_S
        return JSONResponse({"state": "ok"})

    @app.get("/metrics")
    async def metrics() -> Response:
        """Counters, waiting pictures and times for Prometheus."""
        return Response(figures.text(room.taken), media_type="text/plain; version=0.0.4; charset=utf-8")


async def _or_503(asked: Awaitable[T]) -> T:
    try:
        return await asked
    except NotAnswering as error:
        raise Refused(503, str(error), 2.0) from error


def _declared(request: Request, limit: int) -> int:
    """How large the upload says it will be; without a word it may become as large as is allowed."""
    told = request.headers.get("content-length")
    if told is None:
        return limit
    if not told.isdigit() or int(told) > limit:
        raise Refused(413, f"larger than {limit / 2**20:.3g} MiB")
    return int(told)


async def _body(request: Request, limit: int, seconds: float) -> bytes:
    """The whole body. Refused 413: larger than the limit; 408: too slow; 400: none, or broken off."""
    parts, size = [], 0
    try:
        async with asyncio.timeout(seconds):
            async for part in request.stream():
                size += len(part)
                if size > limit:
                    raise Refused(413, f"larger than {limit / 2**20:.3g} MiB")
                parts.append(part)
    except TimeoutError as error:
        raise Refused(408, f"the upload took longer than {seconds:g} s") from error
    except ClientDisconnect as error:
        raise Refused(400, "the upload broke off") from error
    if not size:
        raise Refused(400, "an empty upload: send the picture's bytes as the request's body")
    return b"".join(parts)


def _packaged(name: str) -> str:
    return (files("mien.cluster.serving") / name).read_text(encoding="utf-8")


def _items(lines: tuple[str, ...]) -> str:
    return "\n".join(f"<li>{escape(line)}</li>" for line in lines)
