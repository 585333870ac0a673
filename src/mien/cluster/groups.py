"""Worker groups of Ray Train, one or several side by side, and what they report.

Imported only once this process is connected: Ray reads its environment at import.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray.train import TrainingFailedError, UserCallback
from ray.train.torch import TorchConfig, TorchTrainer
from ray.train.v2.api.config import FailureConfig, LoggingConfig, RunConfig, ScalingConfig

from mien.cluster.handout import hand_out
from mien.cluster.progress import ProgressLines
from mien.cluster.relay import Relay, Tail
from mien.cluster.worker import FAILED, Job, train_cells
from mien.config import MienError
from mien.config.train import Cell, Train
from mien.training.plan import Plan
from mien.training.reports import CellReport, OnReport

CONTROLLER_FAILURES = 3  # Ray's own default would try for ever to place a group that does not fit
LOOK_EVERY_S = 0.25
ERROR = "error.json"


def alive_nodes() -> list[str]:
    """The ids of the cluster's machines."""
    return [node["NodeID"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def room(train: Train) -> int:
    """How many worker groups the cluster can hold at a time. MienError when not one."""
    has = ray.cluster_resources()  # type: ignore[no-untyped-call]
    fits = int(has.get("CPU", 0) / (train.workers * train.cpus_per_worker))
    if train.gpu:
        fits = min(fits, int(has.get("GPU", 0) / train.workers))
    if fits < 1:
        wanted = f"{train.workers} workers of {train.cpus_per_worker:g} CPUs" + (
            " and a GPU each" if train.gpu else ""
        )
        raise MienError(
            f"train asks for {wanted}, but the cluster has {has.get('CPU', 0):g} CPUs and "
            f"{has.get('GPU', 0):g} GPUs; lower train.workers or train.cpus_per_worker."
        )
    return fits


def train_groups(
    cells: Sequence[tuple[Plan, Cell]],
    published: Mapping[str, str],
    beside: int,
    lines: ProgressLines,
    on_report: OnReport,
) -> None:
    """Train cells by `beside` worker groups, each taking the next, and pass on what they report to the end.

    published: where workers find the shards of each corpus; empty: where this process does.
    MienError: what went wrong in the first experiment that failed.
    """
    plans = list({plan.experiment: plan for plan, _ in cells}.values())
    for plan in plans:
        for name in (FAILED, ERROR):
            plan.store.delete(name)
    cluster, train = plans[0].params.cluster, plans[0].params.train
    until = time.monotonic() + cluster.stage_timeout_s * len(plans)
    handout = hand_out([_job(plan, cell, published) for plan, cell in cells])
    with tempfile.TemporaryDirectory(prefix="mien-reports-") as folder, _threads(beside) as threads:
        files = [Path(folder) / f"group{number}.jsonl" for number in range(beside)]
        running = [threads.submit(_fit, handout, number, train, file) for number, file in enumerate(files)]
        tails = [Tail(file) for file in files]
        ended = False
        while not ended:
            ended = all(future.done() for future in running)  # looked at before the last reading
            arrived = [report for tail in tails for report in tail.new()]
            lines.take(arrived)
            for report in arrived:
                on_report(report)
            if time.monotonic() > until:
                names = ", ".join(plan.experiment for plan in plans)
                raise MienError(
                    f"training {names} takes longer than cluster.stage_timeout_s = "
                    f"{cluster.stage_timeout_s} an experiment; raise it and "
                    "run again, which goes on from the last checkpoint."
                )
            if not ended:
                time.sleep(LOOK_EVERY_S)
        failed = dict(pair for future in running for pair in future.result().items())
        for plan in plans:
            raise_failed(plan, failed.get(plan.experiment), on_report)


@contextmanager
def _threads(number: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that are not waited for when the block ends by an exception: Ray's end will end them."""
    pool = ThreadPoolExecutor(number, thread_name_prefix="worker-group")
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _job(plan: Plan, cell: Cell, published: Mapping[str, str]) -> dict[str, Any]:
    """What a worker group is told of a cell."""
    return Job(
        params=plan.params.model_dump(mode="json"),
        experiment=plan.experiment,
        shards=str(plan.shards),
        published={corpus: published[corpus] for corpus in sorted(plan.corpora & published.keys())},
        store=plan.store.uri,
        checkpoints=plan.checkpoints(cell),
        cell=tuple(cell),
        epochs=list(plan.epochs),
    ).as_config()


def _fit(handout: Any, number: int, train: Train, reports: Path) -> dict[str, TrainingFailedError]:
    """One worker group to the end of all cells, begun anew where workers fail; and why, by experiment.

    Raises TrainingFailedError where no cell was the cause.
    """
    failed: dict[str, TrainingFailedError] = {}
    begun = False
    while not begun or ray.get(handout.left.remote()):
        begun = True
        try:
            fit_group(train_cells, {"handout": handout, "group": number}, train, Relay(reports))
        except TrainingFailedError as error:
            experiment = ray.get(handout.give_up.remote(number))
            if experiment is None:
                raise
            failed[experiment] = error
    return failed


def fit_group(
    run: Callable[[dict[str, Any]], None],
    config: dict[str, Any],
    train: Train,
    callback: UserCallback,
) -> None:
    """Have a worker group of Ray Train run a function on each of its workers, to the end.

    Raises TrainingFailedError after `train.max_failures`.
    """
    resources = {"CPU": train.cpus_per_worker} | ({"GPU": 1} if train.gpu else {})
    with tempfile.TemporaryDirectory(prefix="mien-ray-") as folder:
        TorchTrainer(
            run,
            train_loop_config=config,
            torch_config=TorchConfig(backend="nccl" if train.gpu else "gloo"),
            scaling_config=ScalingConfig(
                num_workers=train.workers, use_gpu=train.gpu, resources_per_worker=resources
            ),
            run_config=RunConfig(  # type: ignore[arg-type] # it is this one at run time
                storage_path=folder,  # Ray wants one and has nothing to keep: see mien.cluster.checkpoints
                failure_config=FailureConfig(
                    max_failures=train.max_failures, controller_failure_limit=CONTROLLER_FAILURES
                ),
                callbacks=[callback],
                logging_config=LoggingConfig(log_level="ERROR"),
            ),
        ).fit()


def raise_failed(plan: Plan, error: TrainingFailedError | None, on_report: OnReport) -> None:
    """Turn what went wrong into a sentence: a method's own if there is one, else the workers' last words.

    What the failed cell had not told yet is passed on first.
    """
    failed = plan.store.read_json(FAILED)
    if failed is not None:
        for line in failed["untold"]:
            on_report(CellReport.from_json(line))
        raise MienError(f"{plan.experiment} {failed['cell']}: {failed['sentence']}")
    if error is not None:
        plan.store.write_json(ERROR, {"traceback": str(error).splitlines()})
        raise MienError(
            f"training {plan.experiment} failed after {plan.params.train.max_failures} restarts "
            f"({_last_words(error)}; all of it in {plan.store.uri}/{ERROR}); mend the cause and run "
            "again, which goes on from the last checkpoint."
        ) from error


def _last_words(error: BaseException) -> str:
    words = [line.strip() for line in str(error).splitlines() if line.strip()]
    return words[-1][:300] if words else type(error).__name__
