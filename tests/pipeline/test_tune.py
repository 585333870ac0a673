"""Stage `tune` of an experiment for which no search is asked, as most are."""

import json
import subprocess
import sys
from pathlib import Path

import yaml

from tests.training.test_searching import params

STAGE = Path(__file__).parents[2] / "pipeline" / "tune.py"
QUIETLY = """
import runpy, sys
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
assert not {"torch", "ray", "mlflow", "optuna"} & set(sys.modules)
"""


def test_it_writes_nothing_found_and_loads_nothing_heavy(tmp_path: Path) -> None:
    raw = params(tmp_path).model_dump(mode="json") | {"searches": {}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(raw))
    words = [sys.executable, "-c", QUIETLY, str(STAGE), "tiny", "shards", "tuned/tiny.json"]
    subprocess.run(words, cwd=tmp_path, check=True, timeout=60)
    assert json.loads((tmp_path / "tuned" / "tiny.json").read_text()) == {}
