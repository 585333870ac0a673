import cv2
import numpy as np
import torch

from mien.parts import frontal
from mien.parts.landmark_sets import INNER


def eyes_at(left: tuple[float, float], right: tuple[float, float]) -> torch.Tensor:
    points = torch.zeros(1, 68, 2)
    points[0, 36:42], points[0, 42:48] = torch.tensor(left), torch.tensor(right)
    return points


def noise(count: int, seed: int = 0, side: int = 64) -> torch.Tensor:
    return torch.randint(
        0, 256, (count, 1, side, side), generator=torch.Generator().manual_seed(seed)
    ).float()


def test_the_49_inner_points_are_those_without_jaw_and_inner_mouth_corners() -> None:
    assert len(set(INNER)) == len(INNER) == 49
    assert set(range(68)) - set(INNER) == {*range(17), 60, 64}


def test_a_face_whose_eyes_are_in_place_stays_as_it_is() -> None:
    face = noise(1).expand(1, 3, 64, 64)
    made = frontal.aligned(face, eyes_at((18, 22), (46, 22)))
    torch.testing.assert_close(made, face[:, :1], rtol=0, atol=1e-3)


def test_eyes_come_to_their_place_however_a_face_is_turned() -> None:
    face = torch.zeros(1, 3, 64, 64)
    face[..., 28:31, 19:22], face[..., 42:45, 40:43] = 250, 120  # the eyes' centres: (20, 29) and (41, 43)
    made = frontal.aligned(face, eyes_at((20, 29), (41, 43)))[0, 0]
    assert made[22, 18] > 240
    assert 110 < made[22, 46] < 130
    assert made.sum() == made[18:27, 14:51].sum()


def test_a_large_crop_is_shrunk_before_it_is_sampled() -> None:
    small = torch.nn.functional.interpolate(noise(1, side=8), size=(64, 64), mode="bicubic").expand(
        1, 3, 64, 64
    )
    large = torch.nn.functional.interpolate(small, size=(256, 256), mode="bicubic", align_corners=False)
    points = eyes_at((18, 22), (46, 22))
    same = frontal.aligned(large, (points + 0.5) * 4 - 0.5)
    assert (same - frontal.aligned(small, points)).abs()[
        ..., 4:60, 4:60
    ].mean() < 4  # two interpolations apart


def test_sideways_is_the_nose_between_the_ends_of_the_jaw() -> None:
    points = torch.zeros(3, 68, 2)
    points[:, 16, 0], points[:, 30, 0] = 10.0, torch.tensor([5.0, 2.5, 7.5])
    torch.testing.assert_close(frontal.sideways(points), torch.tensor([0.0, -0.5, 0.5]))
    assert frontal.turned_left(points).tolist() == [False, True, False]


def test_equalisation_is_opencvs() -> None:
    dark = (noise(4) / 3 + 20).round()
    dark[3] = 77  # of one value
    found = frontal.equalised(dark).numpy().astype(np.uint8)
    for before, after in zip(dark.numpy().astype(np.uint8), found, strict=True):
        assert np.array_equal(after[0], cv2.equalizeHist(before[0]))


def test_a_plane_of_light_leaves_nothing_and_what_is_left_is_at_right_angles_to_it() -> None:
    y, x = torch.meshgrid(torch.arange(60.0), torch.arange(60.0), indexing="ij")
    plane = (0.7 * x - 1.3 * y + 40)[None, None]
    assert frontal.without_plane(plane).abs().max() < 1e-3
    left = frontal.without_plane(noise(1, side=60) + plane)[0, 0].double()
    for direction in (torch.ones(60, 60), x, y):
        assert abs((left * direction).mean() / direction.norm()) < 1e-6


def test_lit_alike_has_mean_0_and_spread_1_and_a_blank_face_is_0() -> None:
    faces = noise(3, side=60)
    faces[2] = 9
    made = frontal.lit_alike(faces)
    torch.testing.assert_close(made[:2].mean(dim=(1, 2, 3)), torch.zeros(2), rtol=0, atol=1e-5)
    torch.testing.assert_close(made[:2].std(dim=(1, 2, 3), correction=0), torch.ones(2), rtol=0, atol=1e-5)
    assert made[2].abs().max() == 0


def test_ten_crops_are_corners_and_middle_and_their_mirror_images() -> None:
    faces = noise(2)
    crops = frontal.ten_crops(faces)
    assert crops.shape == (2, 10, 60, 60)
    assert torch.equal(crops[:, 4], faces[:, 0, 2:62, 2:62])
    assert torch.equal(crops[:, 3], faces[:, 0, 4:, 4:])
    assert torch.equal(crops[:, 5:], crops[:, :5].flip(-1))
    assert torch.equal(frontal.crop(faces)[:, 0], crops[:, 4])
    assert torch.equal(
        frontal.crop(faces, torch.tensor([7, 0]))[:, 0], torch.stack([crops[0, 7], crops[1, 0]])
    )


def test_each_of_the_ten_crops_is_chosen_about_equally_often() -> None:
    drawn = frontal.choice(torch.arange(20_000)).bincount(minlength=10)
    assert len(drawn) == 10
    assert drawn.min() > 1_800  # of 2,000; six standard deviations are 255
