import torch

from mien.parts.judges import Judges, LightCNN4, VGGFace


def count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_sizes_at_the_papers_width() -> None:
    light, vgg = LightCNN4(128, 1.0), VGGFace(112, 1.0)
    assert (count(light), count(vgg)) == (4_098_048, 555_328)
    maps, known = light(torch.zeros(1, 1, 64, 64))
    assert (maps.shape, known.shape) == ((1, 192, 5, 5), (1, 256))
    assert vgg(torch.zeros(1, 1, 64, 64)).shape == (1, 256, 28, 28)


def test_vgg_reads_grey_faces_as_its_weights_do() -> None:
    vgg = VGGFace(16, 0.0625)
    seen: list[torch.Tensor] = []
    vgg.conv1_1.register_forward_hook(lambda module, given, out: seen.append(given[0]))
    vgg(torch.full((1, 1, 16, 16), 0.2))
    torch.testing.assert_close(
        seen[0][0, :, 3, 3], 0.2 * 127.5 + 127.5 - torch.tensor([129.186, 104.762, 93.594])
    )


def test_judges_move_only_while_they_learn() -> None:
    judges = Judges((16, 64), 0.0625)
    judges.learn(5)
    faces, person = torch.rand(4, 1, 64, 64) * 2 - 1, torch.tensor([0, 1, 2, 4])
    assert judges.train().training
    assert [logits.shape for logits in judges.recognise(faces)] == [(4, 5), (4, 5)]
    assert set(judges.losses(faces, person)) == {"vgg_face", "light_cnn"}
    judges.heads = None
    assert not judges.train().training
