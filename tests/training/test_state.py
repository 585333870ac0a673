"""A state within an epoch, where ranks have sums and random numbers of their own."""

import torch

from mien.training.ranks import rank_and_world
from mien.training.state import of_all_ranks, of_rank, random_state, restore_random
from tests.two_ranks import TwoRanks


def kept_and_drawn() -> tuple[dict[str, float], list[float], list[float]]:
    """In a rank's process: the sums that are kept, what it draws next, and what it draws after a restart."""
    rank, _ = rank_and_world()
    torch.manual_seed(rank)
    state = {"progress": {"step": 1, "sums": {"loss": 2.0 * rank}}, "random": random_state()}
    kept = of_all_ranks(state, torch.device("cpu"))
    undisturbed = torch.rand(3).tolist()
    torch.rand(100)
    restore_random(of_rank(kept, rank)["random"])
    return kept["progress"]["sums"], undisturbed, torch.rand(3).tolist()


def test_sums_are_averaged_and_each_rank_goes_on_with_its_own_random_numbers(two_ranks: TwoRanks):
    first, second = two_ranks(kept_and_drawn)
    for sums, undisturbed, again in (first, second):
        assert sums == {"loss": 1.0}
        assert again == undisturbed
    assert first[1] != second[1]


def test_more_ranks_than_before_start_from_the_first_ones_numbers():
    state = {"random": {"torch": torch.tensor([1])}, "generators": torch.tensor([[2], [3]])}
    assert of_rank(state, 1)["random"]["torch"].tolist() == [3]
    assert of_rank(state, 2)["random"]["torch"].tolist() == [1]
