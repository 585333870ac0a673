import torch

from mien.parts.pictures import contrast_normalise, grey, normalise, resize


def test_normalise_by_hand() -> None:
    assert normalise(torch.tensor([0.0, 127.5, 255.0])).tolist() == [-0.99609375, 0.0, 0.99609375]


def test_the_right_size_is_left_alone() -> None:
    faces = torch.randint(0, 256, (2, 3, 9, 9), dtype=torch.uint8)
    assert torch.equal(resize(faces, 9), faces.float())


def test_shrinking_averages_what_it_leaves_out() -> None:
    board = (torch.arange(64)[:, None] + torch.arange(64)[None]) % 2 * 255
    small = resize(board.expand(1, 3, 64, 64).byte(), 16)
    assert (small[..., 2:-2, 2:-2] - 127.5).abs().max() < 3  # without antialiasing it would be 0 or 255


def test_a_window_is_the_middle_of_the_crop() -> None:
    faces = torch.arange(100.0).view(1, 1, 10, 10).expand(1, 3, 10, 10)
    assert torch.equal(resize(faces, 6, window=0.6), faces[..., 2:8, 2:8])


def test_evened_light_does_not_feel_brightness_contrast_or_colour() -> None:
    face = torch.rand((1, 1, 8, 8), generator=torch.Generator().manual_seed(0)).expand(1, 3, 8, 8) * 255
    lamp = torch.tensor([1.2, 1.0, 0.8]).view(1, 3, 1, 1)
    one, other = normalise(face, "evened"), normalise(face * lamp / 2 + 60, "evened")
    torch.testing.assert_close(one, other, rtol=0, atol=1e-2)  # 1 grey level keeps a flat face from noise
    assert torch.equal(one[:, 0], one[:, 2])
    assert abs(float(one.mean())) < 1e-6
    assert abs(float(one.std(correction=0)) - 0.5) < 0.02
    assert normalise(torch.full((1, 3, 8, 8), 9.0), "evened").abs().max() == 0


def test_contrast_normalisation_by_hand() -> None:
    face = torch.tensor([1.0, 3.0, 5.0, 7.0]).view(1, 1, 2, 2)
    expected = torch.tensor([-3.0, -1.0, 1.0, 3.0]).view(1, 1, 2, 2) / 2  # mean 4, mean |d| 2
    torch.testing.assert_close(contrast_normalise(face), expected)


def test_contrast_normalisation_feels_neither_gain_nor_offset_and_is_a_face_s_own() -> None:
    faces = torch.rand((3, 3, 9, 9), generator=torch.Generator().manual_seed(0))
    out = contrast_normalise(faces)
    torch.testing.assert_close(contrast_normalise(3 * faces + 7), out, rtol=0, atol=1e-5)
    torch.testing.assert_close(contrast_normalise(faces[1:2]), out[1:2])
    assert out.mean(dim=(1, 2, 3)).abs().max() < 1e-6
    torch.testing.assert_close(out.abs().mean(dim=(1, 2, 3)), torch.ones(3))
    assert out.square().mean() > 1.2  # a decoder that says 0 is not right by half: 4/3 on uniform noise


def test_a_face_without_contrast_gives_zeros() -> None:
    # a plain x - mean(x) leaves rounding at this size and value, which the division blows up to 1
    assert contrast_normalise(torch.full((1, 3, 224, 224), 117.3)).abs().max() == 0
    assert torch.isfinite(contrast_normalise(torch.zeros(1, 1, 4, 4), eps=1e-8)).all()


def test_grey_is_black_at_minus_one_and_white_at_one() -> None:
    pixels = torch.tensor([[0.0, 0.0, 0.0], [255.0, 255.0, 255.0], [0.0, 127.5, 255.0]])[:, :, None, None]
    assert grey(pixels).flatten().tolist() == [-1, 1, 0]
    faces = 255 * torch.rand((2, 3, 8, 8), generator=torch.Generator().manual_seed(0))
    assert torch.equal(grey(faces, "evened"), normalise(faces, "evened")[:, :1])
