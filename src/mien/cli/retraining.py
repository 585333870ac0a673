"""The work of `mien retrain`, once something new is there: shards, drift, training, judgement, report."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from mien.cli.promote import DATA, challenge_champion, told_if_away
from mien.cli.retrain import Ledger, Outcome, Retraining, Stages, corpora_of
from mien.config import MienError, Params
from mien.evaluation.drift import Shift, as_json
from mien.evaluation.results import read_json
from mien.tracking.drifting import drift_of, log_drift
from mien.tracking.promotion import champion, is_registered, resolve
from mien.tracking.records import Record, attach
from mien.tracking.server import connect

REGISTERED, REPORT = Path("registered"), Path("reports") / "index.html"


class Work:
    """One retraining, with what it knows; it may be the rest of one that was killed."""

    def __init__(self, root: Path, params: Params, stages: Stages, ledger: Ledger, done: Retraining) -> None:
        self._root, self._params, self._stages = root, params, stages
        self._ledger, self._done = ledger, done

    def do(self, changed: Sequence[str], challengers: Sequence[str], now: dict[str, Any]) -> None:
        """Everything up to the report. changed: corpora; now: what all of them are made from."""
        names = [name for name in challengers if corpora_of(self._params, name) & set(changed)]
        self._done.say(f"new or changed: {', '.join(changed)}; challengers: {', '.join(names)}")
        client = connect(self._root)
        with told_if_away(client):
            before = self._begin(client, names, now)
        frozen = {self._params.promotion.frozen[self._params.experiments[name].corpus] for name in names}
        self._repro([*(f"shard@{name}" for name in changed), *(f"download@{f}" for f in sorted(frozen))])
        with told_if_away(client):
            drifts = {name: self._drift(client, name) for name in names}
        self._repro([f"register@{name}" for name in names])
        with told_if_away(client):
            records = [self._judge(client, name, *drifts[name]) for name in names]
            after = {name: champion(client, f"mien-{name}") for name in names}
        if after != before:
            self._done.outcome = Outcome.PROMOTED
        self._repro(["report"])
        page = self._root / REPORT
        with told_if_away(client):
            attach(client, records[-1].run_id, {page.name: page.read_bytes()})
        self._done.say(f"report: {page}")

    def _begin(
        self, client: MlflowClient, names: Sequence[str], now: dict[str, Any]
    ) -> dict[str, int | None]:
        """The champions before this retraining, also where an earlier call was killed in the middle of it."""
        told = dict(self._ledger.told)
        champions: dict[str, int | None] = dict(told.get("champions", {}))
        for name in names:
            if name not in champions:
                known = is_registered(client, f"mien-{name}")
                champions[name] = champion(client, f"mien-{name}") if known else None
        drift = told.get("drift", {}) if told.get("sources") == now else {}  # more has arrived since: anew
        self._ledger.keep({**told, "champions": champions, "sources": now, "drift": drift})
        return {name: champions[name] for name in names}

    def _drift(self, client: MlflowClient, name: str) -> tuple[list[Shift], str]:
        """Against the champion before this retraining; what a killed call found is kept."""
        kept = self._ledger.told["drift"]
        if name not in kept:
            corpus = self._params.experiments[name].corpus
            place = self._root, self._params, self._root / DATA
            shifts, sentence = drift_of(client, *place, f"mien-{name}", corpus)
            kept = {**kept, name: {"sentence": sentence, "shifts": as_json(shifts)}}
            self._ledger.keep({**self._ledger.told, "drift": kept})
        shifts = [Shift(**shift) for shift in kept[name]["shifts"]]
        self._done.say(kept[name]["sentence"])
        for shift in shifts:
            self._done.say(f"  {shift.sentence()}")
        return shifts, kept[name]["sentence"]

    def _judge(self, client: MlflowClient, name: str, shifts: Sequence[Shift], drift: str) -> Record:
        """The record of the newest version against the champion, made now unless a killed call made it."""
        made = read_json(self._root / REGISTERED / f"{name}.json")
        model, number = resolve(client, f"models:/{made['model']}/{made['version']}")
        record = challenge_champion(client, self._root, self._params, model, number, once=True)
        log_drift(client, record, shifts, drift)
        self._done.say(f"{model} {number} {record.decision}: {record.reason}")
        self._done.facts[name] = {
            **{key: getattr(record, key) for key in ("model", "decision", "old", "new", "reason", "run_id")},
            "drift": {"sentence": drift, "shifts": as_json(shifts)},
        }
        return record

    def _repro(self, names: Sequence[str]) -> None:
        code = self._stages(names)
        if code:
            raise MienError(
                f"`dvc repro {' '.join(names)}` ended with code {code}; its own message stands above. "
                "The next `mien retrain` goes on from there."
            )
