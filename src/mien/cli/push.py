"""`mien push`: stage outputs to a DVC remote, but for what was made from a corpus whose terms forbid it.

dvc.yaml marks every output `push: false`, so that neither `dvc push` nor a git hook sends any. Which ones
may go is read off the stages: an output belongs to every corpus whose download it depends on.
"""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import networkx as nx
from dvc.exceptions import DvcException
from dvc.repo import Repo

from mien.config import MienError, Params, load_params
from mien.config.corpora import withheld

DOWNLOAD = "download@"


class Pushed(NamedTuple):
    """What went and what stayed, by output path."""

    sent: list[str]
    kept: dict[str, list[str]]  # output -> the corpora that keep it here
    files: int  # that the remote did not have


def push(root: Path, asked: Collection[str], remote: str | None) -> Pushed:
    """Send the outputs of some corpora, experiments or stages, or all that may go when none is asked for.

    MienError: what is asked for is unknown or made from a gated corpus without `allow_push`, no remote, or
    the transfer failed.
    """
    params = load_params(root / "params.yaml")
    try:
        with Repo(str(root)) as repo:
            return _push(repo, params, asked, remote)
    except DvcException as error:
        raise MienError(f"DVC cannot push: {error}; see `dvc remote add --help`.") from error


def _push(repo: Repo, params: Params, asked: Collection[str], remote: str | None) -> Pushed:
    gated = {name for name, corpus in params.corpora.items() if withheld(corpus)}
    outs = [(out, sorted(gated & set(_corpora(repo, s)))) for s in _stages(repo, asked) for out in s.outs]
    kept = {str(out): held for out, held in outs if held}
    if asked and kept:
        path, held = next(iter(kept.items()))
        raise MienError(
            f"{path} was made from {', '.join(held)}, which is gated by its owner's terms; if they allow it, "
            f"set corpora.{held[0]}.allow_push: true."
        )
    sent = [out for out, held in outs if not held]
    return Pushed([str(out) for out in sent], kept, sum(_send(repo, out, remote) for out in sent))


def _send(repo: Repo, out: Any, remote: str | None) -> int:
    """How many files of an output the remote did not have. MienError: some did not arrive."""
    files = 0
    for objects in out.get_used_objs().values():
        result = repo.cloud.push(objects, remote=remote)
        if result.failed:
            raise MienError(f"{len(result.failed)} files of {out} were not sent; try again.")
        files += len(result.transferred)
    return files


def _stages(repo: Repo, asked: Collection[str]) -> list[Any]:
    """All stages, or those whose name or item is asked for: `report`, `kdef`, `train@hsnet-kdef`."""
    stages = [stage for stage in repo.index.stages if stage.outs]
    chosen = [s for s in stages if not asked or {s.name, s.name.partition("@")[2]} & set(asked)]
    known = {word for stage in chosen for word in (stage.name, stage.name.partition("@")[2])}
    for word in asked:
        if word not in known:
            raise MienError(f"{word} is no stage, corpus or experiment of dvc.yaml and params.yaml.")
    return chosen


def _corpora(repo: Repo, stage: Any) -> Iterator[str]:
    """The corpora that a stage's outputs were made from."""
    for maker in (stage, *nx.descendants(repo.index.graph, stage)):
        if maker.name.startswith(DOWNLOAD):
            yield maker.name.removeprefix(DOWNLOAD)
