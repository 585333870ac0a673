"""One local Ray for all stages of a `dvc repro`, gone with it; or a cluster that is already there.

A stage cannot own that Ray, since the next stage wants it too, and `dvc repro` does not know Ray. So the
first stage that connects starts a keeper (mien.cluster.keeper) in a session of its own, which starts Ray,
watches the `dvc repro` (or, without one, the process that asked) and ends Ray as soon as that is gone,
however it went.
"""

import fcntl
import hashlib
import json
import logging
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from mien.cluster.environment import prepare_environment, prepare_local, use_token
from mien.config import MienError
from mien.config.train import Cluster

ADDRESS = "MIEN_RAY_ADDRESS"
ANSWER_S, START_S = 10, 120
SESSION, TOKEN, LOG, FAILED = "session.json", "token", "keeper.log", "failed"


@contextmanager
def connect(cluster: Cluster) -> Iterator[None]:
    """Be connected to Ray inside the block: at MIEN_RAY_ADDRESS, `cluster.address`, or this run's own.

    A process that is already connected stays as it is. MienError: the cluster cannot be reached or started.
    """
    prepare_environment()
    address = os.environ.get(ADDRESS) or cluster.address
    if address is None:
        folder = session_folder(watched())
        address = _join_or_start(folder, cluster.object_store_mb)
        use_token(str(folder / TOKEN))
        prepare_local()
    else:
        _refuse_silent(address)
    import ray  # only now, because it reads the environment at import

    if ray.is_initialized():
        yield
        return
    try:
        ray.init(address=address, logging_level=logging.WARNING, log_to_driver=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise MienError(
            f"Ray at {address} does not answer ({error}); check cluster.address and {ADDRESS}."
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def watched() -> psutil.Process:
    """Whose end ends the local Ray: the outermost `dvc repro` or `dvc exp` above, else this process."""
    here = psutil.Process()
    return next((p for p in reversed(here.parents()) if _is_dvc_run(p)), here)


def session_folder(owner: psutil.Process) -> Path:
    """Where the Ray of an owner keeps address and sockets: short, as a socket's path ends at 107 bytes."""
    name = hashlib.sha256(f"{owner.pid} {owner.create_time()}".encode()).hexdigest()[:12]
    temporary = Path(tempfile.gettempdir())
    base = temporary if len(str(temporary)) <= 24 else Path("/tmp")
    return base / f"mien-{os.getuid()}" / name


def _refuse_silent(address: str) -> None:
    """MienError unless something listens at HOST:PORT; Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise MienError(f"{address!r} is not HOST:PORT; mend cluster.address or {ADDRESS}.")
    try:
        socket.create_connection((host, int(port)), timeout=ANSWER_S).close()
    except OSError as error:
        raise MienError(
            f"Ray at {address} does not answer ({error}); check cluster.address and {ADDRESS}."
        ) from error


def _is_dvc_run(process: psutil.Process) -> bool:
    try:
        words = process.cmdline()
    except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
        return False
    for at, word in enumerate(words[:3]):
        if Path(word).name == "dvc" or (word == "dvc" and words[at - 1] == "-m"):
            return bool({"repro", "exp"} & set(words[at + 1 :]))
    return False


def _join_or_start(folder: Path, object_store_mb: int) -> str:
    """The address of the owner's Ray, started under a lock if nobody has yet."""
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.parent.chmod(0o700)
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = _address(folder)
        if found is None:
            folder.mkdir(mode=0o700, exist_ok=True)
            _start_keeper(folder, object_store_mb)
            found = _wait_for(folder)
    return found


def _address(folder: Path) -> str | None:
    try:
        session = json.loads((folder / SESSION).read_text(encoding="utf-8"))
        keeper = psutil.Process(session["keeper"])
    except (FileNotFoundError, psutil.NoSuchProcess):
        return None
    return str(session["address"]) if keeper.create_time() == session["created"] else None


def _start_keeper(folder: Path, object_store_mb: int) -> None:
    owner = watched()
    (folder / SESSION).unlink(missing_ok=True)
    token = folder / TOKEN
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32), encoding="ascii")
    words = [
        sys.executable,
        "-m",
        "mien.cluster.keeper",
        str(folder),
        str(owner.pid),
        repr(owner.create_time()),
        str(object_store_mb),
    ]
    with (folder / LOG).open("wb") as log:
        subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)


def _wait_for(folder: Path) -> str:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        found = _address(folder)
        if found is not None:
            return found
        if (folder / FAILED).exists():
            break
        time.sleep(0.1)
    said = (folder / LOG).read_text(errors="replace").strip().splitlines()
    if (folder / FAILED).exists():
        shutil.rmtree(folder, ignore_errors=True)
    raise MienError(
        f"the local Ray did not start ({said[-1] if said else 'no word from it'}); `mien doctor` may say why."
    )
