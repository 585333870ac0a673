"""The processes of the local cluster: written down before the next one starts, so that none is forgotten."""

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from mien.config import MienError

STATE, ENVIRONMENT = "cluster.json", "cluster.env"
START_S, GRACE_S, LOOK_EVERY_S = 120.0, 15.0, 0.2


class Processes:
    """What was started in a private folder: name, process id and start time of each, in order of starting."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self._state: dict[str, Any] = json.loads((folder / STATE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            self._state = {"started": [], "scratch": []}

    def start(
        self,
        name: str,
        words: Sequence[str],
        environment: Mapping[str, str],
        user: str | None = None,
        stop: signal.Signals = signal.SIGTERM,
    ) -> psutil.Process:
        """Start a server in a session of its own, its output in NAME.log; `user` is for what refuses root.

        stop: what it takes as the order to end without waiting for its clients.
        """
        with (self.folder / f"{name}.log").open("ab") as log:
            started = subprocess.Popen(
                words,
                cwd="/",
                env=dict(environment),
                user=user,
                group=user,
                extra_groups=[] if user else None,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        process = psutil.Process(started.pid)
        self._state["started"].append(
            {"name": name, "pid": process.pid, "created": process.create_time(), "stop": int(stop)}
        )
        self._save()
        return process

    def keep_scratch(self, folder: Path) -> None:
        """Remember a folder outside this one, which goes when the cluster goes."""
        self._state["scratch"].append(str(folder))
        self._save()

    def alive(self) -> dict[str, psutil.Process]:
        """The started processes that still run, by name."""
        return {
            one["name"]: process for one in self._state["started"] if (process := _living(one)) is not None
        }

    def names(self) -> list[str]:
        """All that was started, in order."""
        return [one["name"] for one in self._state["started"]]

    def scratch(self) -> list[Path]:
        """The folders outside this one."""
        return [Path(folder) for folder in self._state["scratch"]]

    def end(self) -> None:
        """End all, the newest first, with everything below them; kindly, then not."""
        ending, below = [], []
        for one in reversed(self._state["started"]):
            if (process := _living(one)) is not None:
                below += _below(process)
                ending.append(process)
                _signal(process, signal.Signals(one["stop"]))
        psutil.wait_procs(ending, timeout=GRACE_S)
        for left in [*ending, *below]:
            _signal(left, signal.SIGKILL)
        psutil.wait_procs([*ending, *below], timeout=GRACE_S)

    def wait_for(self, name: str, process: psutil.Process, is_ready: Callable[[], bool]) -> None:
        """Return as soon as a server answers. MienError with its last words: it ended, or it is too slow."""
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
                break
            if is_ready():
                return
            time.sleep(LOOK_EVERY_S)
        log = self.folder / f"{name}.log"
        said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise MienError(f"{name} did not start ({said[-1] if said else 'no word from it'}); {log} has more.")

    def _save(self) -> None:
        write_private(self.folder / STATE, json.dumps(self._state, indent=2))


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    scratch = path.with_name(f".{path.name}.part")
    scratch.unlink(missing_ok=True)
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    scratch.replace(path)


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """Ports that nobody listens on; all are held until the last is found, so that they differ."""
    with contextlib.ExitStack() as held:
        found = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in found:
            one.bind((host, 0))
        return [int(one.getsockname()[1]) for one in found]


def new_secret() -> str:
    """A password that needs no quoting in a URI, a shell or an INI file."""
    return secrets.token_hex(24)


def _living(one: Mapping[str, Any]) -> psutil.Process | None:
    try:
        process = psutil.Process(one["pid"])
        same = process.create_time() == one["created"] and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return None
    return process if same else None


def _below(process: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.children(recursive=True)  # some have sessions of their own
    return []


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)  # psutil makes sure that the id still means the same process
