"""What of a preset is written where a corpus is missing."""

import shutil
from pathlib import Path

import pytest
import yaml

from mien import methods
from mien.cli.presets import write_preset
from mien.config import MienError, load_params
from mien.config.corpora import RenderedCorpus

ROOT = Path(__file__).parents[2]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "presets", tmp_path / "presets")
    return tmp_path


def put(root: Path, source: str) -> None:
    (root / source).mkdir(parents=True)
    (root / source / "something").touch()


def test_without_any_archive_paper_is_its_rendered_part(root: Path) -> None:
    whole = load_params(root / "presets" / "paper.yaml")
    params, absent, saved = write_preset(root, "paper")
    assert saved is None
    assert set(absent) == {n for n, c in whole.corpora.items() if not isinstance(c, RenderedCorpus)}
    assert set(params.corpora) == set(whole.corpora) - set(absent)
    assert not params.shard.folds_of
    assert not params.shard.picture_folds_of
    left_out = {name for names in absent.values() for name in names}
    assert params.experiments == {n: e for n, e in whole.experiments.items() if n not in left_out}
    assert {e.corpus for e in params.experiments.values()} == {"rendered"}
    assert params.methods == whole.methods
    assert set(methods.check(params)) == set(params.experiments)


def test_a_corpus_that_is_there_brings_its_experiments(root: Path) -> None:
    put(root, "data/raw/kdef")
    put(root, "data/raw/ck_plus")
    (root / "data/raw/cfee").mkdir()  # empty: as good as missing
    whole = load_params(root / "presets" / "paper.yaml")
    ck_plus = {"ck_plus_6", "ck_plus_7", "ck_plus_8", "ck_plus_frames"}
    params, absent, _ = write_preset(root, "paper")
    assert set(params.corpora) == {*ck_plus, "kdef", "rendered"}
    assert params.shard.folds_of == {"ck_plus_6": 10, "ck_plus_7": 10, "ck_plus_8": 10}
    there = set(params.corpora)
    wanted = {n: e for n, e in whole.experiments.items() if {e.corpus, e.second_corpus} <= there}
    assert params.experiments == wanted
    assert "hsnet-kdef" in wanted
    assert "hsnet-raf-db" in absent["raf_db"]
    assert params.corpora["kdef"] == whole.corpora["kdef"]
    assert (root / "params.yaml").read_text().startswith("# The papers as printed")


def test_a_part_of_a_preset_is_no_change_of_ones_own(root: Path) -> None:
    write_preset(root, "paper")
    put(root, "data/raw/rafd")
    assert write_preset(root, "paper").saved is None
    assert write_preset(root, "demo").saved is None
    assert (root / "params.yaml").read_bytes() == (ROOT / "presets/demo.yaml").read_bytes()
    changed = yaml.safe_load((root / "params.yaml").read_text())
    changed["align"]["crop_px"] = 99
    (root / "params.yaml").write_text(yaml.safe_dump(changed))
    saved = write_preset(root, "paper").saved
    assert saved == root / "params.yaml.before"
    assert yaml.safe_load(saved.read_text()) == changed


def test_a_preset_of_which_nothing_is_there_is_refused(root: Path) -> None:
    preset = yaml.safe_load((root / "presets/paper.yaml").read_text())
    del preset["corpora"]["rendered"]
    preset["experiments"] = {n: e for n, e in preset["experiments"].items() if e["corpus"] != "rendered"}
    (root / "presets/mine.yaml").write_text(yaml.safe_dump(preset))
    with pytest.raises(MienError, match=r"None of the corpora of .*mine\.yaml is there"):
        write_preset(root, "mine")
    assert not (root / "params.yaml").exists()
