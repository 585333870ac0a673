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

from mien.cli.arrivals import arrived
from mien.cli.notify import notify
from mien.config import MienError, Params, load_params
from mien.training.storage import Storage

LOCK = Path(".dvc") / "tmp" / "mien-retrain.lock"
HOME, STATE = "retrain", "state.json"

log = logging.getLogger(__name__)
Stages = Callable[[Sequence[str]], int]
"""Brings stages of dvc.yaml up to date; gives an exit code."""


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


class Ledger:
    """What was finished, and how far a call has come that is not: a JSON file in the storage."""

    def __init__(self, root: Path, params: Params) -> None:
        where = params.cluster.storage
        self._home = Storage(where if "://" in where else str(root / where)) / HOME
        self.told: dict[str, Any] = self._home.read_json(STATE) or {}

    def keep(self, told: dict[str, Any]) -> None:
        """Write it all anew."""
        self.told = told
        self._home.write_json(STATE, told)


def retrain(root: Path, stages: Stages) -> Retraining:
    """Look for new or changed sources; if there are any, train, judge, publish and notify.

    MienError: a stage failed, MLflow is away, ...; the next call takes up the work.
    """
    with _alone(root / LOCK) as alone:
        if not alone:
            return Retraining(Outcome.BUSY, ["another mien retrain is at work in this checkout"])
        params = load_params(root / "params.yaml")
        ledger = Ledger(root, params)
        _send_waiting(ledger)
        names = challengers(params)
        watched = sorted({corpus for name in names for corpus in corpora_of(params, name)})
        now = arrived(root, params, watched)
        finished: dict[str, Any] = ledger.told.get("finished", {})
        changed = [corpus for corpus in watched if finished.get(corpus) != now[corpus]]
        if not changed:
            return Retraining(Outcome.NOTHING_NEW, [f"nothing new in {', '.join(watched)}"])
        from mien.cli.retraining import Work  # torch and MLflow take seconds, and most calls need neither

        done = Retraining(Outcome.KEPT)
        try:
            Work(root, params, stages, ledger, done).do(changed, names, now)
        except MienError as error:
            _send("mien retrain failed", [*done.lines, str(error)], {"failed": str(error)})
            raise
        notice = [f"mien retrain: {done.outcome.name.lower()}", done.lines, done.facts]
        ledger.keep({"finished": {**finished, **now}, "notice": notice})
        _send_waiting(ledger)
        return done


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


def corpora_of(params: Params, experiment: str) -> set[str]:
    """What an experiment is trained on."""
    entry = params.experiments[experiment]
    return {entry.corpus, entry.second_corpus}


def _send_waiting(ledger: Ledger) -> None:
    """Send the notice of a finished retraining; one that does not arrive is tried again next time."""
    if "notice" in ledger.told and _send(*ledger.told["notice"]):
        ledger.keep({key: value for key, value in ledger.told.items() if key != "notice"})


def _send(subject: str, lines: Sequence[str], facts: dict[str, Any]) -> bool:
    try:
        notify(subject, "\n".join(lines), facts)
    except MienError as error:
        log.warning("%s", error)
        return False
    return True


@contextmanager
def _alone(path: Path) -> Iterator[bool]:
    """Whether no other process holds the lock; the kernel frees it when its holder dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
