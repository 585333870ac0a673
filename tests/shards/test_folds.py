import numpy as np
import pytest

from mien.config import MienError
from mien.config.shard import Shard
from mien.config.train import Cell
from mien.shards.folds import grouped, make_folds, split_fold, split_one_class
from mien.shards.index import Index
from mien.shards.writer import write_shards
from tests.shards.painted import SMALL, Corpus, jpeg, people, picture, sharded


def names(*values):
    return np.array(values, dtype=object)


def test_groups_by_hand():
    a = names("x", "y", None, None, "y", None, "z")
    b = names(None, None, "s", "s", None, None, None)
    assert grouped([a], [], 7).tolist() == [0, 1, 2, 3, 1, 4, 5]
    assert grouped([a, b], [], 7).tolist() == [0, 1, 2, 2, 1, 3, 4]
    assert grouped([a, b], [(5, 0), (6, 3)], 7).tolist() == [0, 1, 2, 2, 1, 0, 2]


@pytest.mark.parametrize("seed", range(5))
def test_no_subject_crosses_and_every_row_has_one_fold(seed):
    random = np.random.default_rng(seed)
    group = random.integers(0, 25, 400).astype(np.int32)
    expression = names(*random.choice(["happy", "sad", None], 400))
    fold = make_folds(expression, group, 4, seed)
    assert set(fold) == {0, 1, 2, 3}
    assert all(len(set(fold[group == g])) == 1 for g in range(25))
    np.testing.assert_array_equal(fold, make_folds(expression, group, 4, seed))
    shares = [np.mean([e == "happy" for e in expression[fold == f]]) for f in range(4)]
    assert max(shares) - min(shares) < 0.15  # each about a third


def test_another_seed_makes_other_folds():
    group = np.arange(60, dtype=np.int32)
    expression = names(*["happy", "sad"] * 30)
    assert (make_folds(expression, group, 3, 0) != make_folds(expression, group, 3, 1)).any()


def test_too_few_people_are_refused(tmp_path):
    with pytest.raises(MienError, match=r"shard\.folds is 3, but there are only 2 people"):
        write_shards("painted", **people(2).write(tmp_path / "in"), into=tmp_path / "out", params=SMALL)


def check_parts(index: Index, fold: int, share: float, seed: int) -> None:
    split = split_fold(index, fold, share, seed)
    parts = split.parts(len(index))
    labelled = np.array([e is not None for e in index.expression])
    np.testing.assert_array_equal(parts >= 0, labelled)  # each labelled face in exactly one part
    np.testing.assert_array_equal(parts == 2, labelled & (index.fold == fold))
    for person in set(index.subject):
        assert len(set(parts[(index.subject == person) & labelled])) == 1
    assert len(split.train)
    assert len(split.validation)
    assert set(index.expression[split.validation]) <= set(index.classes)


@pytest.mark.parametrize("fold", [0, 1, 2])
@pytest.mark.parametrize("share", [0.01, 0.25, 0.99])
def test_parts_share_nobody(index, fold, share):
    check_parts(index, fold, share, seed=7)


def test_validation_is_the_asked_share_of_people_and_follows_the_seed(index):
    splits = [split_fold(index, 0, 0.25, seed) for seed in range(6)]
    assert all(len(set(index.subject[s.validation])) == 2 for s in splits)  # a quarter of eight people
    assert len({tuple(s.validation) for s in splits}) > 1
    np.testing.assert_array_equal(splits[3].validation, split_fold(index, 0, 0.25, 3).validation)
    assert {tuple(s.test) for s in splits} == {tuple(splits[0].test)}


def test_rows_without_expression_come_only_when_asked_for(index):
    whole = split_fold(index, 0, 0.25, 0, labelled=False)
    assert len(np.concatenate([whole.train, whole.validation, whole.test])) == 48
    assert len(whole.train) > len(split_fold(index, 0, 0.25, 0).train)


def test_a_fold_that_does_not_exist_is_refused(index):
    with pytest.raises(MienError, match="fold 3 does not exist"):
        split_fold(index, 3, 0.2, 0)


def strangers(sequences: bool = False) -> Corpus:
    """40 pictures of nobody known; in `sequences`, four at a time are frames of one."""
    corpus = Corpus()
    for n in range(40):
        known = {"sequence": f"s{n // 4}", "frame": n % 4, "frames": 4} if sequences else {}
        corpus.add(f"f{n:02d}", jpeg(picture(n)), expression=("happy", "sad")[n % 2], **known)
    return corpus


@pytest.mark.parametrize("by", ["subject", "picture"])
def test_frames_of_a_sequence_stay_together(tmp_path, by):
    params = Shard(folds=3, by=by)
    paths = strangers(sequences=True).write(tmp_path / "in")
    index = sharded("painted", **paths, into=tmp_path / "out", params=params)
    sequence = index.column("sequence")
    assert all(len(set(index.fold[sequence == s])) == 1 for s in set(sequence))
    assert index.shares_people == (by == "picture")


def test_unknown_people_are_grouped_by_their_copies(tmp_path):
    corpus = strangers()
    corpus.add("copy", jpeg(picture(5), quality=60), expression="sad")
    corpus.add("mirrored", jpeg(picture(9)[:, ::-1], quality=80), expression="sad")
    corpus.add("same", corpus.faces[30]["crop"], expression="happy")
    index = sharded("painted", **corpus.write(tmp_path / "in"), into=tmp_path / "out", params=SMALL)
    group = dict(zip(index.keys, index.group, strict=True))
    assert group["copy"] == group["f05"]
    assert group["mirrored"] == group["f09"]
    assert group["same"] == group["f30"]
    assert len(set(index.group)) == 40
    assert '"near-duplicates where the subject is unknown"' in (tmp_path / "out" / "counts.json").read_text()


def test_by_picture_shares_people_and_says_so(tmp_path):
    params = Shard(folds=3, by="picture", samples_per_shard=10)
    index = sharded("painted", **people().write(tmp_path / "in"), into=tmp_path / "out", params=params)
    assert any(len(set(index.fold[index.subject == s])) > 1 for s in set(index.subject))
    assert index.shares_people
    assert '"people_shared": true' in (tmp_path / "out" / "counts.json").read_text()


@pytest.mark.parametrize("folds_by", ["subject", "picture"])
@pytest.mark.parametrize("condition", ["", "lab"])
def test_one_class_trains_on_its_normal_class_and_is_tested_on_all(index, folds_by, condition):
    taken = np.array([c in ("lab", condition or "wild") for c in index.column("condition")])
    use = taken & np.array([e is not None for e in index.expression])
    tested = []
    for fold in range(3):
        split = split_one_class(index, Cell(fold, 0, "neutral", condition, folds_by), 0.2, seed=0)
        learnt = np.r_[split.train, split.validation]
        tested += split.test.tolist()
        assert set(index.expression[learnt]) == {"neutral"}
        assert set(index.expression[split.test]) == set(index.expression[use])
        assert use[np.r_[learnt, split.test]].all()
        outside = use & (index.expression == "neutral") & ~np.isin(np.arange(len(index)), split.test)
        assert sorted(learnt) == np.flatnonzero(outside).tolist()
        assert len(split.train)
        assert len(split.validation)
        parts = [set(index.subject[rows]) for rows in (split.train, split.validation, split.test)]
        crossing = (parts[0] & parts[2]) | (parts[1] & parts[2]) | (parts[0] & parts[1])
        if folds_by == "subject":
            assert not crossing
    assert sorted(tested) == np.flatnonzero(use).tolist()


def test_picture_folds_share_people_and_do_not_depend_on_the_class(index):
    splits = [split_one_class(index, Cell(0, 0, name, "", "picture"), 0.2, 0) for name in ("neutral", "sad")]
    assert splits[0].test.tolist() == splits[1].test.tolist()
    assert set(index.subject[splits[0].train]) & set(index.subject[splits[0].test])


def test_a_normal_class_without_faces_is_named(index):
    with pytest.raises(MienError, match=r"under lab has no face that shows fear"):
        split_one_class(index, Cell(0, 0, "fear", "lab", "subject"), 0.2, 0)
    # in the laboratory nobody is happy: it happens that a class has no faces under a condition
    with pytest.raises(MienError, match=r"under lab has no face that shows happy"):
        split_one_class(index, Cell(0, 0, "happy", "lab", "picture"), 0.2, 0)
