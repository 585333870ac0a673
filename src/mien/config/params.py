"""params.yaml, checked as a whole before any work."""

import difflib
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import Field, ValidationError, model_validator

from mien.config.corpora import CorpusConfig
from mien.config.errors import MienError
from mien.config.faces import Align, Landmarks
from mien.config.promotion import Promotion, refuse_seen
from mien.config.report import Evaluate, Report
from mien.config.section import Section
from mien.config.serve import Predict, Serve
from mien.config.shard import Shard
from mien.config.train import Cluster, Experiment, Train
from mien.config.tune import Search, Space, refuse_unsearchable

PARAMS = Path("params.yaml")
S = TypeVar("S", bound=Section)


class Params(Section):
    """All of params.yaml. `methods.NAME` is checked by the method's own Config (mien.methods.check)."""

    preset: str
    corpora: dict[str, CorpusConfig] = Field(min_length=1)
    align: Align = Align()
    landmarks: Landmarks = Landmarks()
    shard: Shard = Shard()
    cluster: Cluster = Cluster()
    train: Train = Train()
    methods: dict[str, dict[str, Any]]
    experiments: dict[str, Experiment]
    search: dict[str, Space] = Field({})  # by method: what its settings may be
    searches: dict[str, Search] = Field({})  # by experiment: stage `tune` runs none but these
    evaluate: Evaluate = Evaluate()
    report: Report = Report()
    predict: Predict = Predict()
    serve: Serve = Serve()
    promotion: Promotion = Promotion()

    @model_validator(mode="after")
    def _references(self) -> "Params":
        for name, experiment in self.experiments.items():
            _known(f"experiments.{name}.method", experiment.method, self.methods, "methods")
            _known(f"experiments.{name}.corpus", experiment.corpus, self.corpora, "corpora")
            _known(f"experiments.{name}.second_corpus", experiment.second_corpus, self.corpora, "corpora")
            ways: list[str] = [trial.folds_by for trial in experiment.trials] or [experiment.folds_by]
            for folds_by in ways:
                folds, key = self.shard.folds_in(experiment.corpus, folds_by)
                for fold in experiment.folds:
                    if not 0 <= fold < folds:
                        raise ValueError(f"experiments.{name}.folds names fold {fold}, but {key} is {folds}")
        for key in ("folds_of", "picture_folds_of"):
            for name in getattr(self.shard, key):
                _known(f"shard.{key}.{name}", name, self.corpora, "corpora")
        refuse_unsearchable(self.search, self.searches, self.experiments)
        refuse_seen(self.promotion, self.corpora, self.experiments)
        return self


def load_params(path: Path = PARAMS) -> Params:
    """Read and check params.yaml. MienError gives the key's path, what is wrong and what to do."""
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MienError(f"{path} is missing; write one with `mien preset demo`.") from None
    except yaml.YAMLError as error:
        raise MienError(f"{path} is not valid YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(raw, dict):
        raise MienError(
            f"{path} must hold sections (preset, corpora, methods, ...), not {type(raw).__name__}."
        )
    return parse_section(Params, raw, path.name, "")


def parse_section(section: type[S], raw: dict[str, Any], file: str, at: str) -> S:
    """Check a mapping against a section; MienError names the first faulty key by its path below `at`."""
    try:
        return section.model_validate(raw)
    except ValidationError as error:
        raise MienError(_sentence(error, section, file, at)) from None


def _known(key: str, value: str, among: dict[str, Any], where: str) -> None:
    if value not in among:
        near = difflib.get_close_matches(value, among, n=1)
        raise ValueError(
            f"{key} is {value!r}, which {where} does not have"
            + (f"; did you mean {near[0]!r}?" if near else "")
        )


def _sentence(error: ValidationError, section: type[Section], file: str, at: str) -> str:
    first = error.errors()[0]
    path = ".".join([*([at] if at else []), *_path(first["loc"], section)])
    if first["type"] == "extra_forbidden":
        known = _siblings(section, first["loc"])
        near = difflib.get_close_matches(str(first["loc"][-1]), known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}." if known else ""
        return f"{file}: {path} is not a key of mien; {hint}"
    if first["type"] == "missing":
        return f"{file}: {path} is missing; add it."
    if first["type"] == "value_error":
        return f"{file}: {path + ': ' if path else ''}{first['ctx']['error']}."
    got, why = repr(first["input"]), first["msg"]
    got = got if len(got) < 60 else f"{got[:57]}..."
    return f"{file}: {path} is {got}, but {why[0].lower()}{why[1:]}."


def _path(location: tuple[int | str, ...], section: type[Section]) -> list[str]:
    """The keys of a location without the tag that pydantic puts in for the member of a union."""
    tag = {"corpora": 2, "search": 3}.get(str(location[0])) if section is Params and location else None
    return [str(part) for i, part in enumerate(location) if i != tag]


def _siblings(section: type[Section], location: tuple[int | str, ...]) -> list[str]:
    """Names that could have stood where an unknown key stands."""
    schema: dict[str, Any] = section.model_json_schema()
    node: dict[str, Any] = schema
    for part in location[:-1]:
        node = _resolve(node, schema)
        if "discriminator" in node:
            node = (
                _resolve({"$ref": node["discriminator"]["mapping"][part]}, schema)
                if part in node["discriminator"]["mapping"]
                else node
            )
            continue
        node = node.get("properties", {}).get(part, node.get("additionalProperties", {}))
        node = node if isinstance(node, dict) else {}
    return list(_resolve(node, schema).get("properties", {}))


def _resolve(node: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        node = schema["$defs"][node["$ref"].rsplit("/", 1)[-1]]
    return node
