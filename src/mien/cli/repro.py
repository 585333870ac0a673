"""`mien repro`: `dvc repro`, with what several experiments train done side by side before."""

import subprocess
import sys
from contextlib import chdir
from pathlib import Path

from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.stage.cache import RunCacheNotFoundError

from mien.cli.stages import run_dvc
from mien.config import MienError, load_params

TRAIN = "train@"


def reproduce(root: Path) -> int:
    """Bring every stage up to date; the exit code of what failed, or 0.

    Cells that are trained here are kept in the storage, where their stages find them: figures are those of
    `dvc repro` alone.
    """
    params = load_params(root / "params.yaml")
    if len(params.experiments) > 1:
        before = [f"shard@{name}" for name in params.corpora]
        before += [f"tune@{name}" for name in params.experiments]
        if code := run_dvc(root, "repro", *before):
            return code
        if len(stale := stale_experiments(root)) > 1:
            words = [sys.executable, "-m", "mien.cli.together", "data/shards", "tuned", *stale]
            if code := subprocess.run(words, cwd=root, check=False).returncode:
                return code
    return run_dvc(root, "repro")


def stale_experiments(root: Path) -> list[str]:
    """Experiments whose stage `train` has to run, and does not find its outputs among DVC's former runs.

    MienError: DVC cannot read the checkout.
    """
    found = []
    try:
        with chdir(root), Repo() as repo, repo.lock:  # it names stages from where it stands
            for stage in repo.index.stages:
                name = getattr(stage, "name", "")  # a file of `dvc add` has none
                if name.startswith(TRAIN) and stage.changed():
                    try:
                        repo.stage_cache.restore(stage)  # as `dvc repro` will
                    except RunCacheNotFoundError:
                        found.append(name.removeprefix(TRAIN))
    except DvcException as error:
        raise MienError(
            f"DVC cannot tell which experiments are out of date: {' '.join(str(error).split())}."
        ) from error
    return found
