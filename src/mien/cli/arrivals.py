"""What a corpus is made from, as DVC sees it: equal digests mean that nothing has arrived or changed."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dvc.dependency.param import ParamsDependency
from dvc.exceptions import DvcException
from dvc.repo import Repo

from mien.cli.push import DOWNLOAD
from mien.config import MienError, Params


def arrived(root: Path, params: Params, corpora: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Per corpus the digest of its source, and what params.yaml says of it.

    DVC remembers the digests of files that it has seen, so a second look reads only what is new. MienError:
    a source is not there.
    """
    found: dict[str, dict[str, Any]] = {}
    try:
        with Repo(str(root)) as repo:
            stages = {stage.name: stage for stage in repo.index.stages}
            for name in corpora:
                source = os.path.normpath(root / params.corpora[name].source)
                found[name] = _told(stages[f"{DOWNLOAD}{name}"], source)
    except FileNotFoundError as error:
        raise MienError(f"{error.filename or error} is not there, which a corpus is made from.") from error
    except DvcException as error:
        raise MienError(f"DVC cannot read dvc.yaml or a source: {error}.") from error
    return found


def _told(stage: Any, source: str) -> dict[str, Any]:
    told = {}
    for dep in stage.deps:
        if isinstance(dep, ParamsDependency):
            told["params"] = dep.get_hash().value
        elif os.path.normpath(dep.fs_path) == source:
            told["source"] = dep.get_hash().value
    return told
