"""The front without a network and without Ray."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

import pytest

from mien.cluster.serving.front import make_application
from mien.cluster.serving.gate import DRAINED_S, HEADERS, Application
from mien.config.serve import Serve
from mien.evaluation.notice import FORBIDDEN
from tests.cluster.serving.asking import Prompt, Told, ask, picture

T = TypeVar("T")
TOKEN = "correct horse battery"
JPEG = picture()


def run(asked: Awaitable[T]) -> T:
    async def bounded() -> T:
        return await asyncio.wait_for(asked, 20)

    return asyncio.run(bounded())


def made(model: Prompt | None = None, token: str | None = None, **settings: float) -> Application:
    return make_application(model or Prompt(), "a <model>", Serve.model_validate(settings), token)


def test_a_picture_is_answered() -> None:
    told = run(ask(made(), "/predict", "POST", [JPEG[:100], JPEG[100:]]))
    assert told.status == 200
    assert (told.json["expression"], told.json["width"]) == ("happy", 64)
    assert "batch" not in told.json


def test_every_answer_carries_the_security_headers() -> None:
    app = made(client_burst=1)

    async def asked() -> list[Told]:
        return [
            await ask(app, "/"),
            await ask(app, "/nothing"),
            await ask(app, "/predict"),
            await ask(app, "/predict", "POST", [JPEG]),
            await ask(app, "/predict", "POST", [JPEG]),
            await ask(app, "/", host="evil.example"),
        ]

    answers = run(asked())
    assert [told.status for told in answers] == [200, 404, 405, 200, 429, 403]
    for told in answers:
        assert HEADERS.items() <= told.headers.items()
        assert "server" not in told.headers


def test_the_page_names_the_model_and_what_is_forbidden() -> None:
    told = run(ask(made(), "/"))
    page = told.body.decode()
    assert "<title>mien: a &lt;model&gt;</title>" in page
    assert all(line.split(":")[0] in page for line in FORBIDDEN)
    assert "http://" not in page
    assert "https://" not in page
    assert "style=" not in page
    assert "{{" not in page


@pytest.mark.parametrize(
    ("body", "status", "why"),
    [
        ([], 400, "an empty upload"),
        ([b"not a picture"], 415, "not a picture that is taken (JPEG, PNG, WEBP, GIF, BMP)"),
        ([picture(size=(200, 200))], 413, "200x200 pixels are more than 0.01 megapixels"),
        ([bytes(60_000), bytes(60_000)], 413, "larger than 0.1 MiB"),
    ],
)
def test_what_cannot_be_answered_is_refused_before_the_model(
    body: list[bytes], status: int, why: str
) -> None:
    model = Prompt()
    told = run(ask(made(model, max_megapixels=0.01, max_upload_mb=0.1), "/predict", "POST", body))
    assert told.status == status
    assert told.json["error"].startswith(why)
    assert model.asked == 0


def test_the_rest_of_a_refused_upload_is_taken_in_so_that_its_sender_reads_the_answer() -> None:
    async def asked(body: list[bytes], **limits: float) -> tuple[int, int]:
        length = str(sum(map(len, body)))
        told = await asyncio.wait_for(
            ask(made(**limits), "/predict", "POST", body, content_length=length), DRAINED_S / 2
        )
        return told.status, told.left

    assert run(asked([b"x" * 60_000] * 5, max_upload_mb=0.1)) == (413, 0)
    assert run(asked([b"x"] * 3)) == (415, 0)  # refused when all was read: there is nothing to wait for
    assert run(asked([b"x" * 2**20] * 40, max_upload_mb=0.1)) == (413, 41)  # too much to take in


def test_a_declared_size_over_the_limit_is_refused_unread() -> None:
    told = run(ask(made(max_upload_mb=1), "/predict", "POST", [JPEG], content_length=str(2**31)))
    assert (told.status, told.headers["connection"]) == (413, "close")
    told = run(ask(made(), "/predict", "POST", [JPEG], content_length="many"))
    assert told.status == 413


def test_slow_and_broken_uploads_end() -> None:
    told = run(ask(made(upload_s=0.2), "/predict", "POST", [b"x"] * 50, pause_s=0.05))
    assert told.status == 408
    told = run(ask(made(), "/predict", "POST", [JPEG[:100]], broken_off=True))
    assert told.status == 400


def test_a_picture_that_turns_out_damaged_is_422() -> None:
    model = Prompt({"unreadable": "truncated or damaged: 12 bytes missing", "batch": 2})
    told = run(ask(made(model), "/predict", "POST", [JPEG]))
    assert (told.status, told.json) == (422, {"error": "truncated or damaged: 12 bytes missing"})


def test_one_more_than_there_is_room_for_is_503_and_the_others_are_answered() -> None:
    async def asked() -> tuple[Told, list[Told], Told]:
        model = Prompt()
        model.go_on.clear()
        app = made(model, waiting_pictures=2)
        waiting = [asyncio.create_task(ask(app, "/predict", "POST", [JPEG])) for _ in range(2)]
        while model.asked < 2:
            await asyncio.sleep(0.01)
        more = await ask(app, "/predict", "POST", [JPEG])
        model.go_on.set()
        return more, [await task for task in waiting], await ask(app, "/predict", "POST", [JPEG])

    more, waited, after = run(asked())
    assert (more.status, more.headers["retry-after"]) == (503, "1")
    assert more.json == {"error": "busy: 2 pictures are waiting"}
    assert [told.status for told in (*waited, after)] == [200, 200, 200]


def test_uploads_without_a_length_count_as_the_largest() -> None:
    app = made(max_upload_mb=2, waiting_mb=1)
    assert run(ask(app, "/predict", "POST", [JPEG])).status == 503
    assert run(ask(app, "/predict", "POST", [JPEG], content_length=str(len(JPEG)))).status == 200


def test_a_flood_is_429_by_client() -> None:
    app = made(client_burst=2, client_pictures_per_s=0.5)

    async def asked() -> list[Told]:
        floods = [await ask(app, "/predict", "POST", [JPEG]) for _ in range(3)]
        return [
            *floods,
            await ask(app, "/predict", "POST", [JPEG], client="127.0.0.2"),
            await ask(app, "/health"),
        ]

    answers = run(asked())
    assert [told.status for told in answers] == [200, 200, 429, 200, 200]
    assert answers[2].headers["retry-after"] == "2"


def test_a_model_that_is_away_is_503_and_health_says_so() -> None:
    model = Prompt()
    app = made(model)
    assert run(ask(app, "/health")).json == {"state": "ok"}
    run(ask(app, "/health"))
    assert model.signs == 1  # the second was answered from the first
    gone = Prompt()
    gone.away = True
    app = made(gone)
    for path, method, body in (("/health", "GET", []), ("/predict", "POST", [JPEG])):
        told = run(ask(app, path, method, body))
        assert (told.status, told.headers["retry-after"]) == (503, "2")


def test_with_a_token_strangers_see_the_login_alone() -> None:
    app = made(token=TOKEN, client_burst=100)

    async def asked() -> dict[str, Told]:
        paths = ("/", "/page.css", "/health", "/page.js", "/metrics", "/openapi.json", "/nothing")
        return {path: await ask(app, path, host="mien.example:8000") for path in paths}

    answers = run(asked())
    assert {path: told.status for path, told in answers.items()} == {
        "/": 401,
        "/page.css": 200,
        "/health": 200,
        "/page.js": 401,
        "/metrics": 401,
        "/openapi.json": 401,
        "/nothing": 401,
    }
    assert b'name="token"' in answers["/"].body
    assert b"model" not in answers["/"].body
    assert answers["/"].headers["referrer-policy"] == "same-origin"  # else its form is sent with Origin: null
    refused = run(ask(app, "/predict", "POST", [JPEG], host="mien.example"))
    assert (refused.status, refused.headers["www-authenticate"]) == (401, "Bearer")


def test_the_token_opens_by_header_and_the_login_by_cookie() -> None:
    app = made(token=TOKEN)

    async def asked() -> None:
        there = {"host": "mien.example", "origin": "http://mien.example"}
        by_header = await ask(app, "/predict", "POST", [JPEG], authorization=f"Bearer {TOKEN}", **there)
        assert by_header.status == 200
        wrong = await ask(app, "/login", "POST", [b"token=wrong"], **there)
        assert wrong.status == 401
        assert b"That is not the token." in wrong.body
        entered = await ask(app, "/login", "POST", [b"token=correct+horse+battery"], **there)
        assert (entered.status, entered.headers["location"]) == (303, "/")
        cookie = entered.headers["set-cookie"].partition(";")[0]
        assert (await ask(app, "/", cookie=cookie, **there)).status == 200
        assert (await ask(app, "/predict", "POST", [JPEG], cookie=cookie, **there)).status == 200

    run(asked())


def test_guessing_the_token_is_as_slow_as_a_client_may_be() -> None:
    app = made(token=TOKEN, client_burst=3, client_pictures_per_s=0.001)

    async def asked() -> list[int]:
        guesses = [await ask(app, "/metrics", authorization=f"Bearer {n}") for n in range(3)]
        right = await ask(app, "/metrics", authorization=f"Bearer {TOKEN}")
        form = await ask(app, "/login", "POST", [f"token={TOKEN}".encode()])
        return [told.status for told in (*guesses, right, form)]

    assert run(asked()) == [401, 401, 401, 429, 429]


def test_pages_of_other_sites_are_refused() -> None:
    app = made()

    async def asked() -> list[int]:
        answers = [
            await ask(app, "/predict", "POST", [JPEG], origin="https://evil.example"),
            await ask(app, "/predict", "POST", [JPEG], origin="null"),
            await ask(
                app, "/predict", "POST", [JPEG], host="evil.example:8000"
            ),  # a name pointed at 127.0.0.1
            await ask(app, "/metrics", host="evil.example"),
            await ask(app, "/predict", "POST", [JPEG], origin="http://localhost:8000"),
            await ask(app, "/", host="[::1]:8000"),
        ]
        return [told.status for told in answers]

    assert run(asked()) == [403, 403, 403, 403, 200, 200]


def test_metrics_count_requests_and_pictures_and_nothing_else() -> None:
    no_face = Prompt({"probabilities": None, "reason": "no face", "batch": 3, "width": 9, "height": 9})
    app = made(no_face)

    async def asked() -> str:
        await ask(app, "/predict", "POST", [JPEG], client="192.0.2.77")
        await ask(app, "/predict", "POST", [b"x"])
        await ask(app, "/nothing/at/all")
        return (await ask(app, "/metrics")).body.decode()

    lines = run(asked()).splitlines()
    assert 'mien_requests_total{path="/predict",status="200"} 1.0' in lines
    assert 'mien_requests_total{path="/predict",status="415"} 1.0' in lines
    assert 'mien_requests_total{path="other",status="404"} 1.0' in lines
    assert 'mien_pictures_total{outcome="no_face"} 1.0' in lines
    assert 'mien_batch_pictures_bucket{le="2.0"} 0.0' in lines
    assert 'mien_batch_pictures_bucket{le="4.0"} 1.0' in lines
    assert "mien_waiting_pictures 0.0" in lines
    assert not any("192.0.2" in line or "nothing/at" in line for line in lines)


def test_the_interface_is_described() -> None:
    described = run(ask(made(), "/openapi.json")).json
    assert set(described["paths"]) == {"/predict", "/health", "/metrics"}
    assert "image/jpeg" in described["paths"]["/predict"]["post"]["requestBody"]["content"]
