"""params.yaml: every mistake is one sentence with the key's path."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from mien.config import MienError, Params, load_params, parse_section

GOOD: dict[str, Any] = {
    "preset": "ci",
    "corpora": {
        "rendered": {"kind": "rendered", "people": 4, "expressions": ["neutral", "happy"]},
        "mine": {"kind": "folder", "source": "photos", "classes": {"smiling": "happy"}},
    },
    "methods": {"resnet18": {}},
    "experiments": {
        "one": {"method": "resnet18", "corpus": "rendered", "second_corpus": "rendered", "folds": [0]}
    },
}


def changed(path: str, value: Any = None) -> dict[str, Any]:
    """GOOD with one key set, or deleted when value is None."""
    raw = copy.deepcopy(GOOD)
    *parents, last = path.split(".")
    node = raw
    for part in parents:
        node = node.setdefault(part, {})
    if value is None:
        del node[last]
    else:
        node[last] = value
    return raw


def test_a_good_file_is_read_and_frozen(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump(GOOD))
    params = load_params(file)
    assert params.corpora["mine"].kind == "folder"
    with pytest.raises(ValueError, match="frozen"):
        params.preset = "demo"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (
            changed("corpora.rendered.peple", 3),
            "corpora.rendered.peple is not a key of mien; did you mean 'people'?",
        ),
        (changed("corpora.rendered.people"), "corpora.rendered.people is missing"),
        (
            changed("corpora.rendered.people", "many"),
            "corpora.rendered.people is 'many', but input should be a valid integer",
        ),
        (changed("corpora.rendered.kind", "painted"), "corpora.rendered is .*'rendered', 'folder'"),
        (changed("train.workers", 0), "train.workers is 0, but input should be greater than or equal to 1"),
        (changed("train.workers", "2"), "train.workers is '2', but input should be a valid integer"),
        (changed("trian", {}), "trian is not a key of mien; did you mean 'train'?"),
        (changed("preset"), "preset is missing"),
        (
            changed("experiments.one.method", "resnet"),
            "experiments.one.method is 'resnet', .* did you mean 'resnet18'?",
        ),
        (
            changed("experiments.one.corpus", "nowhere"),
            "experiments.one.corpus is 'nowhere', which corpora does not have",
        ),
        (
            changed("experiments.one.folds", [0, 9]),
            "experiments.one.folds names fold 9, but shard.folds is 4",
        ),
        (changed("experiments.one.folds", [1, 1]), "experiments.one: folds names one twice"),
        (changed("experiments.one.folds", []), "experiments.one.folds"),
    ],
)
def test_a_mistake_is_one_sentence_with_the_keys_path(raw: dict[str, Any], sentence: str) -> None:
    with pytest.raises(MienError, match=sentence) as caught:
        parse_section(Params, raw, "params.yaml", "")
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("params.yaml: ")


@pytest.mark.parametrize(("text", "sentence"), [("a: [", "not valid YAML"), ("- 1", "must hold sections")])
def test_a_file_that_is_not_params(tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(text)
    with pytest.raises(MienError, match=sentence):
        load_params(file)


def test_no_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(MienError, match="mien preset demo"):
        load_params(tmp_path / "params.yaml")
