"""`mien serve` under load on loopback: what good, broken, oversized and foreign uploads get, and how fast.

    python bench/serve.py MODEL_FOLDER [--requests 10000] [--clients 12] [--replicas 1] [--json FILE]

The server has its usual limits (`serve` of params.yaml) and its clients addresses of their own, 127.0.0.2
and on, so that the rate limit is in force too; one client floods. Four parts: one client alone; all clients,
each with one request at a time; a rush of everyone at once, which must be turned away in part; one client
alone again, who must find everything as it was. Whatever gets a status that is not the stated one for its
kind ends the benchmark with 1. Times are of pictures with a face, from the request to the whole answer.
Memory is looked at every few seconds, of the front, the replicas and all other processes of Ray.
"""

import argparse
import asyncio
import io
import json
import random
import re
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import aiohttp
import numpy as np
import psutil
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "faces"))
from photographs import astronaut, guises

ROOT = Path(__file__).parents[1]
SERVER = """
import sys
from pathlib import Path
from mien.cluster.serving.run import Address, serve
from mien.config import load_params
say = lambda line: print(line, file=sys.stderr, flush=True)
settings = load_params(Path(sys.argv[2])).serve.model_copy(update={"replicas": int(sys.argv[3])})
serve(Path(sys.argv[1]), "bench", settings, Address("127.0.0.1", 0, None, None), say)
"""
FACE = "a face, 256 px JPEG"
LARGE = "a face, 2048 px JPEG"
LOOK_EVERY_S = 5.0
STATED = {429, 503}
"""Whatever is sent may get these, with the time after which to try again."""


class Kind(NamedTuple):
    """What is sent, how often, and what it must get."""

    share: float
    bodies: Sequence[bytes]
    statuses: set[int]


class Seen(NamedTuple):
    """What came back."""

    kind: str
    status: int  # 0: the connection was closed instead
    seconds: float
    stated: bool  # a 429 or 503 that says when to try again


def encoded(picture: np.ndarray, form: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, form)
    return file.getvalue()


def kinds() -> dict[str, Kind]:
    """The mixture, made of the photograph that scikit-image ships."""
    rng = np.random.default_rng(0)
    faces = [encoded(guise, "JPEG") for guise in guises(32)]
    large = encoded(np.asarray(Image.fromarray(astronaut()).resize((2048, 2048))), "JPEG")
    noise = rng.integers(0, 256, (200, 200, 3), np.uint8)
    bomb = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = struct.pack(">I", 13) + bomb + struct.pack(">I", zlib.crc32(bomb))
    bomb = b"\x89PNG\r\n\x1a\n" + bomb + struct.pack(">I", 100) + b"IDAT"
    black = encoded(np.zeros((6000, 6000, 3), np.uint8), "PNG")
    broken = [faces[k][: len(faces[k]) * (k + 1) // 40] for k in range(8, 32)]
    flipped = [bytes(b ^ (rng.random() < 0.02) * 255 for b in face) for face in faces[:8]]
    foreign = [
        b"<html>hello</html>",
        bytes(rng.integers(0, 256, 5000, np.uint8)),
        b"%!PS-Adobe-3.0",
        b"\0" * 999,
    ]
    return {
        FACE: Kind(0.40, faces, {200}),
        LARGE: Kind(0.02, [large], {200}),
        "nobody": Kind(0.06, [encoded(noise, "PNG"), encoded(noise // 9, "WEBP")], {200}),
        "cut off": Kind(0.14, broken, {422}),
        "bytes flipped": Kind(0.08, flipped, {200, 415, 422}),
        "no picture": Kind(0.14, foreign, {415}),
        "nothing": Kind(0.04, [b""], {400}),
        "13 MiB": Kind(0.04, [bytes(13 << 20)], {413}),
        "40 MiB": Kind(0.01, [bytes(40 << 20)], {413, 0}),
        "36 megapixels in 100 kB": Kind(0.04, [black], {413}),
        "header of 3,600 megapixels": Kind(0.03, [bomb], {413}),
    }


class Client:
    """One address, and one connection that is left before the server leaves it."""

    def __init__(self, url: str, number: int, connections: int = 1) -> None:
        address = (f"127.0.0.{2 + number}", 0)
        connector = aiohttp.TCPConnector(local_addr=address, limit=connections, keepalive_timeout=5)
        self._session = aiohttp.ClientSession(url, connector=connector)

    async def post(self, kind: str, body: bytes) -> Seen:
        begun = time.perf_counter()
        try:
            async with self._session.post("/predict", data=body) as response:
                told = await response.read()
                json.loads(told)
                stated = response.status in STATED and response.headers.get("Retry-After", "").isdigit()
                return Seen(kind, response.status, time.perf_counter() - begun, stated)
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError):
            return Seen(kind, 0, time.perf_counter() - begun, stated=False)

    async def close(self) -> None:
        await self._session.close()


async def one_by_one(client: Client, sent: Sequence[tuple[str, bytes]], pause_s: float) -> list[Seen]:
    seen = []
    for kind, body in sent:
        seen.append(await client.post(kind, body))
        await asyncio.sleep(max(0.0, pause_s - seen[-1].seconds))
    return seen


async def drive(url: str, mixture: dict[str, Kind], requests: int, number: int) -> dict[str, list[Seen]]:
    """All four parts."""
    draw = random.Random(0)
    names = draw.choices(list(mixture), [kind.share for kind in mixture.values()], k=requests)
    sent = [(name, draw.choice(mixture[name].bodies)) for name in names]
    alone = [(FACE, mixture[FACE].bodies[k % 32]) for k in range(40)]
    clients = [Client(url, k) for k in range(number + 100)]
    flooding = Client(url, number + 100, connections=10)
    seen = {"alone": await one_by_one(clients[0], alone, 0.25)}
    # a client may ask five times a second, and a turn of 0.21 s keeps within that
    turns = [one_by_one(clients[k], sent[k::number], 0.21) for k in range(1, number)]
    turns.append(one_by_one(clients[number], sent[0::number], 0.21))
    flood = [flooding.post(FACE, mixture[FACE].bodies[k % 32]) for k in range(100)]
    *mixed, seen["one floods"] = await asyncio.gather(*turns, asyncio.gather(*flood))
    seen["mixed"] = [one for part in mixed for one in part]
    rush = [client.post(FACE, mixture[FACE].bodies[k % 32]) for k, client in enumerate(clients)]
    seen["all at once"] = list(await asyncio.gather(*rush))
    await asyncio.sleep(5)
    seen["alone again"] = await one_by_one(clients[0], alone, 0.25)
    for client in (*clients, flooding):
        await client.close()
    return seen


class Memory(threading.Thread):
    """Looks at the server and all below it while it works; what several share is divided among them."""

    def __init__(self, server: psutil.Process) -> None:
        super().__init__(daemon=True)
        self._server, self._over = server, threading.Event()
        self.seen: list[tuple[float, dict[str, float]]] = []  # seconds, MiB by kind of process

    def run(self) -> None:
        begun = time.perf_counter()
        while not self._over.is_set():
            self.seen.append((time.perf_counter() - begun, self._look()))
            self._over.wait(LOOK_EVERY_S)

    def stop(self) -> None:
        self._over.set()
        self.join()

    def told(self) -> dict[str, list[int]]:
        """MiB by kind at the start, after each tenth of the time, and at the end."""
        at = np.linspace(0, len(self.seen) - 1, 11).round().astype(int)
        return {kind: [round(self.seen[k][1][kind]) for k in at] for kind in self.seen[0][1]}

    def _look(self) -> dict[str, float]:
        found = {"front": 0.0, "replicas": 0.0, "rest of Ray": 0.0}
        for process in (self._server, *self._server.children(recursive=True)):
            try:
                words, size = " ".join(process.cmdline()), process.memory_full_info().pss / 2**20
            except psutil.NoSuchProcess:
                continue
            replica = "rest of Ray" if "ServeReplica" not in words else "replicas"
            found["front" if process == self._server else replica] += size
        return found


def wrong(seen: dict[str, list[Seen]], mixture: dict[str, Kind]) -> list[str]:
    """What did not get what is stated for its kind."""
    bad: Counter[str] = Counter()
    for part, answers in seen.items():
        for one in answers:
            allowed = one.stated if one.status in STATED else one.status in mixture[one.kind].statuses
            if not allowed:
                bad[f"{part}: {one.kind} got {one.status}"] += 1
    if any(one.status != 200 for one in seen["alone again"]):
        bad["alone again: not every picture was answered"] += 1
    return [f"{what}, {count} times" for what, count in bad.items()]


def told_of(part: str, answers: Sequence[Seen]) -> dict[str, object]:
    times = sorted(one.seconds for one in answers if one.status == 200 and one.kind == FACE)
    refused = sorted(one.seconds for one in answers if one.status not in (0, 200))
    statuses: dict[str, Counter[int]] = defaultdict(Counter)
    for one in answers:
        statuses[one.kind][one.status] += 1

    def at(values: Sequence[float]) -> list[float] | None:
        return [round(1000 * float(np.percentile(values, share))) for share in (50, 99)] if values else None

    return {
        "part": part,
        "requests": len(answers),
        "statuses": {kind: dict(sorted(counts.items())) for kind, counts in statuses.items()},
        "face_p50_p99_ms": at(times),
        "refused_p50_p99_ms": at(refused),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=12)
    parser.add_argument("--replicas", type=int, default=1)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    mixture = kinds()
    words = ["-c", SERVER, str(given.model.resolve()), str(ROOT / "params.yaml"), str(given.replicas)]
    with subprocess.Popen([sys.executable, *words], stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        try:
            begun = time.perf_counter()
            told = (re.search(r"http://[\d.]+:\d+", line) for line in server.stderr)
            found = next(line for line in told if line)
            started, memory = time.perf_counter() - begun, Memory(psutil.Process(server.pid))
            memory.start()
            begun = time.perf_counter()
            seen = asyncio.run(drive(found[0], mixture, given.requests, given.clients))
            took = time.perf_counter() - begun
            memory.stop()
            alive = server.poll() is None
        finally:
            server.terminate()
        ended = server.wait(30)
    parts = [told_of(part, answers) for part, answers in seen.items()]
    bad = wrong(seen, mixture) + ([] if alive and ended == 0 else ["the server did not last"])
    facts = {"started_s": round(started, 1), "took_s": round(took), "memory_mb": memory.told()}
    for told in parts:
        print(json.dumps(told))
    print(json.dumps(facts))
    print("\n".join(bad) or "every request got what is stated for it")
    if given.json:
        given.json.write_text(json.dumps({"parts": parts, **facts, "wrong": bad}, indent=2))
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
