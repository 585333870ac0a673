import hashlib

import numpy as np
import pytest

from mien.config import MienError
from mien.shards import order


def test_shuffles_are_permutations_by_seed_and_epoch():
    orders = {(s, e): tuple(order.shuffled(50, s, e)) for s in range(3) for e in range(3)}
    assert all(sorted(o) == list(range(50)) for o in orders.values())
    assert len(set(orders.values())) == 9


def test_a_stream_reads_each_tar_in_one_go_but_mixes_within_its_window():
    shards = np.repeat(np.arange(6), 10)
    stream, tars = order.streamed(shards, 0, 0, window=20), order.streamed_tars(shards, 0, 0)
    assert sorted(stream) == list(range(60))
    assert sorted(tars) == list(range(6))
    for first in range(0, 60, 20):  # two tars a window, those that come next
        assert set(shards[stream[first : first + 20]]) == set(tars[first // 10 : first // 10 + 2])
    assert any(
        shards[a] != shards[b] and shards[b] != shards[c]
        for a, b, c in zip(stream, stream[1:], stream[2:], strict=False)
    )


def test_a_stream_of_some_rows_skips_the_tars_that_have_none():
    shards = np.array([2, 2, 7])
    stream, tars = order.streamed(shards, 1, 1, window=100), order.streamed_tars(shards, 1, 1)
    assert sorted(stream) == [0, 1, 2]
    assert sorted(tars) == [2, 7]


def test_ranks_cut_each_global_batch_into_contiguous_parts():
    stream = np.arange(26)[::-1].copy()
    one = order.share(stream, 8, 0, 1, 0)
    two = [order.share(stream, 8, rank, 2, 0) for rank in range(2)]
    assert [b.tolist() for b in one] == [np.concatenate(parts).tolist() for parts in zip(*two, strict=True)]
    assert len(one) == 3  # the last two faces are left out of this epoch
    assert [b.tolist() for b in order.share(stream, 8, 1, 2, 2)] == [two[1][2].tolist()]


def test_a_batch_must_divide_over_the_workers_and_fit_into_the_part():
    with pytest.raises(MienError, match="does not divide over 3"):
        order.share(np.arange(100), 8, 0, 3, 0)
    with pytest.raises(MienError, match="only 7 faces"):
        order.share(np.arange(7), 8, 0, 1, 0)


@pytest.mark.parametrize("world", [1, 2, 3, 5])
def test_evaluation_visits_each_once_over_the_ranks(world):
    parts = [order.in_turn(23, 7, rank, world) for rank in range(world)]
    seen = [i for part in parts for batch in part for i in batch.tolist()]
    assert sorted(seen) == list(range(23))
    assert all(len(batch) for part in parts for batch in part)


def test_splitmix_by_hand():
    # the published first outputs of splitmix64 for seed 1234567
    states = [(1234567 + k * 0x9E3779B97F4A7C15) % 2**64 for k in range(3)]
    outputs = order._splitmix64(np.array(states, dtype=np.uint64)).tolist()
    assert outputs == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_face_seeds_depend_on_seed_epoch_and_key_alone():
    hashes = order.key_hashes(f"k{n}" for n in range(1000))
    assert hashes[0] == int.from_bytes(hashlib.blake2b(b"k0", digest_size=8).digest(), "little")
    all_seeds = np.concatenate([order.face_seeds(hashes, s, e) for s in range(4) for e in range(4)])
    assert len(np.unique(all_seeds)) == 16_000
    assert all_seeds.dtype == np.int64
    np.testing.assert_array_equal(order.face_seeds(hashes[5:6], 3, 2), order.face_seeds(hashes, 3, 2)[5:6])
    bits = np.unpackbits(all_seeds.view(np.uint8)).mean()
    assert abs(bits - 0.5) < 0.005  # 1,024,000 fair bits: ten standard deviations


def test_balanced_batches_hold_nine_of_each_of_seven_classes():
    label = np.repeat(np.arange(7), [200, 300, 50, 40, 5, 9, 30])
    batches = order.balanced(label, 63, 0, 0).reshape(-1, 63)
    assert len(batches) == len(label) // 63
    for batch in batches:
        assert np.bincount(label[batch], minlength=7).tolist() == [9] * 7
    rare = np.bincount(batches.ravel(), minlength=len(label))[label == 4]
    assert rare.sum() == 90
    assert set(rare.tolist()) == {18}  # gone through again and again, each face as often
    frequent = np.bincount(batches.ravel(), minlength=len(label))[label == 1]
    assert set(frequent.tolist()) == {0, 1}


def test_balanced_orders_are_made_by_seed_and_epoch_alone():
    label = np.arange(40) % 4
    orders = {(s, e): tuple(order.balanced(label, 8, s, e)) for s in range(3) for e in range(3)}
    assert len(set(orders.values())) == 9
    assert orders[1, 2] == tuple(order.balanced(label, 8, 1, 2))
    first = np.array(orders[0, 0]).reshape(-1, 8)
    assert not all((np.diff(label[batch]) >= 0).all() for batch in first)  # classes are mixed within a batch


def test_faces_without_a_class_stand_in_no_balanced_batch_and_classes_must_share_it():
    label = np.array([0, 1, -1, 0, 1, -1, 0, 1])
    assert 2 not in order.balanced(label, 4, 0, 0)
    with pytest.raises(MienError, match="cannot be shared by 2 classes"):
        order.balanced(label, 5, 0, 0)


def test_batches_by_people_hold_every_class_of_a_few_people():
    label, subject = np.tile(np.arange(3), 40), np.repeat(np.arange(10), 12)
    batches = order.balanced_by_people(label, subject, 6, 0, 0).reshape(-1, 6)
    assert len(batches) == 20
    for batch in batches:
        assert np.bincount(label[batch]).tolist() == [2, 2, 2]
        assert len(set(zip(label[batch].tolist(), subject[batch].tolist(), strict=True))) in (3, 6)
        assert len(set(subject[batch].tolist())) <= 2
    assert np.bincount(subject[batches.ravel()]).tolist() == [12] * 10  # all people equally often
    assert tuple(batches.ravel()) == tuple(order.balanced_by_people(label, subject, 6, 0, 0))
    assert tuple(batches.ravel()) != tuple(order.balanced_by_people(label, subject, 6, 0, 1))


def test_another_persons_face_stands_in_for_one_that_somebody_lacks_and_nobody_known_is_refused():
    label, subject = np.array([0, 1, 0, 0, -1]), np.array([5, 5, 6, -1, 6])
    batch = order.balanced_by_people(label, subject, 4, 0, 0)
    assert np.bincount(label[batch]).tolist() == [2, 2]
    assert set(batch[label[batch] == 1].tolist()) == {1}
    with pytest.raises(MienError, match="0 people are known"):
        order.balanced_by_people(label, np.full(5, -1), 4, 0, 0)
