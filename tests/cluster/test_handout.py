"""Who trains which cell."""

from mien.cluster.handout import Handout

JOBS = [{"experiment": name} for name in ("a", "a", "b", "a", "b")]


def test_whoever_is_free_takes_the_next_cell():
    handout = Handout(JOBS)
    assert [handout.next(group, None) for group in (0, 1)] == [0, 1]
    assert handout.next(1, 1) == 2
    assert handout.next(1, 2) == 3
    assert handout.next(0, 0) == 4
    assert not handout.left()
    assert handout.next(1, 3) is None
    assert handout.next(0, 4) is None


def test_a_group_that_was_restarted_gets_the_cell_it_had():
    handout = Handout(JOBS)
    assert handout.next(0, None) == 0
    assert handout.next(0, None) == 0
    assert handout.next(0, 0) == 1
    assert handout.next(0, None) == 1
    assert handout.job(1) == {"experiment": "a"}


def test_what_a_group_fails_at_is_given_up_with_its_experiment():
    handout = Handout(JOBS)
    assert handout.give_up(0) is None
    assert handout.next(0, None) == 0
    assert handout.give_up(0) == "a"
    assert handout.next(0, None) == 2
    assert handout.next(0, 2) == 4
    assert handout.next(0, 4) is None
