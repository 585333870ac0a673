"""A search through Ray Tune, from where an earlier attempt stopped."""

import sys
import threading
import time
from collections.abc import Callable, Mapping
from queue import SimpleQueue

from mien.cluster.session import connect
from mien.config import MienError
from mien.training.plan import refuse_local_storage
from mien.training.published import publish
from mien.training.searching import SearchPlan
from mien.training.trials import Trial, best_of, kept_trials

LOOK_EVERY_S = 1.0

OnTrial = Callable[[Trial], None]


def run_search(search: SearchPlan, on_trial: OnTrial = lambda trial: None) -> list[Trial]:
    """All trials of a search, by number; what earlier attempts have finished is kept, the rest is run.

    `on_trial` is called in this process for every trial that ends. Ray is started or joined only for work.
    MienError: no room in the cluster, a storage that it cannot share, workers that keep failing.
    """
    lines, kept = _Lines(search), kept_trials(search)
    for trial in kept:
        if trial.state != "open":
            lines.note(trial)
            on_trial(trial)
    ended = len(lines.ended)
    if ended >= search.search.trials:
        lines.say(f"all {ended} trials are kept in {search.store.uri}; nothing to train")
        return kept
    with connect(search.plan.params.cluster):
        from mien.cluster.groups import alive_nodes, room  # ray, which `connect` makes ready first

        refuse_local_storage(search.plan.store, alive_nodes())
        plan = search.plan
        published = {} if plan.store.is_local else publish(plan.params, plan.corpora, plan.shards)
        beside = min(
            room(plan.params.train),
            search.search.beside or search.search.trials,
            search.search.trials - ended,
        )
        lines.say(
            f"{search.search.trials - ended} of {search.search.trials} trials to train, {beside} at a time, "
            f"on {search.faces['train']} faces, {search.objective} on {search.faces['validation']} others; "
            "starting"
        )
        _follow(search, kept, beside, published, lines, on_trial)
    found = kept_trials(search)
    if left := [trial for trial in found if trial.state == "open"]:
        raise MienError(
            f"{len(left)} trials of {search.experiment} did not end, {left[0].name} first (see "
            f"{search.store.uri}); run again, which goes on with them."
        )
    best = best_of(found)
    lines.say(f"best: {100 * (best.value or 0):.1f} % by trial {best.number}, {_shown(best.settings)}")
    return found


def _follow(
    search: SearchPlan,
    kept: list[Trial],
    beside: int,
    published: Mapping[str, str],
    lines: "_Lines",
    on_trial: OnTrial,
) -> None:
    """Let Tune run in a thread, and take what the trials leave in the storage until it has ended."""
    from mien.cluster.trials import run_trials

    raised: SimpleQueue[BaseException] = SimpleQueue()

    def run() -> None:
        try:
            run_trials(search, kept, beside, published)
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
            raised.put(error)

    limit_s = search.plan.params.cluster.stage_timeout_s
    until = time.monotonic() + limit_s
    tune = threading.Thread(target=run, name="tune", daemon=True)  # Ray's end will end it
    tune.start()
    ended = False
    while not ended:
        ended = not tune.is_alive()  # looked at before the last reading
        for trial in kept_trials(search):
            if trial.state != "open" and trial.number not in lines.ended:
                lines.note(trial)
                lines.tell(trial)
                on_trial(trial)
        if not ended and time.monotonic() > until:
            raise MienError(
                f"the search for {search.experiment} takes longer than cluster.stage_timeout_s = {limit_s}; "
                "raise it and run again, which goes on with the trials that have not ended."
            )
        if not ended:
            time.sleep(LOOK_EVERY_S)
    if not raised.empty():
        raise raised.get()


class _Lines:
    """A line on stderr for every trial that ends."""

    def __init__(self, search: SearchPlan) -> None:
        self._search, self._stream = search, sys.stderr
        self.ended: dict[int, Trial] = {}

    def note(self, trial: Trial) -> None:
        """Count a trial."""
        self.ended[trial.number] = trial

    def tell(self, trial: Trial) -> None:
        """Print what became of it."""
        state = {
            "finished": f"{100 * (trial.value or 0):.1f} %",
            "stopped": f"stopped after {trial.length} of {self._search.length} {self._search.unit}, "
            f"{100 * (trial.value or 0):.1f} %",
            "failed": f"failed: {trial.sentence}",
        }[trial.state]
        self.say(
            f"trial {trial.number} ({len(self.ended)}/{self._search.search.trials}): {state} | "
            f"{_shown(trial.settings)} | {trial.seconds:.0f} s"
        )

    def say(self, sentence: str) -> None:
        """A line of its own."""
        print(f"{self._search.experiment} search | {sentence}", file=self._stream, flush=True)


def _shown(settings: Mapping[str, object]) -> str:
    return ", ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in settings.items())
