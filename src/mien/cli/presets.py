"""params.yaml from a preset: what needs a corpus that is not there is left out, and named."""

import io
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from mien.config import MienError, Params, load_params
from mien.config.corpora import RenderedCorpus


class Written(NamedTuple):
    """What `write_preset` did."""

    params: Params
    absent: dict[str, list[str]]  # corpus whose source is missing -> experiments that are left out for it
    saved: Path | None  # where the user's own params.yaml went


def write_preset(root: Path, name: str) -> Written:
    """Write params.yaml from presets/NAME.yaml without the corpora whose source is missing.

    A params.yaml that no preset gives is kept as params.yaml.before. MienError: there is no such preset, or
    none of its corpora is there.
    """
    presets = {path.stem: path for path in sorted((root / "presets").glob("*.yaml"))}
    if name not in presets:
        raise MienError(f"{name} is not a preset; there are {', '.join(presets)}.")
    whole = load_params(presets[name])
    absent: dict[str, list[str]] = {
        corpus: []
        for corpus, config in whole.corpora.items()
        if not isinstance(config, RenderedCorpus) and not _holds_something(root / config.source)
    }
    if len(absent) == len(whole.corpora):
        raise MienError(
            f"None of the corpora of {presets[name]} is there; see `mien corpora` for what to do."
        )
    for experiment, entry in whole.experiments.items():
        for corpus in dict.fromkeys((entry.corpus, entry.second_corpus)):
            if corpus in absent:
                absent[corpus].append(experiment)
    target, saved = root / "params.yaml", None
    if target.is_file() and not _is_a_preset(target, presets.values()):
        saved = Path(shutil.copyfile(target, root / "params.yaml.before"))
    if absent:
        target.write_text(_without(presets[name].read_text(encoding="utf-8"), absent), encoding="utf-8")
    else:
        shutil.copyfile(presets[name], target)
    return Written(load_params(target), absent, saved)


def _holds_something(source: Path) -> bool:
    return source.is_dir() and any(source.iterdir())


def _without(text: str, corpora: Collection[str]) -> str:
    """A preset's text without some corpora and what needs them; comments at what stays, stay."""
    from ruamel.yaml import YAML

    reader = YAML()
    reader.width = 120
    preset = reader.load(text)
    _drop(preset, corpora)
    out = io.StringIO()
    reader.dump(preset, out)
    return out.getvalue()


def _drop(preset: Any, corpora: Collection[str]) -> None:
    needs = ("corpus", "second_corpus")
    experiments = {n for n, e in preset["experiments"].items() if any(e[key] in corpora for key in needs)}
    for section, gone in (
        (preset["corpora"], set(corpora)),
        (preset.get("shard", {}).get("folds_of", {}), set(corpora)),
        (preset.get("shard", {}).get("picture_folds_of", {}), set(corpora)),
        (preset["experiments"], experiments),
        (preset.get("searches", {}), experiments),
    ):
        for name in gone & set(section):
            del section[name]


def _is_a_preset(target: Path, presets: Collection[Path]) -> bool:
    """Whether params.yaml says what a preset says of the corpora that it names."""
    try:
        written = yaml.safe_load(target.read_text(encoding="utf-8"))
        named = set(written["corpora"])
    except (yaml.YAMLError, UnicodeDecodeError, TypeError, KeyError):
        return False
    for path in presets:
        preset = yaml.safe_load(path.read_text(encoding="utf-8"))
        _drop(preset, set(preset["corpora"]) - named)
        if preset == written:
            return True
    return False
