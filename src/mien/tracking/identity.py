"""What ties a run to the code and data that made it."""

import hashlib
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow.entities import Dataset, DatasetInput, InputTag

from mien.config.train import Cell

_DIGEST_CHARACTERS = 36  # MLflow keeps no longer digest of a data set
CODE = "MIEN_CODE"
"""The variable that holds `code_tags` where the checkout itself is not."""
_SECRET = ("password", "secret", "token", "credential", "api_key", "access_key")


@dataclass(frozen=True)
class DataSet:
    """The shards that an experiment reads."""

    name: str
    digest: str  # sha256, hexadecimal
    source: str  # path or URI
    profile: Mapping[str, Any]  # counts

    def as_input(self) -> DatasetInput:
        """As MLflow shows it beside a run."""
        dataset = Dataset(
            name=self.name,
            digest=self.digest[:_DIGEST_CHARACTERS],
            source_type="local",
            source=json.dumps({"uri": self.source}),
            profile=json.dumps(dict(self.profile), sort_keys=True)[:16_000],
        )
        return DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])


@dataclass(frozen=True)
class Facts:
    """What the runs of an experiment are told at their start."""

    experiment: str
    method: str
    corpus: str
    protocol: Mapping[str, Any]
    config: Mapping[str, Any]  # all of params.yaml, resolved; an artifact
    settings: Mapping[str, Any]  # scalars of it become MLflow params
    dataset: DataSet
    cells: Sequence[Cell]
    root: Path  # of the repository

    def tags(self) -> dict[str, str]:
        """The tags of every run of this experiment."""
        protocol = json.dumps(dict(self.protocol), sort_keys=True)
        named = {
            "method": self.method,
            "corpus": self.corpus,
            "experiment": self.experiment,
            "protocol": protocol,
        }
        return {**named, "shards_digest": self.dataset.digest, **code_tags(self.root)}


def code_tags(root: Path) -> dict[str, str]:
    """Git commit (and whether files differ from it) and digest of dvc.lock; `none` where there is neither.

    On a cluster, where only a copy of the commit is: as `mien submit` has sent them in MIEN_CODE.
    """
    if sent := os.environ.get(CODE):
        return {str(key): str(value) for key, value in json.loads(sent).items()}
    lock = root / "dvc.lock"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest() if lock.is_file() else "none"
    commit = _git(root, "rev-parse", "HEAD") or "none"
    dirty = "yes" if _git(root, "status", "--porcelain", "--untracked-files=no") else "no"
    return {"git_commit": commit, "git_dirty": dirty, "dvc_lock": digest, "mlflow.source.git.commit": commit}


def scalars(tree: Mapping[str, Any], at: str = "") -> dict[str, str]:
    """The leaves of a settings tree by their dotted path, as MLflow's params; lists stay in the artifact."""
    found: dict[str, str] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            found |= scalars(value, f"{at}{key}.")
        elif value is None or isinstance(value, bool | int | float | str):
            found[f"{at}{key}"] = str(value)[:500]
    return redacted(found)


def redacted(params: Mapping[str, str]) -> dict[str, str]:
    """The same without the values of keys that sound like a secret."""
    return {
        key: "(hidden)" if any(word in key.lower() for word in _SECRET) else value
        for key, value in params.items()
    }


def _git(root: Path, *words: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *words], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
