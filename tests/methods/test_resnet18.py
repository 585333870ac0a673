import pytest
import torch
from safetensors.torch import save_file
from torch.nn.functional import cross_entropy
from torchvision.models import resnet18

from mien import methods
from tests import tiny

TINY = {
    "input_px": 32, "batch_size": 8, "epochs": 3, "learning_rate": 1e-3, "label_smoothing": 0.0,
    "augmentation": {"flip": 0.5, "rotation_degrees": 5.0, "erase": 0.5},
}  # fmt: skip


def test_size_with_seven_classes() -> None:
    method = tiny.build("resnet18", classes=tuple("abcdefg"))
    assert sum(p.numel() for p in method.parameters()) == 11_180_103  # torchvision's 11,176,512 and 7 x 513


def test_the_term_is_the_cross_entropy_of_what_it_predicts() -> None:
    method, faces = tiny.build("resnet18").eval(), tiny.faces(4)
    (phase,) = method.phases()
    expected = -method.predict(faces)[range(4), faces.label].log().mean()
    torch.testing.assert_close(method(faces, phase, "all")["cross_entropy"], expected, rtol=0, atol=1e-5)


def test_smoothing_by_hand() -> None:
    method, faces = tiny.build("resnet18", label_smoothing=0.3).eval(), tiny.faces(2)
    log = method.predict(faces).log()
    by_hand = -(0.7 * log[range(2), faces.label] + 0.3 * log.mean(dim=1)).mean()
    terms, scores = method.validate(faces, method.phases()[0])
    torch.testing.assert_close(terms["cross_entropy"], by_hand, rtol=0, atol=1e-5)
    assert not torch.allclose(terms["cross_entropy"], cross_entropy(scores, faces.label))


def test_augmentation_is_for_training_only() -> None:
    method, faces = tiny.build("resnet18"), tiny.faces(4)
    other = type(faces)(faces.keys, faces.faces, faces.label, faces.seed + 1)
    assert torch.equal(method.eval().predict(faces), method.predict(other))
    assert not torch.equal(method.train().predict(faces), method.predict(other))


def test_a_weight_file_fills_all_but_the_classifier(tmp_path) -> None:
    given = resnet18()
    save_file(given.state_dict(), tmp_path / "w.safetensors")
    method = tiny.build("resnet18", weights=str(tmp_path / "w.safetensors"))
    method.start(method.phases()[0], 3)
    assert torch.equal(method.network.layer4[1].conv2.weight, given.layer4[1].conv2.weight)
    assert method.network.fc.weight.shape == (3, 512)
    assert method.record()["weights"].startswith("file ")


def test_a_trained_model_of_miens_own_is_where_another_starts(tmp_path) -> None:
    trained = tiny.build("resnet18", seed=1)
    methods.save(trained, "resnet18", tmp_path, {})
    method = tiny.build("resnet18", classes=("neutral", "happy"), weights=str(tmp_path / methods.WEIGHTS))
    method.start(method.phases()[0], 2)
    for name, tensor in method.network.state_dict().items():
        same = not name.startswith("fc.")
        assert torch.equal(tensor, trained.network.state_dict()[name]) if same else len(tensor) == 2


@pytest.mark.parametrize(("stem", "side"), [("imagenet", 2), ("small", 8)])
def test_the_small_stem_keeps_four_times_the_side(stem: str, side: int) -> None:
    network = tiny.build("resnet18", stem=stem, input_px=64).network.eval()
    seen = []
    network.layer4.register_forward_hook(lambda module, inputs, out: seen.append(out.shape[-1]))
    network(torch.zeros(1, 3, 64, 64))
    assert seen == [side]


def test_width_scales_every_stage() -> None:
    network = tiny.build("resnet18", width=0.25).network
    stages = (network.layer1, network.layer2, network.layer3, network.layer4)
    assert [stage[-1].conv2.out_channels for stage in stages] == [16, 32, 64, 128]
    assert network.fc.in_features == 128
