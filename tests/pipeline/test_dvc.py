"""dvc.yaml against the code: a stage that forgets a module it imports would not rerun when that changes."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src"
CHECKS_ONLY = {
    "download": {"mien.methods"}
}  # imported to check settings before any work; no picture depends on it
STAGES: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


def body(stage: str) -> dict[str, Any]:
    return STAGES[stage].get("do", STAGES[stage])


def script(stage: str) -> Path:
    found = re.search(r"pipeline/\w+\.py", body(stage)["cmd"])
    assert found, f"{stage} runs no pipeline script"
    return ROOT / found.group()


def imported(file: Path, without: frozenset[str] = frozenset()) -> Iterator[Path]:
    """Files of mien that a file imports, wherever the import stands, but for some modules."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            if name.split(".")[0] == "mien" and name not in without:
                path = SRC.joinpath(*name.split("."))
                yield from (p for p in (path.with_suffix(".py"), path / "__init__.py") if p.is_file())


def reached(stage: str) -> set[Path]:
    """All files of mien that a stage's script reaches through imports."""
    without = frozenset(CHECKS_ONLY.get(stage, ()))
    seen: set[Path] = set()
    waiting = [script(stage)]
    while waiting:
        for found in imported(waiting.pop(), without):
            if found not in seen:
                seen.add(found)
                waiting.append(found)
    return seen


@pytest.mark.parametrize("stage", STAGES)
def test_deps_cover_every_module_that_the_stage_imports(stage: str) -> None:
    deps = [ROOT / d for d in body(stage)["deps"] if "${" not in d]
    lacking = [
        str(f.relative_to(ROOT))
        for f in sorted(reached(stage))
        if not any(f == d or d in f.parents for d in deps)
    ]
    assert lacking == []


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_its_own_script(stage: str) -> None:
    assert str(script(stage).relative_to(ROOT)) in body(stage)["deps"]


def test_every_script_is_a_stage_and_thin() -> None:
    scripts = set((ROOT / "pipeline").glob("*.py"))
    assert scripts == {script(stage) for stage in STAGES}
    assert {path.name: n for path in scripts if (n := len(path.read_text().splitlines())) > 40} == {}


def test_paths_stand_only_in_dvc_yaml() -> None:
    outs = {
        "data/corpora",
        "data/aligned",
        "data/landmarks",
        "data/shards",
        "runs/",
        "results/",
        "reports/",
        "registered/",
    }
    files = [*(ROOT / "pipeline").glob("*.py"), *SRC.rglob("*.py")]
    guilty = []
    for file in files:
        if "cli" in file.relative_to(ROOT).parts:
            continue  # the command names results for a person
        for node in ast.walk(ast.parse(file.read_text())):
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and node.value.startswith(tuple(outs))
            ):
                guilty.append(f"{file.relative_to(ROOT)}:{node.lineno} {node.value}")
    assert guilty == []


@pytest.mark.parametrize("stage", STAGES)
def test_no_output_goes_to_a_remote_by_itself(stage: str) -> None:
    """What was made from a gated corpus must not leave by `dvc push`: `mien push` knows which that is."""
    outs = body(stage)["outs"]
    assert outs
    for out in outs:
        assert isinstance(out, dict)
        assert [settings["push"] for settings in out.values()] == [False]


def test_a_training_reruns_for_its_own_search_alone() -> None:
    assert [list(out) for out in body("tune")["outs"]] == [["tuned/${key}.json"]]
    assert [dep for dep in body("train")["deps"] if dep.startswith("tuned")] == ["tuned/${key}.json"]
    assert "searches" not in body("train")["params"]
