"""The model on Ray Serve: replicas that put what arrives together into one batch.

Serve's own HTTP proxy stays off. It takes in an upload of any size before an application may refuse it,
tells its routes to anyone and lets no header be set on its own answers; so mien.cluster.serving.front asks
the replicas by handle.
"""

import asyncio
import logging
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mien.cluster.serving.memory import Heap
from mien.cluster.session import connect
from mien.config import MienError
from mien.config.serve import Serve
from mien.config.train import Cluster

APPLICATION = "mien"
UNREADABLE = "unreadable"
"""Key of an answer to what turned out to be no picture while it was decoded; its value is the reason."""


class NotAnswering(Exception):  # noqa: N818 - a state that passes, not a fault of the program
    """The model does not answer now: it is being restarted, or too busy."""


class Replica:
    """One process with the model in it."""

    def __init__(self, files: Mapping[str, bytes], opened: str, settings: Serve) -> None:
        """`opened` names the one of the files that is the model; empty: all of them are."""
        import torch
        from ray import serve

        from mien.evaluation.inference import Predictor

        torch.set_num_threads(settings.cpus_per_replica)
        with tempfile.TemporaryDirectory(prefix="mien-model-") as folder:
            for name, data in files.items():
                (Path(folder) / name).write_bytes(data)
            self._predictor = Predictor(Path(folder) / opened, landmarks=True)
        self._heap = Heap()
        gather = serve.batch(
            max_batch_size=settings.batch_pictures, batch_wait_timeout_s=settings.batch_wait_s
        )
        self._gathered = gather(self._together)

    async def classes(self) -> list[str]:
        """The expressions that it tells apart; also a sign of life, which waits for no picture."""
        return list(self._predictor.classes)

    async def answer(self, upload: bytes) -> dict[str, Any]:
        """What `Answer.told` says of one picture, with its width, height and the size of its batch."""
        answer: dict[str, Any] = await self._gathered(upload)
        return answer

    async def _together(self, uploads: list[bytes]) -> list[dict[str, Any]]:
        # in a thread, so that signs of life are given meanwhile
        return await asyncio.to_thread(self._predict, uploads)

    def _predict(self, uploads: Sequence[bytes]) -> list[dict[str, Any]]:
        from mien.evaluation.inference import decoded
        from mien.manifest.pictures import Reject

        told = [
            {UNREADABLE: str(picture), "batch": len(uploads)}
            if isinstance(picture, Reject)
            else answer.told()
            | {"width": picture.shape[1], "height": picture.shape[0], "batch": len(uploads)}
            for picture, answer in self._predictor.stream(decoded(upload) for upload in uploads)
        ]
        self._heap.give_back()
        return told


class Model:
    """The replicas, asked from an event loop."""

    def __init__(self, handle: Any, answer_s: float) -> None:
        self._handle, self._answer_s = handle, answer_s

    async def answer(self, upload: bytes) -> dict[str, Any]:
        """As Replica.answer. NotAnswering: a replica died over it, or time ran out."""
        return dict(await self._await(self._handle.answer.remote(upload)))

    async def classes(self) -> list[str]:
        """As Replica.classes. NotAnswering: no replica gives a sign of life."""
        return list(await self._await(self._handle.classes.remote()))

    async def _await(self, response: Any) -> Any:
        from ray.exceptions import RayActorError
        from ray.serve.exceptions import RayServeException

        try:
            return await asyncio.wait_for(response, self._answer_s)
        except TimeoutError as error:
            response.cancel()
            raise NotAnswering("the model did not answer in time") from error
        except (RayActorError, RayServeException) as error:
            raise NotAnswering("the model is being restarted") from error


@contextmanager
def deployed(model: Path, settings: Serve) -> Iterator[Model]:
    """A model's folder, or its exported file, on a Ray that is gone with the block.

    MienError: it cannot be loaded, or there is no room for that many replicas.
    """
    os.environ.setdefault("RAY_SERVE_LOG_TO_STDERR", "0")
    found = model.parent.glob(f"{model.name}*") if model.is_file() else model.iterdir()
    files = {path.name: path.read_bytes() for path in found if path.is_file()}
    # twice what may wait, so that Ray never moves an upload from memory to the disk
    with connect(Cluster(object_store_mb=max(128, round(2 * settings.waiting_mb)))):
        import ray
        from ray import serve

        has = ray.cluster_resources()  # type: ignore[no-untyped-call]
        refuse_too_many(settings, has.get("CPU", 0.0))
        logging.getLogger("ray.serve").setLevel(logging.ERROR)
        quiet = {"log_level": "ERROR", "enable_access_log": False}
        serve.start(proxy_location="Disabled", logging_config=quiet)
        try:
            application = serve.deployment(
                num_replicas=settings.replicas,
                ray_actor_options={"num_cpus": settings.cpus_per_replica},
                # a batch in work and one that gathers; the rest for signs of life
                max_ongoing_requests=2 * settings.batch_pictures + 8,
                logging_config=quiet,
            )(Replica).bind(files, model.name if model.is_file() else "", settings)
            yield Model(_run(application, model), settings.answer_s)
        finally:
            serve.delete(APPLICATION)  # and not `shutdown`: a cluster may serve others too


def refuse_too_many(settings: Serve, cpus: float) -> None:
    """MienError: the replicas need more CPUs than Ray has, which Serve would wait for without a word."""
    needed = settings.replicas * settings.cpus_per_replica
    if needed > cpus:
        raise MienError(
            f"serve.replicas = {settings.replicas} of serve.cpus_per_replica = {settings.cpus_per_replica} "
            f"need {needed} CPUs and Ray has {cpus:g}; lower one of them."
        )


def _run(application: Any, model: Path) -> Any:
    from ray import serve

    try:
        return serve.run(application, name=APPLICATION, route_prefix=None)
    except RuntimeError as error:
        said = str(error).strip().splitlines()
        raise MienError(f"{model} could not be served ({said[-1] if said else 'no word why'}).") from error
