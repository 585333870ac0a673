"""Ray Data maps a worker over blocks of rows; each becomes one Parquet part, and a killed stage goes on.

Part k holds what the worker makes of the k-th block, so that parts do not depend on the number of workers
or on restarts. Finished parts wait in a scratch folder, named by all that shapes them, until the last one
is there.
"""

import contextlib
import hashlib
import inspect
import json
import logging
import queue
import re
import shutil
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from time import monotonic
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mien.cluster.session import connect
from mien.config import MienError
from mien.config.progress import Progress
from mien.config.train import Cluster
from mien.manifest.tables import write_table

ACTOR_CPUS = (
    0.5  # two actors of one whole CPU each on two CPUs would leave none for Ray Data itself, and hang
)
SCRATCH = "parts"
CONSUMER, STOP_S = "mien-blocks", 10.0
_PART, _TOTAL = (
    "__part",
    "__total",
)  # columns that travel with the rows: the block's number, its rows in the output


class Worker(Protocol):
    """Made once in each worker process; turns one block into rows of the output, in the block's order."""

    def __call__(self, rows: pa.Table) -> pa.Table:
        """The output rows of a block."""


def map_blocks(
    what: str,
    blocks: Sequence[pa.Table],
    worker: Callable[..., Worker],
    settings: dict[str, Any],
    schema: pa.Schema,
    into: Path,
    cluster: Cluster,
    rows: int,
) -> None:
    """Write `into/part-00000.parquet`, ... with one part a block, each checked against `schema`.

    worker: a class of an importable module, made once a process by `worker(**settings)`.
    settings: plain JSON values. `rows` is what the progress line counts to. MienError: time is up.
    """
    scratch = _scratch(what, blocks, worker, settings, cluster)
    done = {int(p.stem.split("-")[1]): p for p in scratch.glob("part-*.parquet")}
    open_blocks = [k for k in range(len(blocks)) if k not in done]
    progress, count = Progress(what), sum(pq.read_metadata(p).num_rows for p in done.values())
    progress(count, rows)
    if open_blocks:
        with (
            connect(cluster),
            contextlib.closing(_map(blocks, open_blocks, worker, settings, cluster)) as results,
        ):
            for part, table in results:
                write_table(table, scratch / _name(part), schema)
                count += table.num_rows
                progress(count, rows)
    into.mkdir(parents=True, exist_ok=True)
    for k in range(len(blocks)):
        shutil.move(scratch / _name(k), into / _name(k))
    shutil.rmtree(scratch)


def blocks_of(table: pa.Table, rows_per_part: int) -> list[pa.Table]:
    """A table, put into the order of its keys, in blocks."""
    table = table.sort_by("key")
    return [table.slice(k, rows_per_part) for k in range(0, table.num_rows, rows_per_part)]


def _map(
    blocks: Sequence[pa.Table],
    wanted: Sequence[int],
    worker: Callable[..., Worker],
    settings: dict[str, Any],
    cluster: Cluster,
) -> Generator[tuple[int, pa.Table]]:
    """Results as they come: (block's number, table). Ray Data runs in a thread: time can run out on it."""
    results: queue.Queue[tuple[int, pa.Table] | Exception | None] = queue.Queue(maxsize=4)
    ended = threading.Event()

    def give(result: tuple[int, pa.Table] | Exception | None) -> bool:
        while not ended.is_set():
            with contextlib.suppress(queue.Full):
                results.put(result, timeout=0.5)
                return True
        return False

    def consume() -> None:
        try:
            for result in _dataset(blocks, wanted, worker, settings):
                if not give(result):
                    return
            give(None)
        except Exception as error:  # noqa: BLE001 - handed to the main thread, which raises it
            give(error)

    consumer = threading.Thread(target=consume, name=CONSUMER, daemon=True)
    consumer.start()
    until = monotonic() + cluster.stage_timeout_s
    try:
        while True:
            try:
                result = results.get(timeout=max(0.0, until - monotonic()))
            except queue.Empty:
                limit = f"cluster.stage_timeout_s is {cluster.stage_timeout_s}"
                raise MienError(
                    f"{limit}, and that time is over; raise it, and finished parts are kept."
                ) from None
            if result is None:
                return
            if isinstance(result, Exception):
                raise _plain(result)
            yield result
    finally:
        ended.set()
        _stop(consumer)


def _stop(consumer: threading.Thread) -> None:
    """End Ray Data's thread and the one that reads from it, which would fail in a call once Ray is gone.

    Its executor is a thread, found among this process's: while no block is ready, no Dataset gives it out.
    """
    until = monotonic() + STOP_S
    while consumer.is_alive() and monotonic() < until:
        from ray.data._internal.execution.streaming_executor import StreamingExecutor

        for thread in threading.enumerate():
            if isinstance(thread, StreamingExecutor):
                thread.shutdown(force=True)
        consumer.join(timeout=0.5)


def _dataset(
    blocks: Sequence[pa.Table], wanted: Sequence[int], worker: Callable[..., Worker], settings: dict[str, Any]
) -> Iterator[tuple[int, pa.Table]]:
    import ray
    from ray.data import ActorPoolStrategy, DataContext

    DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)  # the stage says itself how far it is
    tables = [blocks[k].append_column(_PART, pa.array([k] * blocks[k].num_rows, pa.int32())) for k in wanted]
    cpus = int(ray.cluster_resources().get("CPU", 1))  # type: ignore[no-untyped-call]
    actors = max(1, min(len(tables), cpus))
    mapped = ray.data.from_arrow(tables).map_batches(
        _Block,
        fn_constructor_args=(worker, settings),
        batch_size=None,
        batch_format="pyarrow",
        compute=ActorPoolStrategy(size=actors),
        num_cpus=ACTOR_CPUS,
    )
    pending: dict[int, list[pa.Table]] = {}
    batches: Iterator[Any] = iter(
        mapped.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
    )
    for batch in batches:
        for part in batch.column(_PART).unique().to_pylist():
            piece = batch.filter(pc.equal(batch.column(_PART), part)).drop_columns([_PART])
            pending.setdefault(part, []).append(piece)
            # Ray Data may cut and join batches as it likes: a block is whole when all its rows are there
            if sum(p.num_rows for p in pending[part]) == piece.column(_TOTAL)[0].as_py():
                yield part, pa.concat_tables(pending.pop(part)).drop_columns([_TOTAL])


class _Block:
    """The actor: one worker, called on whole blocks, whose output says which block it is and how long."""

    def __init__(self, worker: Callable[..., Worker], settings: dict[str, Any]) -> None:
        self._worker = worker(**settings)

    def __call__(self, rows: pa.Table) -> pa.Table:
        made = []
        for part in rows.column(_PART).unique().to_pylist():
            block = rows.filter(pc.equal(rows.column(_PART), part)).drop_columns([_PART])
            table = self._worker(block)
            number = table.num_rows
            table = table.append_column(_PART, pa.array([part] * number, pa.int32()))
            made.append(table.append_column(_TOTAL, pa.array([number] * number, pa.int64())))
        return pa.concat_tables(made)


def _plain(error: Exception) -> Exception:
    """The MienError that a worker raised, of which Ray keeps the text only; else the error as it is."""
    said = re.findall(rf"^{MienError.__module__}\.MienError: (.*)$", str(error), re.MULTILINE)
    return MienError(said[-1]) if said else error


def _scratch(
    what: str,
    blocks: Sequence[pa.Table],
    worker: Callable[..., Worker],
    settings: dict[str, Any],
    cluster: Cluster,
) -> Path:
    """The folder of finished parts for exactly these rows, settings and code."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    source = inspect.getsourcefile(worker)
    if source is None:
        raise TypeError(f"{worker} has no source file")
    package = Path(__file__).parent.parent
    for file in [
        Path(source),
        *sorted((package / "faces").glob("*.py")),
        *sorted((package / "manifest").glob("*.py")),
    ]:
        digest.update(file.read_bytes())
    for block in blocks:
        digest.update(json.dumps(block.to_pylist(), sort_keys=True, default=str).encode())
    root = Path("storage" if "://" in cluster.storage else cluster.storage)
    scratch = root / SCRATCH / f"{what.replace(' ', '-')}-{digest.hexdigest()[:16]}"
    scratch.mkdir(parents=True, exist_ok=True)
    return scratch


def _name(part: int) -> str:
    return f"part-{part:05d}.parquet"
