"""`mien retrain`: new faces in, challengers trained and judged, and what came of it told.

Every step can be taken twice: DVC skips stages that are done, trainings go on from their cells, a version is
registered once, and a challenge that was recorded is not fought again. What was last finished stands in the
storage (`cluster.storage`), so a call that was killed is finished by the next one.
"""

import fcntl
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from mien.cli.arrivals import arrived
from mien.cli.notify import notify
from mien.cli.promote import DATA, challenge_champion, told_if_away
from mien.config import MienError, Params, load_params
from mien.evaluation.drift import Shift, as_json
from mien.evaluation.results import read_json
from mien.tracking.drifting import drift_of, log_drift
from mien.tracking.promotion import champion, is_registered, resolve
from mien.tracking.records import Record, attach
from mien.tracking.server import connect
from mien.training.storage import Storage

LOCK = Path(".dvc") / "tmp" / "mien-retrain.lock"
HOME, STATE = "retrain", "state.json"
REGISTERED, REPORT = Path("registered"), Path("reports") / "index.html"

log = logging.getLogger(__name__)
Stages = Callable[[Sequence[str]], int]
"""Brings stages of dvc.yaml up to date; their exit code."""


class Outcome(IntEnum):
    """What a call of `mien retrain` came to: its exit code. An error has 2, as everywhere."""

    NOTHING_NEW = 0
    PROMOTED = 10
    KEPT = 11
    BUSY = 12


@dataclass
class Retraining:
    """One call: what it found and did, in words and for a notice."""

    outcome: Outcome
    lines: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def say(self, line: str) -> None:
        """Tell it now, and keep it for the notice."""
        print(line, flush=True)
        self.lines.append(line)


def retrain(root: Path, stages: Stages) -> Retraining:
    """Look for new or changed sources; if there are any, train, judge, publish and notify.

    MienError: a stage failed, MLflow is away, ...; the next call takes up the work.
    """
    with _alone(root / LOCK) as alone:
        if not alone:
            return Retraining(Outcome.BUSY, ["another mien retrain is at work in this checkout"])
        params = load_params(root / "params.yaml")
        return _Call(root, params, stages).run()


def challengers(params: Params) -> list[str]:
    """The experiments that are trained anew: those that promotion names, or all that have frozen faces."""
    named = params.promotion.challengers or [
        name
        for name, entry in params.experiments.items()
        if entry.corpus in params.promotion.frozen and not entry.trials
    ]
    if not named:
        raise MienError(
            "no experiment has frozen faces to be judged on; name a corpus for them in promotion.frozen."
        )
    return named


class _Call:
    """One call, with what it knows."""

    def __init__(self, root: Path, params: Params, stages: Stages) -> None:
        self._root, self._params, self._stages = root, params, stages
        where = params.cluster.storage
        self._home = Storage(where if "://" in where else str(root / where)) / HOME
        self._state: dict[str, Any] = self._home.read_json(STATE) or {}
        self._done = Retraining(Outcome.KEPT)

    def run(self) -> Retraining:
        self._send_waiting()
        names = challengers(self._params)
        watched = sorted({corpus for name in names for corpus in self._corpora(name)})
        now = arrived(self._root, self._params, watched)
        finished: dict[str, Any] = self._state.get("finished", {})
        changed = [corpus for corpus in watched if finished.get(corpus) != now[corpus]]
        if not changed:
            return Retraining(Outcome.NOTHING_NEW, [f"nothing new in {', '.join(watched)}"])
        touched = [name for name in names if self._corpora(name) & set(changed)]
        try:
            self._work(changed, touched, now)
        except MienError as error:
            self._send("mien retrain failed", [*self._done.lines, str(error)], {"failed": str(error)})
            raise
        told = [f"mien retrain: {self._done.outcome.name.lower()}", self._done.lines, self._done.facts]
        self._keep({"finished": {**finished, **now}, "notice": told})
        self._send_waiting()
        return self._done

    def _work(self, changed: Sequence[str], names: Sequence[str], now: dict[str, Any]) -> None:
        """Everything after new data was seen, from the shards to the report."""
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
        champions: dict[str, int | None] = dict(self._state.get("champions", {}))
        for name in names:
            if name not in champions:
                known = is_registered(client, f"mien-{name}")
                champions[name] = champion(client, f"mien-{name}") if known else None
        if self._state.get("sources") != now:  # more has arrived since: drift is looked for again
            self._state["drift"] = {}
        self._keep({**self._state, "champions": champions, "sources": now})
        return {name: champions[name] for name in names}

    def _drift(self, client: MlflowClient, name: str) -> tuple[list[Shift], str]:
        """Against the champion before this retraining; what a killed call found is kept."""
        kept = self._state["drift"]
        if name not in kept:
            corpus = self._params.experiments[name].corpus
            place = self._root, self._params, self._root / DATA
            shifts, sentence = drift_of(client, *place, f"mien-{name}", corpus)
            kept = {**kept, name: {"sentence": sentence, "shifts": as_json(shifts)}}
            self._keep({**self._state, "drift": kept})
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

    def _corpora(self, name: str) -> set[str]:
        entry = self._params.experiments[name]
        return {entry.corpus, entry.second_corpus}

    def _keep(self, state: dict[str, Any]) -> None:
        self._state = state
        self._home.write_json(STATE, state)

    def _send_waiting(self) -> None:
        """Send the notice of a finished retraining; one that does not arrive is tried again next time."""
        if "notice" in self._state and self._send(*self._state["notice"]):
            self._keep({key: value for key, value in self._state.items() if key != "notice"})

    def _send(self, subject: str, lines: Sequence[str], facts: dict[str, Any]) -> bool:
        try:
            notify(subject, "\n".join(lines), facts)
        except MienError as error:
            log.warning("%s", error)
            return False
        return True


@contextmanager
def _alone(path: Path) -> Iterator[bool]:
    """Whether no other process of this machine holds the lock; the kernel frees it when its holder dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
