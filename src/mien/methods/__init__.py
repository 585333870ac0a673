"""One file a method. A file here that defines one Method is found by its name; nothing lists them."""

import importlib
import json
import pkgutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from mien.config import MienError, Params, Section, parse_section
from mien.config.params import PARAMS
from mien.config.tune import Value, ends
from mien.methods.contract import Method

WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"


def names() -> tuple[str, ...]:
    """Every method's name, in alphabetical order, without importing any."""
    found = (module.name for module in pkgutil.iter_modules(__path__))
    return tuple(sorted(name for name in found if name != "contract"))


def method_class(name: str) -> type[Method]:
    """The Method of `methods/NAME.py`. MienError names the known ones."""
    if name not in names():
        raise MienError(f"{name} is not a method of mien; it has {', '.join(names())}.")
    module = importlib.import_module(f"{__name__}.{name}")
    found = [
        v
        for v in vars(module).values()
        if isinstance(v, type) and issubclass(v, Method) and v.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise TypeError(f"{module.__name__} must define one Method, not {len(found)}")
    return found[0]


def check(params: Params) -> dict[str, Section]:
    """The settings of every experiment by name, checked by its method's Config. MienError: the key."""
    for name, entry in params.experiments.items():
        one_class = bool(method_class(entry.method).scores)
        if one_class != bool(entry.trials):
            need = (
                "needs trials, because it" if one_class else "must have no trials, because it is not one that"
            )
            raise MienError(
                f"{PARAMS.name}: experiments.{name} {need} learns one class at a time ({entry.method})."
            )
    for name, raw in params.methods.items():
        parse_section(method_class(name).Config, raw, PARAMS.name, f"methods.{name}")
    for name in params.search:
        if name in params.methods:
            check_space(params, name)
    return {name: settings(params, name) for name in params.experiments}


def settings(params: Params, experiment: str) -> Section:
    """`methods.METHOD` with the experiment's own `settings` over it, key by key at every depth."""
    entry = params.experiments[experiment]
    config = method_class(entry.method).Config
    own, whole = (
        laid_over(under, entry.settings) for under in (config().model_dump(), params.methods[entry.method])
    )
    parse_section(config, own, PARAMS.name, f"experiments.{experiment}.settings")
    return parse_section(config, whole, PARAMS.name, f"methods.{entry.method}")


def check_space(params: Params, name: str) -> None:
    """Check `search.NAME`: the ends of a span and each choice must be values that the method's Config takes.

    MienError: the key. Whether it holds the present value matters to a search alone, which asks.
    """
    config = method_class(name).Config
    raw = params.methods[name]
    present = parse_section(config, raw, PARAMS.name, f"methods.{name}").model_dump(mode="json")
    for key, dimension in params.search[name].items():
        for value in ends(dimension):
            parse_section(config, changed(present, key, value), PARAMS.name, f"search.{name}")


def with_settings(params: Params, experiment: str, settings: Mapping[str, Value]) -> Params:
    """The parameters with an experiment's settings changed; `augmentation.flip` is one within another."""
    entry = params.experiments[experiment]
    own, whole = dict(entry.settings), laid_over(params.methods[entry.method], entry.settings)
    for key, value in settings.items():
        whole = changed(whole, key, value)
        own[key.split(".")[0]] = whole[key.split(".")[0]]
    now = entry.model_copy(update={"settings": own})
    return params.model_copy(update={"experiments": {**params.experiments, experiment: now}})


def laid_over(tree: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of settings with others over it: what a section within them does not name stays as it is."""
    parts = {
        key: laid_over(tree[key], value)
        if isinstance(value, Mapping) and isinstance(tree.get(key), Mapping)
        else value
        for key, value in own.items()
    }
    return {**tree, **parts}


def setting(tree: Mapping[str, Any], key: str) -> Any:
    """The value under a dotted key of settings that have been checked."""
    for word in key.split("."):
        tree = tree[word]
    return tree


def changed(tree: Mapping[str, Any], key: str, value: Any) -> dict[str, Any]:
    """A copy of settings with another value under a dotted key."""
    word, _, rest = key.partition(".")
    if not rest:
        return {**tree, word: value}
    below = tree.get(word)
    return {**tree, word: changed(below if isinstance(below, Mapping) else {}, rest, value)}


def require_files(name: str, config: Section) -> None:
    """Check that the files which a method's settings name are there. MienError names the first lacking."""
    for key, file in method_class(name).files(config).items():
        if not file.is_file():
            raise MienError(
                f"methods.{name}.{key} names {file}, which is not there; put it there or change the key."
            )


def build(name: str, config: Section, classes: Sequence[str]) -> Method:
    """A fresh method with random weights."""
    return method_class(name)(config, classes)


def learnt(method: Method) -> int:
    """How many numbers a method learns: its parameters, or the buffers of one that is solved at once."""
    solved = (buffer.numel() for buffer in method.buffers() if buffer.is_floating_point())
    return sum(parameter.numel() for parameter in method.parameters()) or sum(solved)


def save(method: Method, name: str, into: Path, extra: Mapping[str, Any]) -> None:
    """Write weights (safetensors) and description (JSON): all that `load` needs, and no pickle.

    `extra` is kept in the description (crop geometry, corpus, experiment, fold, seed, ...).
    """
    into.mkdir(parents=True, exist_ok=True)
    state = {key: value.detach().cpu().contiguous() for key, value in method.state_dict().items()}
    save_file(state, into / WEIGHTS)
    settings = method.config.model_dump(mode="json")
    described = {"method": name, "settings": settings, "classes": list(method.classes)}
    described |= {"record": method.record(), **extra}
    (into / DESCRIPTION).write_text(json.dumps(described, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def load(folder: Path) -> tuple[Method, dict[str, Any]]:
    """The method saved in a folder, in eval mode, and its description. MienError names the file at fault."""
    try:
        described = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        state = load_file(folder / WEIGHTS)
    except FileNotFoundError as error:
        raise MienError(f"{error.filename} is missing; {folder} does not hold a trained model.") from error
    except ValueError as error:
        raise MienError(f"{folder / DESCRIPTION} is not JSON ({error}); train the model again.") from error
    name = described["method"]
    config = parse_section(method_class(name).Config, described["settings"], DESCRIPTION, "settings")
    method = build(name, config, described["classes"])
    method.load_state_dict(state)
    return method.eval(), described
