"""The rendered corpus as its readers see it: manifest, tars, keys, points, resumption."""

import hashlib
import json
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from mien.config.corpora import RenderedCorpus
from mien.config.errors import MienError
from mien.config.params import parse_section
from mien.corpora.rendered import corpus, render_corpus
from mien.corpora.rendered.album import is_whole, write_part
from mien.corpora.rendered.plan import pictures_per_person
from mien.manifest.expressions import EXPRESSIONS
from mien.manifest.pictures import decode, read_bytes
from mien.manifest.tables import KEY, MANIFEST, read_table
from tests.corpora.rendered_cache import basis_folder

ROOT = Path(__file__).parents[2]
Rows = list[dict[str, Any]]
ALL = ["neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt"]


def config(**changes: Any) -> RenderedCorpus:
    settings: dict[str, Any] = {
        "kind": "rendered",
        "picture_px": 64,
        "people": 2,
        "expressions": ["neutral", "fear"],
    }
    return RenderedCorpus(**{**settings, "lab_pictures": 1, "wild_pictures": 1, **changes})


WIDE = config(people=1, first_person=1, expressions=ALL, wild_pictures=0, sequences=2, sequence_frames=3)


def rows_of(folder: Path) -> Rows:
    rows: Rows = read_table(folder / "manifest.parquet", MANIFEST).to_pylist()
    return rows


def points_of(row: dict[str, Any]) -> np.ndarray:
    return np.array(row["points"]).reshape(68, 2)


def bytes_of(folder: Path) -> dict[str, str]:
    return {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return basis_folder(tmp_path_factory)


@pytest.fixture(scope="module")
def small(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people in two expressions and two conditions, rendered in this process."""
    into = tmp_path_factory.mktemp("small")
    render_corpus("tiny", config(), into, cache, workers=1)
    return into


@pytest.fixture(scope="module")
def wide(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One person in all expressions, and two sequences of each but one."""
    into = tmp_path_factory.mktemp("wide")
    render_corpus("tiny", WIDE, into, cache, workers=1)
    return into


@pytest.mark.slow
def test_two_processes_write_the_same_bytes_as_one(small: Path, cache: Path, tmp_path: Path):
    render_corpus("tiny", config(), tmp_path, cache, workers=2)
    assert bytes_of(tmp_path) == bytes_of(small)


def test_processes_that_render_start_without_torch():
    """They import the stage's script anew, under another name."""
    asks = "import runpy, sys; runpy.run_path('pipeline/download.py', run_name='__mp_main__'); "
    asks += "import mien.corpora.rendered; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", asks], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "False\n"


def test_while_people_are_drawn_blas_has_one_thread(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A second one would wait by spinning, on the core of the next process."""
    seen: list[int] = []

    def draw(*words: Any) -> Any:
        seen.extend(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")
        return corpus_draw(*words)

    corpus_draw = corpus.draw_person
    monkeypatch.setattr(corpus, "draw_person", draw)
    with threadpool_limits(2, user_api="blas"):
        one = config(people=1, expressions=["neutral"], wild_pictures=0)
        render_corpus("tiny", one, tmp_path, cache, workers=1)
    assert seen
    assert set(seen) == {1}


def test_another_seed_gives_other_pictures(small: Path, cache: Path, tmp_path: Path):
    render_corpus("tiny", config(seed=1, people=1), tmp_path, cache, workers=1)
    hashes = {row["sha256"] for row in rows_of(small)}
    assert not hashes & {row["sha256"] for row in rows_of(tmp_path)}


def test_every_row_leads_to_its_picture(small: Path):
    rows = rows_of(small)
    for row in rows:
        data = read_bytes(small, row["path"], row["offset"], row["size"])
        assert hashlib.sha256(data).hexdigest() == row["sha256"]
        assert decode(data).shape == (64, 64, 3)
    assert len({row["sha256"] for row in rows}) == len(rows) == 8


def test_the_tar_is_plain_and_has_fixed_times_and_owners(small: Path):
    rows = rows_of(small)
    with tarfile.open(small / "pictures-00000.tar") as tar:
        members = tar.getmembers()
    assert [m.name for m in members] == [f"{row['key']}.jpg" for row in rows]
    assert [m.offset_data for m in members] == [row["offset"] for row in rows]
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m in members} == {(0, 0, 0, "", "", 0o644)}
    assert sorted(f.name for f in small.iterdir()) == ["manifest.parquet", "pictures-00000.tar"]


def test_keys_are_unique_and_legal(small: Path, wide: Path):
    for folder in (small, wide):
        keys = [row["key"] for row in rows_of(folder)]
        assert len(set(keys)) == len(keys)
        assert all(re.fullmatch(KEY, key) for key in keys)
    assert "tiny-p0001-fear-wild-00" in [row["key"] for row in rows_of(small)]


def test_a_person_is_the_same_in_every_corpus_that_has_their_number(small: Path, cache: Path, tmp_path: Path):
    render_corpus("later", config(people=1, first_person=1), tmp_path, cache, workers=1)
    here = {
        row["key"].removeprefix("tiny-"): row["sha256"] for row in rows_of(small) if row["subject"] == "p0001"
    }
    there = {row["key"].removeprefix("later-"): row["sha256"] for row in rows_of(tmp_path)}
    assert here == there


def test_points_keep_the_ibug_order(wide: Path):
    for row in rows_of(wide):
        p = points_of(row)
        assert np.all(np.diff(p[0:9, 0]) > 0)  # jaw, from the picture's left to the chin
        assert np.all(np.diff(p[8:17, 0]) > 0)
        assert p[8, 1] == pytest.approx(p[:17, 1].max(), abs=2)
        assert np.all(np.diff(p[17:27, 0]) > 0)  # brows
        assert p[17:27, 1].max() < min(p[[36, 39, 42, 45], 1])
        assert np.all(np.diff(p[27:31, 1]) > 0)  # bridge of the nose
        assert np.all(np.diff(p[31:36, 0]) > 0)  # nostrils
        assert p[36, 0] < p[37, 0] < p[38, 0] < p[39, 0] < p[42, 0] < p[43, 0] < p[44, 0] < p[45, 0]
        assert p[[37, 38, 43, 44], 1].mean() < p[[40, 41, 46, 47], 1].mean()  # upper lids above lower ones
        assert p[41, 0] < p[40, 0]
        assert p[47, 0] < p[46, 0]
        assert np.all(np.diff(p[48:55, 0]) > 0)  # upper lip, outer
        assert np.all(np.diff(p[54:60, 0]) < 0)  # lower lip, outer
        assert np.all(np.diff(p[60:65, 0]) > 0)
        # pressed lips fold over one another by up to a sixtieth of the picture
        assert p[[61, 62, 63], 1].mean() <= p[[65, 66, 67], 1].mean() + 1
        assert p[51, 1] < p[62, 1] < p[57, 1]


def test_yaw_follows_the_persons_own_left(small: Path):
    turned = [row for row in rows_of(small) if abs(row["yaw"]) > 8]
    assert turned
    for row in turned:
        p = points_of(row)
        nose = (p[30, 0] - p[0, 0]) / (p[16, 0] - p[0, 0])
        # a person who turns to their own left moves the nose to the picture's right
        assert (nose > 0.5) == (row["yaw"] > 0)


def test_boxes_hold_the_points(small: Path):
    for row in rows_of(small):
        left, top, right, bottom = row["box"]
        inside = np.clip(points_of(row), 0, 63)
        assert left <= inside[:, 0].min() + 1e-3
        assert top <= inside[:, 1].min() + 1e-3
        assert right >= inside[:, 0].max() - 1e-3
        assert bottom >= inside[:, 1].max() - 1e-3


def test_attributes_say_what_was_shown(wide: Path, small: Path):
    for row in rows_of(wide) + rows_of(small):
        told = json.loads(row["attributes"])
        assert set(told) >= {
            "condition",
            "intensity",
            "action_units",
            "five",
            "pitch",
            "roll",
            "occluder",
            "age",
        }
        assert told["condition"] == ("wild" if "-wild-" in row["key"] else "lab")
        assert all(0 <= weight <= 1 for weight in told["action_units"].values())
        if row["expression"] == "neutral":
            assert told["intensity"] == 0
            assert sum(told["action_units"].values()) < 2.5
        elif row["sequence"] is None:
            assert 0.45 <= told["intensity"] <= 1
            assert told["action_units"]
    lab, wild = (
        [json.loads(r["attributes"]) for r in rows_of(small) if f"-{c}-" in r["key"]] for c in ("lab", "wild")
    )
    assert max(abs(t["roll"]) for t in lab) < 8
    assert np.std([t["roll"] for t in wild]) > np.std([t["roll"] for t in lab])


def test_sequences_rise_to_their_apex(wide: Path):
    rows = rows_of(wide)
    names = {row["sequence"] for row in rows} - {None}
    assert len(names) == 2 * (len(ALL) - 1)
    for name in names:
        frames = [row for row in rows if row["sequence"] == name]
        assert [row["frame"] for row in frames] == [0, 1, 2]
        assert {row["frames"] for row in frames} == {3}
        strength = [json.loads(row["attributes"])["intensity"] for row in frames]
        apex = int(np.argmax(strength))
        assert strength[0] == 0
        assert strength[: apex + 1] == sorted(strength[: apex + 1])
        assert (apex == 2) == name.endswith("-00")
        if apex < 2:
            assert strength[apex:] == sorted(strength[apex:], reverse=True)


class Cut(Exception):
    """The power goes."""


def test_an_interrupted_run_goes_on_and_ends_with_the_same_bytes(
    small: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def cut(done: int, total: int) -> None:
        if done:
            raise Cut

    with pytest.raises(Cut):
        render_corpus("tiny", config(), tmp_path, cache, progress=cut, workers=1)
    assert not (tmp_path / "manifest.parquet").exists()
    drawn: list[int] = []
    draw = corpus.draw_person
    monkeypatch.setattr(corpus, "draw_person", lambda b, s, n: drawn.append(n) or draw(b, s, n))
    told: list[tuple[int, int]] = []
    render_corpus("tiny", config(), tmp_path, cache, progress=lambda *n: told.append(n), workers=1)
    assert drawn == [1]  # the first person was kept
    assert told == [(4, 8), (8, 8)]
    assert bytes_of(tmp_path) == bytes_of(small)


def test_a_part_counts_only_with_all_its_bytes(tmp_path: Path):
    part = tmp_path / "p0000"
    write_part(part, [({"key": "a"}, b"one"), ({"key": "b"}, b"three")])
    assert is_whole(part, 2)
    assert not is_whole(part, 3)
    tar = part.with_suffix(".tar")
    tar.write_bytes(tar.read_bytes()[:-1] + b"!")
    assert not is_whole(part, 2)
    part.with_suffix(".json").unlink()
    assert not is_whole(part, 2)


def test_pictures_are_counted_before_they_are_taken(small: Path, wide: Path):
    assert pictures_per_person(WIDE) == len(rows_of(wide)) == 8 + 7 * 2 * 3
    assert 2 * pictures_per_person(config()) == len(rows_of(small))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"people": 0}, "people"),
        ({"expressions": ["happy", "bored"]}, "expressions"),
        ({"expressions": ["happy", "happy"]}, "twice"),
        ({"intensity": [0.9, 0.2]}, "intensity"),
        ({"intensity": [0.5, 1.5]}, "intensity"),
        ({"lab_pictures": 0, "wild_pictures": 0}, "empty"),
        ({"occluder_share": 1.5}, "occluder_share"),
        ({"first_person": -1}, "first_person"),
        ({"colour": True}, "colour"),
    ],
)
def test_bad_settings_are_refused_in_a_sentence(changes: dict[str, Any], says: str):
    raw = {"kind": "rendered", "people": 2, "expressions": ["happy"], "lab_pictures": 1, **changes}
    with pytest.raises(MienError, match=says):
        parse_section(RenderedCorpus, raw, "params.yaml", "corpora.rendered")


def test_the_section_knows_the_canonical_expressions():
    settings = config(expressions=list(EXPRESSIONS))
    assert tuple(settings.expressions) == EXPRESSIONS == tuple(ALL)
