"""`mien serve` from outside: what it refuses at once, and a whole life of it."""

import http.client
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from PIL import Image

from mien import methods
from mien.cluster.serving.model import refuse_too_many
from mien.cluster.serving.run import Address, serve
from mien.config import MienError
from mien.config.faces import Align, Landmarks
from mien.config.serve import Serve
from mien.evaluation.inference import Predictor
from tests import tiny
from tests.faces.photographs import guises

ABOUT = {
    "align": Align(crop_px=48).model_dump(mode="json"),
    "landmarks": Landmarks().model_dump(mode="json"),
}
SERVER = """
import sys
from pathlib import Path
from mien.cluster.serving.run import Address, serve
from mien.config.serve import Serve
settings = Serve(batch_wait_s=0.2, client_burst=100)
say = lambda line: print(line, file=sys.stderr, flush=True)
serve(Path(sys.argv[1]), "tiny", settings, Address("127.0.0.1", 0, None, None), say)
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served") / "model"
    methods.save(tiny.trained("linear_svm"), "linear_svm", folder, ABOUT)
    return folder


def test_others_are_not_let_in_without_a_token(tmp_path: Path) -> None:
    with pytest.raises(MienError, match=r"0\.0\.0\.0 is reached by others"):
        serve(tmp_path, "m", Serve(), Address("0.0.0.0", 0, None, None), print)


def test_a_taken_port_is_told_before_the_model_is_loaded(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(MienError, match=f"127.0.0.1:{port} is not to be had .*; take another --port"):
            serve(tmp_path, "m", Serve(), Address("127.0.0.1", port, None, None), print)


def test_a_certificate_must_be_one(tmp_path: Path) -> None:
    (tmp_path / "no.pem").write_text("nothing")
    with pytest.raises(MienError, match=r"no.pem does not hold a certificate and its key"):
        serve(tmp_path, "m", Serve(), Address("127.0.0.1", 0, None, tmp_path / "no.pem"), print)


def test_more_replicas_than_ray_has_room_for_are_refused() -> None:
    refuse_too_many(Serve(replicas=2), 2.0)
    with pytest.raises(MienError, match=r"serve\.replicas = 3 of .* need 3 CPUs and Ray has 2; lower"):
        refuse_too_many(Serve(replicas=3), 2.0)


def test_an_address_is_shown_as_browsers_take_it() -> None:
    assert Address("127.0.0.1", 0, None, None).shown(80) == "http://127.0.0.1:80"
    assert Address("::1", 0, None, Path("a.pem")).shown(8000) == "https://[::1]:8000"


@pytest.fixture(scope="module")
def server(model: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    words = [sys.executable, "-c", SERVER, str(model)]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, cwd=model) as process:
        assert process.stderr is not None
        try:
            told = (re.search(r"http://127.0.0.1:(\d+)", line) for line in process.stderr)
            found = next(line for line in told if line)  # Ray says a word of its own before
            yield process, int(found[1])
        finally:
            process.kill()


def post(port: int, body: bytes) -> tuple[int, dict[str, object]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/predict", body)
    response = connection.getresponse()
    return response.status, json.loads(response.read())


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_pictures_at_once_share_batches_and_have_the_answers_of_each_alone(
    server: tuple[subprocess.Popen[str], int], model: Path
) -> None:
    _, port = server
    files = []
    for guise in guises(6):
        file = io.BytesIO()
        Image.fromarray(guise).save(file, "PNG")
        files.append(file.getvalue())
    broken = files[0][: len(files[0]) // 2]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda body: post(port, body), [*files, broken, b"nothing"]))
    assert [status for status, _ in together] == [200] * 6 + [422, 415]
    predictor = Predictor(model, landmarks=True)
    for data, (_, told) in zip(files, together, strict=False):
        alone = predictor.predict_encoded([data])[0].told()
        assert told["probabilities"] == pytest.approx(alone["probabilities"], abs=1e-5)
        assert (told["box"], told["points"], told["width"]) == (alone["box"], alone["points"], 256)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    alone_in_batch = next(v for v in lines if v.startswith('mien_batch_pictures_bucket{le="1.0"}'))
    assert float(alone_in_batch.split()[1]) < 7


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_a_killed_replica_comes_back_and_meanwhile_it_is_503(
    server: tuple[subprocess.Popen[str], int],
) -> None:
    process, port = server
    below = psutil.Process(process.pid).children(recursive=True)
    found = [p for p in psutil.process_iter() if "ServeReplica" in " ".join(_words(p)) and _kin(p, below)]
    assert len(found) == 1
    found[0].kill()
    file = io.BytesIO()
    Image.fromarray(guises(1)[0]).save(file, "JPEG")
    statuses = []
    until = time.monotonic() + 60
    while time.monotonic() < until:
        statuses.append(post(port, file.getvalue())[0])
        if statuses[-1] == 200:
            break
        time.sleep(0.5)
    assert statuses[-1] == 200
    assert set(statuses) <= {200, 503}


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_sigterm_ends_all_of_it(server: tuple[subprocess.Popen[str], int]) -> None:
    process, port = server
    below = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(30) == 0
    _, staying = psutil.wait_procs(below, timeout=15)
    assert staying == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=1)


def _words(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return []


def _kin(process: psutil.Process, below: list[psutil.Process]) -> bool:
    return bool({p.pid for p in below} & {p.pid for p in (process, *process.parents())})
