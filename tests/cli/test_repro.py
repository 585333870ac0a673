"""`mien repro`: which experiments are out of date, on a miniature pipeline with the stages' own names."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mien.cli import repro
from mien.cli.repro import reproduce, stale_experiments
from mien.cli.stages import LEFT, repro_beside
from mien.config import MienError
from tests.evaluation import tree
from tests.striped import tiny, write_corpus

REPOSITORY = Path(__file__).parents[2]
STAGES = """
stages:
  shard:
    foreach: ${corpora}
    do:
      cmd: mkdir -p data/shards && echo ${key} > data/shards/${key}
      outs: ["data/shards/${key}"]
  tune:
    foreach: ${experiments}
    do:
      cmd: mkdir -p tuned && echo settings > tuned/${key}.json
      outs: ["tuned/${key}.json"]
  train:
    foreach: ${experiments}
    do:
      cmd: mkdir -p runs && echo ${item.method} > runs/${key}
      deps: ["tuned/${key}.json", "data/shards/${item.corpus}"]
      params: ["experiments.${key}"]
      outs: ["runs/${key}"]
"""


def dvc(root: Path, *words: str) -> None:
    subprocess.run([sys.executable, "-m", "dvc", *words, "-q"], cwd=root, check=True, timeout=120)


def write_experiments(root: Path, **seeds: list[int]) -> None:
    entry = {"method": "resnet18", "folds": [0], "corpus": "toy", "second_corpus": "toy"}
    experiments = {name: {**entry, "seeds": own} for name, own in seeds.items()}
    settings = tree.params(experiments=experiments).model_dump(mode="json")
    (root / "params.yaml").write_text(yaml.safe_dump(settings))


def test_stale_is_what_has_changed_and_was_never_run_before(tmp_path: Path) -> None:
    write_experiments(tmp_path, a=[0], b=[0], c=[0])
    (tmp_path / "dvc.yaml").write_text(STAGES)
    with pytest.raises(MienError, match=r"DVC cannot tell .*not inside of a DVC repository"):
        stale_experiments(tmp_path, "train")
    dvc(tmp_path, "init", "--no-scm")
    dvc(tmp_path, "repro", "shard@toy", "tune")
    assert stale_experiments(tmp_path, "train") == ["a", "b", "c"]
    dvc(tmp_path, "repro")
    assert stale_experiments(tmp_path, "train") == []
    write_experiments(tmp_path, a=[0], b=[1], c=[0])
    assert stale_experiments(tmp_path, "train") == ["b"]
    dvc(tmp_path, "repro")
    write_experiments(tmp_path, a=[0], b=[0], c=[0])
    assert stale_experiments(tmp_path, "train") == []  # DVC has kept that run


def test_stages_run_beside_each_other_and_all_stand_in_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    write_experiments(tmp_path, a=[0], b=[0], c=[0])
    waits = "touch here-${key} && until ls here-a here-b >/dev/null 2>&1; do sleep 0.1; done"  # for the other
    (tmp_path / "dvc.yaml").write_text(STAGES.replace("echo settings", f"{waits} && echo settings"))
    dvc(tmp_path, "init", "--no-scm")
    dvc(tmp_path, "repro", "shard@toy")
    assert repro_beside(tmp_path) == 0
    assert repro_beside(tmp_path, *([f"tune@{name}", f"train@{name}"] for name in "abc")) == 0
    done = yaml.safe_load((tmp_path / "dvc.lock").read_text())["stages"]
    assert {name for name in done if name.startswith("train@")} == {"train@a", "train@b", "train@c"}
    assert stale_experiments(tmp_path, "train") == []


def test_a_stage_that_fails_beside_others_gives_its_exit_code_and_they_end(tmp_path: Path) -> None:
    write_experiments(tmp_path, a=[0], b=[0])
    broken = STAGES.replace("echo ${item.method}", "test ${key} = b && echo ${item.method}")
    (tmp_path / "dvc.yaml").write_text(broken)
    dvc(tmp_path, "init", "--no-scm")
    dvc(tmp_path, "repro", "shard@toy")
    assert repro_beside(tmp_path, *([f"tune@{name}", f"train@{name}"] for name in "ba")) != 0
    assert stale_experiments(tmp_path, "train") == ["a"]


def test_several_are_trained_before_dvc_comes_to_them_and_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_experiments(tmp_path, a=[0], b=[0])
    monkeypatch.setattr(repro, "run_dvc", lambda root, *words: asked.append(words) or 0)
    monkeypatch.setattr(repro, "repro_beside", lambda root, *chains: asked.append(("beside", *chains)) or 0)
    monkeypatch.setattr(
        subprocess,
        "run",
        lambda words, **_: asked.append(tuple(words[2:])) or subprocess.CompletedProcess(words, trained),
    )
    together = ("mien.cli.together", "data/shards", "tuned", "a", "b")
    beside = (
        "beside",
        *([f"{stage}@{name}" for stage in ("train", "evaluate", "register")] for name in "ab"),
    )
    for stale, trained, after in (
        (["a", "b"], 0, [together, beside, ("repro",)]),
        (["a", "b"], LEFT, [together, ("repro",)]),  # which tells what fails
        (["a", "b"], 130, [together]),
        (["a"], 0, [("repro",)]),
    ):
        asked: list[tuple[object, ...]] = []
        found = {"tune": ["b"], "train": stale}
        monkeypatch.setattr(repro, "stale_experiments", lambda root, stage, found=found: found[stage])
        assert reproduce(tmp_path) == (130 if trained == 130 else 0)
        assert asked == [("repro", "shard@mine", "shard@toy"), ("beside", ["tune@b"]), *after]


@pytest.mark.slow
def test_stages_find_what_was_trained_together(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    params = tiny(tmp_path, train={"groups": 2})
    first = params.experiments["tiny"].model_copy(update={"folds": [0]})
    second = first.model_copy(update={"folds": [1]})
    params = params.model_copy(update={"experiments": {"first": first, "second": second}})
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params.model_dump(mode="json")))
    (tmp_path / "tuned").mkdir()
    for name in ("first", "second"):
        (tmp_path / "tuned" / f"{name}.json").write_text("{}\n")
    away = ("MLFLOW_TRACKING_URI", "MIEN_RAY_ADDRESS")
    environment = {k: v for k, v in os.environ.items() if k not in away}

    def said(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, *words],
            cwd=tmp_path,
            env=environment,
            check=False,
            text=True,
            capture_output=True,
            timeout=150,
        )
        assert done.returncode == 0, done.stderr
        return done.stderr

    told = said("-m", "mien.cli.together", "shards", "tuned", "first", "second")
    assert "2 experiments: 2 of 2 cells to train, 2 group(s) of 1 worker(s); starting" in told
    assert {line.split()[0] for line in told.splitlines() if re.search(r"\| .*2/2 \|", line)} == {
        "first",
        "second",
    }
    for name in ("first", "second"):
        script = str(REPOSITORY / "pipeline" / "train.py")
        assert f"{name}: all 1 cells are kept; nothing to train" in said(
            script, name, "shards", f"runs/{name}", f"tuned/{name}.json"
        )
        assert (tmp_path / "runs" / name / "run.json").is_file()
