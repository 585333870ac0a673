import pytest
import torch

from mien.parts.augment import Augmentation, augment, uniform

STRONG = Augmentation(
    flip=0.5, rotation_degrees=20.0, shift=0.1, zoom=0.2, light=0.4, grey=0.5, erase=0.5, erase_side=0.4
)
STILL = Augmentation(flip=0.0, rotation_degrees=0.0)


def splitmix64(state: int, count: int) -> list[int]:
    """The reference, in Python's unbounded integers (https://prng.di.unimi.it/splitmix64.c)."""
    mask, out = (1 << 64) - 1, []
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        out.append(z ^ (z >> 31))
    return out


@pytest.mark.parametrize("seed", [0, 1, -1, 2**63 - 1, -(2**63), 1234567])
def test_uniform_is_the_published_generator(seed: int) -> None:
    expected = [number >> 40 for number in splitmix64(seed % 2**64, 5)]
    assert (uniform(torch.tensor([seed]), 5)[0] * 2**24).long().tolist() == expected


def test_published_first_output_for_seed_1234567() -> None:
    assert splitmix64(1234567, 1) == [6457827717110365317]  # so that the reference above is not wrong as well


def test_uniform_covers_the_interval_evenly() -> None:
    draws = uniform(torch.arange(20_000), 3)
    assert ((draws >= 0) & (draws < 1)).all()
    counts = torch.histc(draws[:, 0], bins=10, min=0, max=1)
    assert (counts - 2000).abs().max() < 200  # 4.7 standard deviations
    assert torch.corrcoef(draws.T)[0, 1].abs() < 0.03


def faces(count: int = 6, side: int = 24) -> torch.Tensor:
    return torch.rand((count, 3, side, side), generator=torch.Generator().manual_seed(0)) * 255


def test_a_face_is_changed_by_its_own_seed_alone_whatever_stands_beside_it() -> None:
    pixels, seed = faces(), torch.arange(6) * 977
    whole = augment(pixels, seed, STRONG)
    order = torch.tensor([4, 0, 5])
    assert torch.equal(augment(pixels[order], seed[order], STRONG), whole[order])
    assert torch.equal(
        torch.cat([augment(pixels[i : i + 1], seed[i : i + 1], STRONG) for i in range(6)]), whole
    )


def test_equal_seeds_give_equal_faces_and_others_do_not() -> None:
    pixels = faces(1).expand(3, -1, -1, -1)
    one, same, other = augment(pixels, torch.tensor([5, 5, 6]), STRONG)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_no_strength_leaves_faces_as_they_are() -> None:
    assert torch.equal(augment(faces(), torch.arange(6), STILL), faces())


def test_a_certain_flip_is_a_mirror() -> None:
    mirrored = augment(faces(), torch.arange(6), Augmentation(flip=1.0, rotation_degrees=0.0))
    torch.testing.assert_close(
        mirrored, faces().flip(-1), rtol=0, atol=2e-3
    )  # of 255: grid_sample interpolates


def test_half_the_faces_are_mirrored_at_one_half() -> None:
    pixels = faces(1, 8).expand(400, -1, -1, -1)
    out = augment(pixels, torch.arange(400), Augmentation(flip=0.5, rotation_degrees=0.0))
    share = (out - pixels.flip(-1)).abs().amax(dim=(1, 2, 3)).lt(0.01).float().mean()
    assert 0.4 < share < 0.6  # 4 standard deviations


def test_rotation_stays_within_its_bound_and_brings_black_in() -> None:
    pixels = torch.zeros((64, 3, 41, 41))
    pixels[:, :, 20, 36] = 255.0  # 16 px to the right of the centre
    out = augment(pixels, torch.arange(64), Augmentation(flip=0.0, rotation_degrees=10.0)).sum(dim=1)
    where = torch.stack([(face == face.max()).nonzero()[0] for face in out])
    assert (where[:, 0] - 20).abs().max() == 3  # 16 sin 10 degrees = 2.8
    assert len(where[:, 0].unique()) > 4
    white = torch.full((1, 3, 41, 41), 255.0)
    turned = augment(white, torch.tensor([3]), Augmentation(flip=0.0, rotation_degrees=45.0))
    assert turned[0, 0, 20, 20] == 255
    assert turned.amin() == 0


def test_light_keeps_the_range_and_grey_drops_colour() -> None:
    lit = augment(faces(), torch.arange(6), Augmentation(flip=0.0, rotation_degrees=0.0, light=0.9, grey=1.0))
    assert lit.amin() >= 0
    assert lit.amax() <= 255
    torch.testing.assert_close(lit[:, 0], lit[:, 1])
    assert lit.mean(dim=(1, 2, 3)).std() > 5


def test_an_erased_square_is_no_larger_than_its_share() -> None:
    how = Augmentation(flip=0.0, rotation_degrees=0.0, erase=1.0, erase_side=0.5)
    erased = (augment(torch.zeros((50, 3, 40, 40)), torch.arange(50), how) == 127.5)[:, 0]
    sides = erased.any(dim=1).sum(dim=1)
    assert sides.min() >= 9  # half of the largest
    assert sides.max() <= 21
