"""`mien tune`: which search is meant, and what it has found."""

import json
from pathlib import Path
from typing import Any

from mien.config import MienError, load_params

TUNED = "tuned"


def searched(root: Path, name: str) -> str:
    """The experiment that a name means. MienError: no search of it, or several of a method."""
    params = load_params(root / "params.yaml")
    if name in params.searches:
        return name
    of_method = [e for e in params.searches if params.experiments[e].method == name]
    if len(of_method) == 1:
        return of_method[0]
    if of_method:
        raise MienError(f"{name} is searched for {', '.join(of_method)}; name one of them.")
    likely = [e for e, entry in params.experiments.items() if name in (e, entry.method)]
    example = likely[0] if likely else next(iter(params.experiments))
    raise MienError(
        f"searches in params.yaml has no {name}; add `{example}: {{trials: 12}}` there"
        + ("." if likely else ", or the like.")
    )


def found(root: Path, experiment: str) -> dict[str, Any]:
    """The best settings beside those of params.yaml, and a sentence that says how good both are."""
    told = json.loads((root / TUNED / f"{experiment}.json").read_text(encoding="utf-8"))
    before, best, value = told["defaults"]["settings"], told["settings"], told["defaults"]["value"]
    stopped = sum(trial["state"] == "stopped" for trial in told["trials"])
    was = "" if value is None else f", {100 * value:.1f} % before"
    taken = load_params(root / "params.yaml").experiments[experiment].tuned
    use = (
        "`mien train` takes these"
        if taken
        else f"to train with these, set experiments.{experiment}.tuned: true"
    )
    return {
        "experiment": experiment,
        "changes": [[key, before[key], best[key]] for key in sorted(best)],
        "objective": told["objective"],
        "best": told["best"],
        "before": value,
        "trials": len(told["trials"]),
        "stopped": stopped,
        "sentence": f"{told['objective']} on {told['faces']['validation']} validation faces: "
        f"{100 * told['best']:.1f} %{was}; {len(told['trials'])} trials, {stopped} stopped early; {use}.",
    }
