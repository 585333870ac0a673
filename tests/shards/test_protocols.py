"""The papers' splits at the sizes of the corpora themselves: labels and names in full, no picture."""

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from mien.config import MienError, load_params
from mien.config.corpora import CkPlusCorpus, FergDbCorpus, KdefCorpus, OuluCasiaCorpus, RafdCorpus
from mien.config.train import Cell
from mien.corpora import affectnet, ferplus, raf_db
from mien.corpora.ferg_db import CHARACTERS
from mien.corpora.official import Tree, adapter
from mien.corpora.rafd import NOBODY, WORDS
from mien.shards.folds import grouped, make_folds, split_cell, split_fold
from mien.shards.index import About, Index
from tests.corpora.trees import section, write

KDEF_CODES, KDEF_VIEWS = ("AF", "AN", "DI", "HA", "NE", "SA", "SU"), ("FL", "HL", "S", "HR", "FR")
CK_LABELLED = {1: 45, 2: 18, 3: 59, 4: 25, 5: 69, 6: 28, 7: 83}


def indexed(rows: list[dict], folds: int, tmp_path, by_person: bool = False) -> Index:
    """An index of rows with expression, subject and split; folds by person where asked for."""
    columns = {name: [row.get(name) for row in rows] for name in ("expression", "subject", "split")}
    names = np.array(columns["subject"], dtype=object)
    group = grouped([names], [], len(rows)) if by_person else np.arange(len(rows), dtype=np.int32)
    fold = make_folds(np.array(columns["expression"], dtype=object), group, folds, 0) if by_person else group
    keys = [f"k{n:06d}" for n in range(len(rows))]
    table = pa.table(
        {
            "key": keys,
            **{n: pa.array(v, pa.string()) for n, v in columns.items()},
            "group": group,
            "fold": fold,
        }
    )
    return Index(tmp_path / "shards", table, About("mini", folds, "subject", by_person, 0, 1.0, folds))


def labelled(parts: dict[str, tuple[int, ...]], expressions) -> list[dict]:
    """As many rows as an owner counts of each part and expression, in an order that tells nothing."""
    rows = [
        {"split": part, "expression": expression}
        for part, numbers in parts.items()
        for expression, number in zip(expressions, numbers, strict=False)
        for _ in range(number)
    ]
    return [rows[n] for n in np.random.default_rng(0).permutation(len(rows))]


def sizes(index: Index, cell: Cell, share: float) -> tuple[int, int, int]:
    split = split_cell(index, cell, share, seed=0)
    together = np.concatenate([split.train, split.validation, split.test])
    assert len(set(together.tolist())) == len(together)
    return len(split.train), len(split.validation), len(split.test)


def of_class(index: Index, rows) -> Counter:
    return Counter(index.expression[rows].tolist())


OFFICIAL = Cell(0, 0, folds_by="official")


def test_raf_db_is_12271_and_3068_with_a_tenth_for_validation(tmp_path):
    parts = {"train": raf_db.TRAIN, "test": raf_db.TEST}
    index = indexed(labelled(parts, raf_db.CODES.values()), 5, tmp_path)
    assert sizes(index, OFFICIAL, 0.1) == (11_044, 1_227, 3_068)
    split = split_cell(index, OFFICIAL, 0.1, seed=0)
    held_out = of_class(index, split.validation)
    for expression, number in zip(raf_db.CODES.values(), raf_db.TRAIN, strict=True):
        assert abs(held_out[expression] - number / 10) < 1  # each class alike
    again, other = (split_cell(index, OFFICIAL, 0.1, seed).validation for seed in (0, 1))
    assert split.validation.tolist() == again.tolist() != other.tolist()


def test_the_official_validation_part_is_used_where_there_is_one(tmp_path):
    train, validation, test = ferplus.LABELLED["majority"]
    parts = {"train": (train,), "validation": (validation,), "test": (test,)}
    index = indexed([*labelled(parts, ["happy"]), {"split": "train"}, {"split": "test"}], 5, tmp_path)
    assert sizes(index, OFFICIAL, 0.1) == (
        25_060,
        3_199,
        3_153,
    )  # two rows without an expression are left out


def test_what_affectnet_calls_validation_is_its_test(tmp_path):
    parts = {"train": affectnet.TRAIN, "validation": (affectnet.VALIDATION,) * 7}
    index = indexed(labelled(parts, affectnet.CODES), 5, tmp_path)
    assert sizes(index, OFFICIAL, 0.02) == (278_223, 5_678, 3_500)
    split = split_cell(index, OFFICIAL, 0.02, seed=0)
    assert set(index.column("split")[split.test]) == {"validation"}


def test_a_corpus_without_official_parts_is_named(tmp_path):
    index = indexed([{"expression": "sad"}] * 9, 3, tmp_path)
    with pytest.raises(MienError, match=r"shards has 0 labelled faces in an official training part and 0"):
        split_cell(index, OFFICIAL, 0.1, 0)


def test_rafd_is_5152_1280_and_1608(tmp_path):
    names = [
        f"Rafd{camera:03d}_{person:02d}_Caucasian_female_{word}_{gaze}.jpg"
        for camera in (0, 45, 90, 135, 180)
        for person in range(1, 74)
        if person not in NOBODY
        for word in WORDS
        for gaze in ("left", "frontal", "right")
    ]
    found = adapter("rafd").listing(Tree("rafd", tmp_path, tuple(names)), section(RafdCorpus, tmp_path))
    index = indexed(found.rows, 5, tmp_path)
    for fold in (0, 4):
        cell = Cell(fold, 0, folds_by="picture")
        assert sizes(index, cell, 0.199) == (5_152, 1_280, 1_608)
        split = split_cell(index, cell, 0.199, seed=0)
        assert set(of_class(index, split.train).values()) == {644}
        assert set(of_class(index, split.validation).values()) == {160}
        tested = Counter(zip(index.subject[split.test], index.expression[split.test], strict=True))
        assert len(tested) == 67 * 8
        assert set(tested.values()) == {3}  # of each person's fifteen


def test_kdef_gives_a_fifth_of_each_person_and_expression_to_the_test(tmp_path):
    people = [f"{s}{x}{n:02d}" for s in "AB" for x in "FM" for n in range(1, 36)]
    names = [f"KDEF/{p}/{p}{code}{view}.JPG" for p in people for code in KDEF_CODES for view in KDEF_VIEWS]
    config = section(KdefCorpus, tmp_path)
    index = indexed(adapter("kdef").listing(Tree("kdef", tmp_path, tuple(names)), config).rows, 5, tmp_path)
    assert sizes(index, Cell(0, 0, folds_by="picture"), 0.2) == (3_136, 784, 980)


def test_ferg_db_is_80_10_10_of_each_character_and_expression_and_its_characters_are_six_folds(tmp_path):
    shard = load_params(Path(__file__).parents[2] / "presets" / "paper.yaml").shard
    assert shard.folds_in("ferg_db")[0] == len(CHARACTERS)
    words = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")
    names = [
        f"FERG_DB_256/{who}/{who}_{word}/{who}_{word}_{number}.png"
        for place, who in enumerate(CHARACTERS)
        for word in words
        for number in range(1200 + 45 * place)  # they differ in how often they were drawn
    ]
    config = section(FergDbCorpus, tmp_path)
    found = adapter("ferg_db").listing(Tree("ferg_db", tmp_path, tuple(names)), config)
    index = indexed(found.rows, shard.folds_in("ferg_db", "picture")[0], tmp_path)
    split = split_cell(index, Cell(0, 0, folds_by="picture"), 0.111, seed=0)
    assert [round(len(part) / len(names), 2) for part in (split.train, split.validation, split.test)] == [
        0.8,
        0.1,
        0.1,
    ]
    tested = Counter(zip(index.subject[split.test], index.expression[split.test], strict=True))
    assert len(tested) == len(CHARACTERS) * len(words)
    of = Counter(zip(index.subject, index.expression, strict=True))
    assert all(abs(number - of[pair] / 10) < 1 for pair, number in tested.items())


@pytest.fixture(scope="module")
def ck_plus(tmp_path_factory) -> Tree:
    """593 sequences of twelve frames of 123 people by name, with the 327 labels of 118 people as files."""
    root = tmp_path_factory.mktemp("ck")
    codes = [code for code, number in CK_LABELLED.items() for _ in range(number)]
    places = [(f"S{n % 123:03d}", f"{n // 123:03d}") for n in range(593)]
    frames = [f"cohn-kanade-images/{s}/{n}/{s}_{n}_{k:08d}.png" for s, n in places for k in range(1, 13)]
    labels = []
    for (s, n), code in zip((p for p in places if p[0] < "S118"), codes, strict=False):
        labels.append(f"Emotion/{s}/{n}/{s}_{n}_00000012_emotion.txt")
        write(root / labels[-1], f"   {code}.0000000e+00\n")
    return Tree("ck_plus", root, tuple(frames + labels))


BASIC = ["happy", "sad", "surprise", "fear", "disgust", "anger"]


@pytest.mark.parametrize(
    ("settings", "sequences", "faces"),
    [
        ({"expressions": BASIC}, 309, 927),  # SNA
        ({"expressions": [*BASIC, "contempt"]}, 327, 981),  # IDFERM, seven classes
        ({"expressions": ["neutral", *BASIC, "contempt"], "neutral_frames": 1}, 327, 1_308),  # eight
    ],
    ids=["six", "seven", "eight"],
)
def test_ck_plus_protocols(ck_plus, tmp_path, settings, sequences, faces):
    config = section(CkPlusCorpus, ck_plus.root, **settings)
    rows = [r for r in adapter("ck_plus").listing(ck_plus, config).rows if r["expression"] is not None]
    assert len(rows) == faces
    assert len({r["sequence"] for r in rows}) == sequences
    assert {r["frame"] for r in rows if r["expression"] != "neutral"} == {9, 10, 11}
    assert {r["frame"] for r in rows if r["expression"] == "neutral"} <= {0}
    index = indexed(rows, 10, tmp_path, by_person=True)
    tested = [split_fold(index, fold, 0.1, 0).test for fold in range(10)]
    assert sum(map(len, tested)) == faces
    assert sum(len(set(index.subject[rows])) for rows in tested) == len(set(index.subject))


def test_oulu_casia_is_ten_folds_of_eight_people(tmp_path):
    words = ("Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise")
    names = [
        f"OriginalImg/VL/Strong/P{p:03d}/{word}/{k:03d}.jpeg"
        for p in range(1, 81)
        for word in words
        for k in range(9)
    ]
    config = section(OuluCasiaCorpus, tmp_path)
    found = adapter("oulu_casia").listing(Tree("oulu_casia", tmp_path, tuple(names)), config).rows
    rows = [row for row in found if row["expression"] is not None]
    assert (len(rows), {row["frame"] for row in rows}) == (1_440, {6, 7, 8})
    index = indexed(rows, 10, tmp_path, by_person=True)
    for fold in range(10):
        split = split_fold(index, fold, 0.1, 0)
        assert (len(split.test), len(set(index.subject[split.test]))) == (144, 8)
