"""What `mien submit` has run on the cluster's head: stages, one after another, in a copy of the commit.

`python -m mien.cluster.job` in the folder that Ray has unpacked. What a stage makes goes into the storage.
"""

import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from mien.cluster.session import ADDRESS
from mien.config import MienError, run_stage
from mien.training.published import view
from mien.training.storage import SEAL, Storage

ORDER = "order.json"
DELIVERED = "delivered"
MLFLOW = "MLFLOW_TRACKING_URI"


@dataclass(frozen=True)
class Stage:
    """One stage of dvc.yaml."""

    name: str
    command: tuple[str, ...]
    out: str  # the folder that it makes, from the checkout's root


@dataclass(frozen=True)
class Order:
    """What is to be run; plain values, since it travels."""

    name: str  # of what it orders: equal orders have equal names
    storage: str
    cache_mb: int
    shards: dict[str, str]  # folder from the checkout's root -> address
    stages: tuple[Stage, ...]

    def to_json(self) -> str:
        """As it lies in the package."""
        return json.dumps(asdict(self), indent=2, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Order":
        """The inverse of `to_json`."""
        raw = json.loads(text)
        stages = tuple(Stage(s["name"], tuple(s["command"]), s["out"]) for s in raw["stages"])
        return cls(**(raw | {"stages": stages}))

    def delivery(self, stage: Stage) -> str:
        """Where in the storage a stage's output is put."""
        return f"{DELIVERED}/{self.name}/{stage.name}"


def main() -> None:
    """Run the order in this process's working folder; ends with the code of the first stage that fails."""
    if not os.environ.get(MLFLOW):
        raise MienError(
            f"the head of the cluster has no {MLFLOW}, so the runs would be lost; start it with one."
        )
    order = Order.from_json(Path(ORDER).read_text(encoding="utf-8"))
    storage = Storage(order.storage)
    with tempfile.TemporaryDirectory(prefix="mien-job-") as scratch:
        here = Path(scratch) / "checkout"  # Ray shares the unpacked folder among jobs of one commit
        shutil.copytree(Path.cwd(), here, ignore=shutil.ignore_patterns("__pycache__"))
        for folder, address in order.shards.items():
            view(address, here / folder, order.cache_mb)
        for stage in order.stages:
            if storage.read_json(f"{order.delivery(stage)}/{SEAL}") is not None:
                continue  # an earlier attempt got this far
            logging.info("%s: %s", stage.name, " ".join(stage.command))
            done = subprocess.run(_runnable(stage.command), cwd=here, env=_environment(), check=False)
            if done.returncode:
                sys.exit(done.returncode if done.returncode > 0 else 128 - done.returncode)
            storage.put(here / stage.out, order.delivery(stage))


def _runnable(command: tuple[str, ...]) -> list[str]:
    return [sys.executable if word == "python" and at == 0 else word for at, word in enumerate(command)]


def _environment() -> dict[str, str]:
    """A stage connects to the cluster that this job runs on, and imports the commit's own sources."""
    return {**os.environ, ADDRESS: os.environ["RAY_ADDRESS"]}


if __name__ == "__main__":
    run_stage(main)
