"""Keeps one local Ray while another process lives: `python -m mien.cluster.keeper FOLDER PID CREATED MB`.

It never says `ray stop`, which would end every Ray of the machine: it ends its own children.
"""

import contextlib
import json
import logging
import os
import shutil
import signal
import sys
import time
import types
from pathlib import Path

import psutil

from mien.cluster.environment import prepare_environment, use_token
from mien.cluster.session import FAILED, SESSION, TOKEN

LOOK_EVERY_S = 0.25
GRACE_S = 3.0


def main(folder: Path, owner_pid: int, owner_created: float, object_store_mb: int) -> None:
    """Start Ray, publish its address in FOLDER, wait for the owner's end, and leave nothing behind."""
    prepare_environment()
    use_token(str(folder / TOKEN))
    signal.signal(signal.SIGTERM, _leave)
    try:
        _publish(folder, _start_ray(folder, object_store_mb))
    except BaseException:
        _end_children()
        (folder / FAILED).touch()  # who started this process reads the log and clears up
        raise
    try:
        while _alive(owner_pid, owner_created):
            time.sleep(LOOK_EVERY_S)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _end_children()
        shutil.rmtree(folder, ignore_errors=True)
        (folder.parent / f"{folder.name}.lock").unlink(missing_ok=True)


def _start_ray(folder: Path, object_store_mb: int) -> str:
    import ray  # after the environment is set

    ray.init(
        num_cpus=len(os.sched_getaffinity(0)),
        object_store_memory=object_store_mb << 20,
        include_dashboard=False,
        _temp_dir=str(folder),
        logging_level=logging.WARNING,
        log_to_driver=False,
    )
    return str(ray.get_runtime_context().gcs_address)


def _publish(folder: Path, address: str) -> None:
    session = {"address": address, "keeper": os.getpid(), "created": psutil.Process().create_time()}
    scratch = folder / f".{SESSION}"
    scratch.write_text(json.dumps(session), encoding="utf-8")
    scratch.replace(folder / SESSION)


def _alive(pid: int, created: float) -> bool:
    try:
        owner = psutil.Process(pid)
        return bool(owner.create_time() == created and owner.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _end_children() -> None:
    """End every process below this one, first kindly."""
    below = psutil.Process().children(recursive=True)
    for process in below:
        _signal(process, signal.SIGTERM)
    _, staying = psutil.wait_procs(below, timeout=GRACE_S)
    for process in staying:
        _signal(process, signal.SIGKILL)
    psutil.wait_procs(staying, timeout=GRACE_S)


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)  # psutil makes sure that the id still means the same process


def _leave(number: int, frame: types.FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
