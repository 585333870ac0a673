import math

import torch

from mien.parts import hng


def test_sizes_at_the_papers_width() -> None:
    generator, discriminator = hng.Generator(1.0, 0.1), hng.Discriminator(1.0, 0.1)
    parts = (generator.encoder, generator.decoder, discriminator)
    assert [sum(p.numel() for p in part.parameters()) for part in parts] == [4_852_800, 4_859_777, 2_763_585]
    faces = torch.zeros(2, 1, 64, 64)
    assert generator.encoder(faces).shape == (2, 256)
    assert generator(faces).shape == (2, 1, 64, 64)
    assert discriminator(faces).shape == (2, 1)


def test_symmetry() -> None:
    face = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    even = face + face.flip(-1)
    assert hng.symmetry_loss(even).max() == 0
    halves = torch.cat([torch.zeros(1, 1, 64, 32), torch.ones(1, 1, 64, 32)], dim=-1)
    torch.testing.assert_close(hng.symmetry_loss(halves), torch.ones(1))
    torch.testing.assert_close(hng.symmetry_loss(face + 3), hng.symmetry_loss(face), rtol=0, atol=1e-5)


def test_the_laplacian_sees_no_slope_of_light_and_sees_a_spot() -> None:
    y, x = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
    assert hng.laplacian((3 * x - y + 7)[None, None]).abs().max() < 1e-4
    spot = torch.zeros(1, 1, 5, 5)
    spot[0, 0, 2, 2] = 1
    assert hng.laplacian(spot)[0, 0].tolist() == [[0, 1, 0], [1, -4, 1], [0, 1, 0]]


def test_losses_by_hand() -> None:
    a, b = torch.tensor([[1.0, 3.0]]), torch.tensor([[2.0, 5.0]])
    assert hng.feature_loss(a, b).tolist() == [2.5]
    assert hng.identity_loss(a, b).tolist() == [1.5]
    assert hng.pixel_loss(a, b).tolist() == [1.5]
    none = torch.zeros(3, 1)
    torch.testing.assert_close(hng.discriminator_loss(none, none), torch.tensor(2 * math.log(2)))
    torch.testing.assert_close(
        hng.told(torch.tensor([[0.0], [2.0]]), real=True)[1], torch.tensor(2.0).sigmoid().log().neg()
    )


def test_a_guide_is_the_face_most_from_the_front_of_each_person() -> None:
    guides, grey = hng.Guides(), torch.arange(6.0)[:, None, None, None].expand(6, 1, 64, 64) * 10
    guides.add(grey[:3], torch.tensor([7, 2, 7]), torch.tensor([0.3, 0.1, -0.2]))
    guides.add(grey[3:], torch.tensor([2, -1, 9]), torch.tensor([0.2, 0.0, 0.5]))
    assert guides.people.tolist() == [2, 7, 9]
    assert guides.faces[:, 0, 0, 0].tolist() == [10, 20, 50]
    found, known = guides.of(torch.tensor([9, 3, 2, 11]))
    assert known.tolist() == [True, False, True, False]
    torch.testing.assert_close(found[[0, 2], 0, 0, 0], torch.tensor([50, 10]) / 127.5 - 1)
    shares = torch.tensor([0.0, 0.34, 0.99])
    torch.testing.assert_close(guides.drawn(shares)[:, 0, 0, 0], torch.tensor([10, 20, 50]) / 127.5 - 1)
