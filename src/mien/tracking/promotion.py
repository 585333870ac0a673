"""The alias `champion`: who gets it, how it moves, and how it moves back."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from mien.config import MienError
from mien.evaluation.challenge import Verdict
from mien.tracking.records import (
    ALREADY,
    KEPT,
    PROMOTED,
    ROLLED_BACK,
    Record,
    before_last,
    history,
    open_record,
    settle,
)
from mien.tracking.turns import Turn, turn

CHAMPION = "champion"
_PIN = "frozen_digest"  # tag of a registered model: the frozen faces that its champion was measured on

Examine = Callable[[int | None, int], Verdict]
"""Compares two versions of a model on the frozen faces; no old one: the first against chance."""


def promote(
    client: MlflowClient,
    root: Path,
    model: str,
    new: int,
    manifest: Mapping[str, Any],
    examine: Examine,
    attached: Mapping[str, bytes],
    refreeze: bool = False,
) -> Record:
    """Compare a version with the champion and give it the alias if the rule holds; a record either way.

    manifest: corpus and digest of the frozen faces, which stay the same for all champions of a model unless
    `refreeze`. attached: files kept beside the record. The comparison takes place outside of the turn; if
    the champion is another one afterwards, it begins anew. MienError: other frozen faces.
    """
    refuse_other_faces(client, model, manifest, refreeze)
    while True:
        old = champion(client, model)
        verdict = None if old == new else examine(old, new)
        with turn(client) as mine:
            settle(client, model, champion(client, model))
            if champion(client, model) != old:
                continue
            record = _decided(model, old, new, mine.number, manifest, verdict)
            return _carry_out(client, root, record, mine, attached)


def rollback(client: MlflowClient, root: Path, model: str) -> Record:
    """Give the alias back to the champion before this one. MienError: there was none, or it is gone."""
    with turn(client) as mine:
        old = champion(client, model)
        settle(client, model, old)
        now, before = before_last(history(client, model))
        if old is None:
            raise MienError(f"{model} has no champion; there is nothing to roll back.")
        if now != old:
            raise MienError(
                f"version {old} of {model} became champion by another hand than mien's; set the alias "
                f"`{CHAMPION}` in the MLflow UI."
            )
        if before is None:
            raise MienError(f"version {old} of {model} is its first champion; there is none to go back to.")
        refuse_missing(client, model, before)
        reason = f"version {old} gives way to version {before}, the champion before it."
        return _carry_out(
            client, root, Record(model, ROLLED_BACK, old, before, mine.number, reason), mine, {}
        )


def champion(client: MlflowClient, model: str) -> int | None:
    """The version that bears the alias, or None."""
    aliases: dict[str, Any] = registered(client, model).aliases
    return int(aliases[CHAMPION]) if CHAMPION in aliases else None


def resolve(client: MlflowClient, words: str) -> tuple[str, int]:
    """Model and version of an experiment's name, a model's name, `models:/NAME/3` or `models:/NAME@alias`.

    Without a version the newest one. MienError: there is none.
    """
    found = re.fullmatch(r"models:/([^/@]+)(?:/(\d+)|@(.+))", words)
    model, number, alias = found.groups() if found else (words, None, None)
    if found is None and not model.startswith("mien-"):
        model = f"mien-{model}"
    if alias:
        aliases = registered(client, model).aliases
        if alias not in aliases:
            raise MienError(f"{model} has no version with the alias {alias}; give its number.")
        return model, int(aliases[alias])
    if number:
        refuse_missing(client, model, int(number))
        return model, int(number)
    registered(client, model)
    versions = client.search_model_versions(f"name = '{model}'")
    if not versions:
        raise MienError(f"{model} has no version; train it (`mien train`), then `dvc repro` registers one.")
    return model, max(int(version.version) for version in versions)


def registered(client: MlflowClient, model: str) -> Any:
    """The registered model. MienError names those that there are."""
    try:
        return client.get_registered_model(model)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        names = sorted(m.name for m in client.search_registered_models() if m.name != "mien-turns")
        known = f"it has {', '.join(names)}" if names else "it has none, `dvc repro` registers them"
        raise MienError(f"{model} is not in the registry; {known}.") from error


def is_registered(client: MlflowClient, model: str) -> bool:
    """Whether the registry knows a model of that name."""
    return bool(client.search_registered_models(f"name = '{model}'"))


def judged_before(client: MlflowClient, model: str, new: int, manifest: Mapping[str, Any]) -> Record | None:
    """The record of a version that was held against the present champion, or became it; else None.

    Only a comparison on these frozen faces and by this rule counts.
    """
    now, terms = champion(client, model), ("corpus", "digest", "rule")
    for record in reversed(history(client, model)):
        if record.new != new or any(record.manifest.get(t) != manifest.get(t) for t in terms):
            continue
        if (record.decision, now) in ((PROMOTED, new), (KEPT, record.old)):
            return record
    return None


def refuse_missing(client: MlflowClient, model: str, number: int) -> None:
    """MienError: the model has no such version."""
    try:
        client.get_model_version(model, str(number))
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise MienError(f"{model} has no version {number} in the registry; choose another.") from error


def refuse_other_faces(
    client: MlflowClient, model: str, manifest: Mapping[str, Any], refreeze: bool = False
) -> None:
    """MienError: the champion was measured on other frozen faces than these."""
    pinned = registered(client, model).tags.get(_PIN)
    if pinned is not None and pinned != manifest["digest"] and not refreeze:
        raise MienError(
            f"the frozen corpus {manifest['corpus']} has digest {manifest['digest'][:12]}, but the champion "
            f"of {model} was measured on {pinned[:12]}; restore it, or say --refreeze if the change is meant."
        )


def _decided(
    model: str, old: int | None, new: int, number: int, manifest: Mapping[str, Any], verdict: Verdict | None
) -> Record:
    if verdict is None:
        return Record(model, ALREADY, old, new, number, f"version {new} is the champion.", manifest)
    decision = PROMOTED if verdict.promoted else KEPT
    return Record(model, decision, old, new, number, verdict.reason, manifest, verdict.as_json())


def _carry_out(
    client: MlflowClient, root: Path, record: Record, mine: Turn, attached: Mapping[str, bytes]
) -> Record:
    """Record first, alias second, and the record closed last: a crash in between can be told apart."""
    run_id = open_record(client, root, record, attached)
    mine.check()
    if record.decision in (PROMOTED, ROLLED_BACK):
        client.set_registered_model_alias(record.model, CHAMPION, str(record.new))
    if record.decision == PROMOTED or (
        record.verdict and record.old is not None
    ):  # the champion was measured
        client.set_registered_model_tag(record.model, _PIN, record.manifest["digest"])
    told = record.old if record.decision == ROLLED_BACK else record.new  # which version it happened to
    if record.decision != ALREADY:
        client.set_model_version_tag(record.model, str(told), "promotion", record.decision)
    client.set_terminated(run_id, "FINISHED")
    return replace(record, run_id=run_id)
