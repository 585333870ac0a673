"""Render a corpus: person by person over processes, resumable, the same bytes whatever the number of
processes."""

import hashlib
import multiprocessing
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from functools import lru_cache
from itertools import islice
from pathlib import Path

import cv2
from threadpoolctl import threadpool_limits

from mien.config.corpora import RenderedCorpus
from mien.corpora.rendered.album import bind, is_whole, write_part
from mien.corpora.rendered.basis import load_basis, version
from mien.corpora.rendered.face import Face, Studio, open_studio
from mien.corpora.rendered.people import draw_person
from mien.corpora.rendered.plan import pictures_per_person, plan_person
from mien.corpora.rendered.rows import Row, row_of

SCRATCH = ".unfinished"


def render_corpus(
    name: str,
    config: RenderedCorpus,
    into: Path,
    basis_cache: Path,
    progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
) -> None:
    """Write `into/manifest.parquet` and `into/pictures-00000.tar`, ...; the same bytes for the same config.

    `name` starts every key. `basis_cache` keeps the head's basis between runs. `progress(done, total)` counts
    pictures. `workers`: processes, by default one per core this process may use; 1 renders here. Finished
    people of an interrupted run are kept under `into/.unfinished` and used again.
    """
    load_basis(basis_cache)  # one process makes the cache, the others find it
    each = pictures_per_person(config)
    numbers = range(config.first_person, config.first_person + config.people)
    scratch = into / SCRATCH / _fingerprint(name, config)
    scratch.mkdir(parents=True, exist_ok=True)
    parts = {number: scratch / f"p{number:04d}" for number in numbers}
    open_ = [number for number in numbers if not is_whole(parts[number], each)]
    done = config.people - len(open_)
    if progress:
        progress(done * each, config.people * each)
    for _ in _spread(name, config, basis_cache, {n: parts[n] for n in open_}, workers or _cores()):
        done += 1
        if progress:
            progress(done * each, config.people * each)
    bind([parts[number] for number in numbers], into)
    shutil.rmtree(into / SCRATCH)


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _fingerprint(name: str, config: RenderedCorpus) -> str:
    """Hash of all that shapes a part: what was begun under other settings or by other code is not gone on
    with."""
    shaping = config.model_dump_json(exclude={"people", "first_person", "source"})
    digest = hashlib.sha256(f"{name} {shaping} {version()}".encode())
    for file in sorted(Path(__file__).parent.iterdir()):
        if file.suffix in (".py", ".json"):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _spread(
    name: str, config: RenderedCorpus, basis_cache: Path, parts: dict[int, Path], workers: int
) -> Iterator[int]:
    """Render parts, here or over processes, and give each person's number when it is done."""
    if workers == 1 or len(parts) <= 1:
        with _one_thread():
            for number, part in parts.items():
                yield _render_person(name, config, basis_cache, number, part)
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(parts)), mp_context=spawn, initializer=_begin) as pool:
        todo = iter(parts.items())
        pending: set[Future[int]] = set()
        try:
            while True:
                # a few people ahead of the processes: memory stays the same for any number of people
                for number, part in islice(todo, 2 * workers - len(pending)):
                    pending.add(pool.submit(_render_person, name, config, basis_cache, number, part))
                if not pending:
                    return
                finished, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield future.result()
        finally:
            for future in pending:
                future.cancel()


def _begin() -> None:
    """Set up a process: one thread, and no life after the one that started it, however that one ends."""
    cv2.setNumThreads(1)
    threadpool_limits(1, user_api="blas")  # another thread waits by spinning, on the next process's core
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _one_thread() -> Iterator[None]:
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with threadpool_limits(1, user_api="blas"):
            yield
    finally:
        cv2.setNumThreads(before)


@lru_cache(maxsize=1)
def _studio(basis_cache: Path) -> Studio:
    return open_studio(load_basis(basis_cache))


def _render_person(name: str, config: RenderedCorpus, basis_cache: Path, number: int, part: Path) -> int:
    studio = _studio(basis_cache)
    person = draw_person(studio.basis, config.seed, number)
    face = Face(studio, person)

    def rows() -> Iterator[tuple[Row, bytes]]:
        for planned in plan_person(name, config, person):
            yield row_of(name, face, planned, config.picture_px)

    write_part(part, rows())
    return number
