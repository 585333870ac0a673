"""An order as a job of Ray's job server: submitted once, followed, found again, cancelled."""

import asyncio
import ipaddress
import logging
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiohttp import ClientError

from mien.cluster.environment import prepare_environment
from mien.cluster.job import Order
from mien.config import MienError

ADDRESS = "RAY_API_SERVER_ADDRESS"
DEFAULT = "http://127.0.0.1:8265"
STOPPED = 130
LOOK_EVERY_S = 1.0
PATIENCE_S = 60.0
"""How long the job server may be away before its job is given up from sight; the job itself goes on."""


@dataclass(frozen=True)
class Package:
    """The commit and the order, ready to be sent."""

    order: Order
    archive: Path  # zip
    environment: dict[str, str]  # of the job; no secrets, as whoever sees the dashboard sees it


def run(package: Package, address: str | None) -> int:
    """Submit an order, or join the job that runs it already, and follow it to its end; its exit code.

    130 when the job was stopped, by Ctrl-C here or by somebody else. MienError: the server is away, wants a
    token or would be spoken to without one outside the loopback.
    """
    jobs = _Jobs(address)
    name = jobs.running(package.order.name)
    if name is None:
        name = jobs.submit(package)
        _say(f"{name}: submitted to {jobs.address}")
    else:
        _say(f"{name}: is running at {jobs.address} already; following it")
    try:
        return jobs.follow(name)
    except KeyboardInterrupt:
        _say(f"{name}: stopping; what is trained so far is kept, the same command goes on from it")
        jobs.stop(name)
        return STOPPED


def server_address(address: str | None) -> str:
    """The job server's address: as given, RAY_API_SERVER_ADDRESS, or Ray's own default on loopback.

    MienError: no address, or one outside the loopback while no token is set.
    """
    found = address or os.environ.get(ADDRESS) or DEFAULT
    parts = urlsplit(found if "://" in found else f"http://{found}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise MienError(f"{found!r} is not http://HOST:PORT of a Ray dashboard; mend --address or {ADDRESS}.")
    token = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    if not _on_loopback(parts.hostname) and not (token and os.environ.get("RAY_AUTH_MODE") == "token"):
        raise MienError(
            f"{found} is not on loopback and no token is set: whoever reaches it could run anything there; "
            "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH, or forward its port to 127.0.0.1."
        )
    return f"{parts.scheme}://{parts.netloc}"


def _on_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _Jobs:
    """The jobs of one server that are attempts at orders: ORDER-1, ORDER-2, ... ."""

    def __init__(self, address: str | None) -> None:
        prepare_environment()
        self.address = server_address(address)
        os.environ[ADDRESS] = self.address  # Ray lets the variable overrule what it is given
        logging.getLogger("ray").setLevel(logging.ERROR)
        from ray.exceptions import AuthenticationError
        from ray.job_submission import JobStatus, JobSubmissionClient

        for chatty in ("ray.dashboard.modules.job.sdk", "ray.dashboard.modules.dashboard_sdk"):
            logging.getLogger(chatty).setLevel(logging.WARNING)
        self._done = (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.STOPPED)
        self._status = JobStatus
        self._seen = 0  # characters of the followed job's log that have been printed
        try:
            self._client = JobSubmissionClient(self.address)
        except AuthenticationError as error:
            raise MienError(
                f"Ray at {self.address} wants its token; set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH."
            ) from error
        except (ConnectionError, RuntimeError, OSError) as error:
            raise MienError(
                f"Ray's job server at {self.address} does not answer ({error}); check --address or {ADDRESS}."
            ) from error

    def running(self, order: str) -> str | None:
        """The newest attempt at an order, if it has not ended."""
        attempts = self._attempts(order)
        return attempts[-1][1] if attempts and attempts[-1][2] not in self._done else None

    def submit(self, package: Package) -> str:
        """Start the next attempt; its name."""
        number = max((attempt for attempt, _, _ in self._attempts(package.order.name)), default=0) + 1
        name = f"{package.order.name}-{number}"
        try:
            self._client.submit_job(
                entrypoint="python -m mien.cluster.job",
                submission_id=name,
                runtime_env={
                    "working_dir": str(package.archive),
                    "env_vars": {"PYTHONPATH": "src", **package.environment},
                },
                metadata={"stages": " ".join(stage.name for stage in package.order.stages)},
            )
        except RuntimeError as error:
            if any(name == other for _, other, _ in self._attempts(package.order.name)):
                return name  # somebody else was quicker
            raise MienError(f"Ray at {self.address} refuses the job: {_first_line(error)}") from error
        return name

    def follow(self, name: str) -> int:
        """Print what a job prints until it ends; its exit code."""
        lost_at = None
        while True:
            try:
                asyncio.run(self._tail(name))
                job = self._client.get_job_info(name)
            except (RuntimeError, OSError, ClientError) as error:
                lost_at = lost_at or time.monotonic()
                if time.monotonic() - lost_at > PATIENCE_S:
                    raise MienError(
                        f"{name}: {self.address} is gone ({_first_line(error)}); if the cluster is still "
                        "there, the same command follows the job again."
                    ) from error
            else:
                lost_at = None
                if job.status in self._done:
                    return self._code(name, job)
            time.sleep(LOOK_EVERY_S)

    def stop(self, name: str) -> None:
        """Have a job stopped and wait until it is. MienError: the server is away, or the job does not end."""
        until = time.monotonic() + PATIENCE_S
        try:
            self._client.stop_job(name)
            while self._client.get_job_status(name) not in self._done:
                if time.monotonic() > until:
                    raise MienError(f"{name} was told to stop and still runs after {PATIENCE_S:g} s.")
                time.sleep(LOOK_EVERY_S)
        except (RuntimeError, OSError) as error:
            raise MienError(
                f"{name}: {self.address} is gone ({_first_line(error)}), so the job may run on; the same "
                "command follows it again, and Ctrl-C then stops it."
            ) from error

    def _code(self, name: str, job: Any) -> int:
        code = job.driver_exit_code
        if job.status == self._status.STOPPED:
            _say(f"{name}: was stopped")
            return STOPPED
        if job.status == self._status.SUCCEEDED:
            return 0
        if code is None:  # it did not come to an end of its own
            _say(f"{name}: {_first_line(job.message)}")
            return 1
        _say(f"{name}: failed with exit code {code}; the same command goes on from what is trained so far")
        return int(code) if code > 0 else 128 - int(code)

    def _attempts(self, order: str) -> list[tuple[int, str, object]]:
        """Number, name and status of every attempt at an order, in order."""
        found = []
        for job in self._client.list_jobs():
            ordered, _, number = (job.submission_id or "").rpartition("-")
            if ordered == order and number.isdigit():
                found.append((int(number), f"{ordered}-{number}", job.status))
        return sorted(found)

    async def _tail(self, name: str) -> None:
        """Print what is new in a job's log until the server ends it."""
        read = 0  # the server begins anew with every connection
        async for chunk in self._client.tail_job_logs(name):
            sys.stdout.write(chunk[max(0, self._seen - read) :])
            sys.stdout.flush()
            read += len(chunk)
            self._seen = max(self._seen, read)


def _first_line(error: object) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__


def _say(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")
    sys.stderr.flush()
