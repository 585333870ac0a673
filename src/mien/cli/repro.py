"""`mien repro`: `dvc repro`, with what several experiments need done side by side before."""

import subprocess
import sys
from contextlib import chdir
from pathlib import Path

from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.stage.cache import RunCacheNotFoundError

from mien.cli.stages import LEFT, repro_beside, run_dvc
from mien.config import MienError, load_params

CHAIN = ("train", "evaluate", "register")


def reproduce(root: Path) -> int:
    """Bring every stage up to date; the exit code of what failed, or 0.

    Cells that are trained here are kept in the storage, where their stages find them: figures are those of
    `dvc repro` alone. Such stages take one core each, so they run side by side too.
    """
    params = load_params(root / "params.yaml")
    if len(params.experiments) > 1:
        before = [f"shard@{name}" for name in params.corpora]
        before += [f"tune@{name}" for name in params.searches]  # each takes the whole machine
        if code := run_dvc(root, "repro", *before):
            return code
        if code := repro_beside(root, *([f"tune@{name}"] for name in stale_experiments(root, "tune"))):
            return code
        if len(stale := stale_experiments(root, "train")) > 1:
            words = [sys.executable, "-m", "mien.cli.together", "data/shards", "tuned", *stale]
            code = subprocess.run(words, cwd=root, check=False).returncode
            if not code:
                code = repro_beside(root, *([f"{stage}@{name}" for stage in CHAIN] for name in stale))
            if code not in (0, LEFT):
                return code
    return run_dvc(root, "repro")


def stale_experiments(root: Path, stage: str) -> list[str]:
    """Experiments whose `stage` has to run, and does not find its outputs among DVC's former runs.

    MienError: DVC cannot read the checkout.
    """
    found = []
    try:
        with chdir(root), Repo() as repo, repo.lock:  # it names stages from where it stands
            for each in repo.index.stages:
                name, _, experiment = getattr(each, "name", "").partition("@")  # a file of `dvc add` has none
                if name == stage and each.changed():
                    try:
                        repo.stage_cache.restore(each)  # as `dvc repro` will
                    except RunCacheNotFoundError:
                        found.append(experiment)
    except DvcException as error:
        raise MienError(
            f"DVC cannot tell which experiments are out of date: {' '.join(str(error).split())}."
        ) from error
    return found
