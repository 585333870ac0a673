"""`mien promote` and `mien rollback`: who is champion, from the words of a command line."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlflow import MlflowClient

from mien.config import MienError, Params, load_params
from mien.tracking.promotion import judged_before, promote, refuse_other_faces, resolve, rollback
from mien.tracking.records import Record
from mien.tracking.server import UNREACHABLE, connect, shown
from mien.tracking.trial import Trial

DATA, RUNS = "data", "runs"


def promote_version(root: Path, words: str, refreeze: bool = False) -> Record:
    """Compare a version (words: an experiment's name, a model's, models:/NAME/3) with the champion."""
    params = load_params(root / "params.yaml")
    refuse_one_class(params, words)
    client = connect(root)
    with told_if_away(client):
        model, number = resolve(client, words)
        return challenge_champion(client, root, params, model, number, refreeze)


def refuse_one_class(params: Params, words: str) -> None:
    """MienError: it is an experiment that learns one class at a time, of which there is no single model."""
    entry = params.experiments.get(words)
    if entry is not None and entry.trials:
        raise MienError(
            f"{words} learns one class at a time: none of its models names expressions, so that none can be "
            "champion; hold it against another one-class experiment with `mien compare`."
        )


def rollback_model(root: Path, words: str) -> Record:
    """Give the alias back to the champion before this one."""
    client = connect(root)
    with told_if_away(client):
        return rollback(client, root, resolve(client, words)[0])


def challenge_champion(
    client: MlflowClient,
    root: Path,
    params: Params,
    model: str,
    number: int,
    refreeze: bool = False,
    once: bool = False,
) -> Record:
    """Let a version of a model meet its champion on the frozen faces; the record of what came of it.

    once: if it has met this champion on these faces by this rule, the record of that is given again.
    """
    trial = Trial(client, root, params, root / DATA, model, number)
    if once and (before := judged_before(client, model, number, trial.manifest)) is not None:
        return before
    refuse_other_faces(client, model, trial.manifest, refreeze)
    attached = trial.attached(root / RUNS)
    return promote(client, root, model, number, trial.manifest, trial.examine, attached, refreeze)


@contextmanager
def told_if_away(client: MlflowClient) -> Iterator[None]:
    """A server that does not answer, or refuses, becomes one sentence."""
    try:
        yield
    except UNREACHABLE as error:
        told = " ".join(str(error).split())[:200]
        raise MienError(
            f"MLflow at {shown(client.tracking_uri)} did not do it ({told}); see that it runs, and try again."
        ) from error
