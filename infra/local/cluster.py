"""Bringing the local cluster up and down: all of it, or nothing."""

import fcntl
import hashlib
import os
import shlex
import shutil
from pathlib import Path

from infra.local.processes import ENVIRONMENT, STATE, Processes, write_private
from infra.local.ray_nodes import start_ray
from infra.local.servers import start_mlflow, start_objects, start_postgres

from mien.config import MienError

ROOT = Path(__file__).resolve().parents[2]


def state_folder(root: Path = ROOT) -> Path:
    """Where a checkout's cluster keeps ids, logs and secrets; short, as a socket's path ends at 107 bytes."""
    return Path("/tmp") / f"mien-{os.getuid()}" / hashlib.sha256(str(root).encode()).hexdigest()[:8]


def up(folder: Path) -> dict[str, str]:
    """Start everything that is not up yet; returns the environment of a client. MienError: it is half up."""
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid() or folder.stat().st_mode & 0o077:
        raise MienError(f"{folder} is open to others; remove it and start again.")
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / ENVIRONMENT).is_file():
            _refuse_broken(folder)
            return read_environment(folder)
        _end_leftovers(folder)
        try:
            return _start(folder)
        except BaseException:
            _end_leftovers(folder)  # the logs stay
            raise


def down(folder: Path) -> list[str]:
    """End everything and remove the folder; returns the names of what still ran."""
    if not folder.is_dir():
        return []
    return _stop(folder)


def read_environment(folder: Path) -> dict[str, str]:
    """What `up` left for clients: addresses, names and passwords."""
    lines = (folder / ENVIRONMENT).read_text(encoding="utf-8").splitlines()
    pairs = (shlex.split(line.removeprefix("export "))[0].split("=", 1) for line in lines)
    return dict(pairs)


def _start(folder: Path) -> dict[str, str]:
    processes = Processes(folder)
    database = start_postgres(processes)
    s3 = start_objects(processes)
    served = s3 | start_mlflow(processes, database, s3)
    environment = served | start_ray(processes, served)
    lines = (f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())
    write_private(folder / ENVIRONMENT, "".join(lines))
    return environment


def _end_leftovers(folder: Path) -> None:
    """End what an `up` that did not come to its end has started."""
    if (folder / STATE).is_file():
        _end(Processes(folder))
        (folder / STATE).unlink()


def _stop(folder: Path) -> list[str]:
    processes = Processes(folder)
    running = list(processes.alive())
    _end(processes)
    shutil.rmtree(folder, ignore_errors=True)
    return running


def _end(processes: Processes) -> None:
    processes.end()
    for scratch in processes.scratch():
        shutil.rmtree(scratch, ignore_errors=True)


def _refuse_broken(folder: Path) -> None:
    processes = Processes(folder)
    if gone := [name for name in processes.names() if name not in processes.alive()]:
        raise MienError(f"{', '.join(gone)} of the cluster ended; run `make cluster-stop`, then start again.")
