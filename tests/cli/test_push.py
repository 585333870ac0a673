"""What may go to a remote, tried on a miniature pipeline with the stages' own names."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mien.cli.push import push
from mien.config import MienError
from tests.evaluation import tree

STAGES = """
stages:
  download:
    foreach: ${corpora}
    do:
      cmd: mkdir -p data/corpora/${key} && echo ${key} > data/corpora/${key}/picture.txt
      outs:
        - data/corpora/${key}:
            push: false
  train:
    foreach: ${experiments}
    do:
      cmd: mkdir -p runs && cat data/corpora/${item.corpus}/picture.txt > runs/${key}
      deps:
        - data/corpora/${item.corpus}
        - data/corpora/${item.second_corpus}
      outs:
        - runs/${key}:
            push: false
  report:
    cmd: cat runs/* > reports.txt
    deps: [data/corpora, runs]
    outs:
      - reports.txt:
          push: false
"""
MINE = "gated by its owner's terms; if they allow it, set corpora.mine.allow_push: true"


def dvc(root: Path, *words: str) -> None:
    subprocess.run([sys.executable, "-m", "dvc", *words, "-q"], cwd=root, check=True, timeout=120)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Corpora `toy` (rendered) and `mine` (gated); an experiment on each, and one that reads both."""
    root = tmp_path_factory.mktemp("pushing")
    entry = {"method": "resnet18", "folds": [0]}
    pairs = {"plain": ("toy", "toy"), "own": ("mine", "mine"), "both": ("toy", "mine")}
    experiments = {n: {**entry, "corpus": a, "second_corpus": b} for n, (a, b) in pairs.items()}
    settings = tree.params(experiments=experiments).model_dump(mode="json")
    (root / "params.yaml").write_text(yaml.safe_dump(settings))
    (root / "dvc.yaml").write_text(STAGES)
    dvc(root, "init", "--no-scm")
    dvc(root, "repro")
    return root


@pytest.fixture
def remote(root: Path, tmp_path: Path) -> Path:
    dvc(root, "remote", "add", "-f", "-d", "store", str(tmp_path / "store"))
    return tmp_path / "store"


def there(remote: Path) -> list[str]:
    return sorted(p.read_text() for p in remote.rglob("*") if p.is_file() and p.suffix != ".dir")


def test_without_a_remote_it_says_so(root: Path) -> None:
    with pytest.raises(MienError, match=r"DVC cannot push: .*remote"):
        push(root, [], None)


def test_what_a_gated_corpus_went_into_stays(root: Path, remote: Path) -> None:
    dvc(root, "push")
    assert there(remote) == []
    done = push(root, [], None)
    assert sorted(done.sent) == ["data/corpora/toy", "runs/plain"]
    assert set(done.kept) == {"data/corpora/mine", "runs/own", "runs/both", "reports.txt"}
    assert set(map(tuple, done.kept.values())) == {("mine",)}
    assert there(remote) == ["toy\n"]
    assert done.files > 0
    assert push(root, [], None).files == 0  # all there already


@pytest.mark.parametrize("what", ["mine", "own", "train@both", "report"])
def test_asking_for_it_is_refused_and_nothing_goes(root: Path, remote: Path, what: str) -> None:
    with pytest.raises(MienError, match=MINE):
        push(root, ["plain", what], None)
    assert there(remote) == []


def test_one_experiment_goes_and_the_owners_consent_is_a_setting(root: Path, remote: Path) -> None:
    assert push(root, ["train@plain"], "store").sent == ["runs/plain"]
    file = root / "params.yaml"
    before = file.read_text()
    settings = yaml.safe_load(before)
    settings["corpora"]["mine"]["allow_push"] = True
    file.write_text(yaml.safe_dump(settings))
    try:
        assert push(root, [], None).kept == {}
    finally:
        file.write_text(before)
    assert there(remote) == ["mine\n", "toy\n", "toy\nmine\ntoy\n"]  # own; plain and both; the report


def test_an_unknown_word_is_named(root: Path) -> None:
    with pytest.raises(MienError, match="bananas is no stage, corpus or experiment"):
        push(root, ["bananas"], None)
