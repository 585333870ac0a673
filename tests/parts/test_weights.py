import hashlib

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from mien.config import MienError
from mien.parts.weights import load_weights


def net() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))


def test_extra_tensors_and_missing_counters_are_forgiven(tmp_path) -> None:
    source, target, file = net(), net(), tmp_path / "w.safetensors"
    state = {k: v for k, v in source.state_dict().items() if not k.endswith("num_batches_tracked")}
    save_file({**state, "head.weight": torch.ones(1)}, file)
    assert load_weights(target, str(file), "key") == hashlib.sha256(file.read_bytes()).hexdigest()
    assert torch.equal(target[0].weight, source[0].weight)


def test_a_pt_file_works_too(tmp_path) -> None:
    source, target = net(), net()
    torch.save(source.state_dict(), tmp_path / "w.pt")
    load_weights(target, str(tmp_path / "w.pt"), "key")
    assert torch.equal(target[0].weight, source[0].weight)


def test_a_pickle_that_runs_code_is_refused(tmp_path) -> None:
    torch.save(net(), tmp_path / "w.pt")  # a whole module: loading it would import and run what it names
    with pytest.raises(MienError, match=r"key names .*w\.pt, which is not a state dict"):
        load_weights(net(), str(tmp_path / "w.pt"), "key")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: {k: v for k, v in s.items() if k != "1.running_mean"}, "lacks 1.running_mean"),
        (
            lambda s: {**s, "0.weight": torch.ones(2, 3, 3, 3)},
            r"whose 0.weight is \(2, 3, 3, 3\), not \(2, 3, 1, 1\)",
        ),
    ],
)
def test_other_weights_are_refused_by_name(tmp_path, change, words: str) -> None:
    save_file(change(net().state_dict()), tmp_path / "w.safetensors")
    with pytest.raises(MienError, match=words):
        load_weights(net(), str(tmp_path / "w.safetensors"), "key")


def test_a_missing_file_is_named() -> None:
    with pytest.raises(MienError, match=r"stem_file names nowhere\.pt, which cannot be read"):
        load_weights(net(), "nowhere.pt", "stem_file")


def test_a_file_of_a_training_script_is_read(tmp_path) -> None:
    """Under `state_dict`, each name behind `module.`, with a classifier of its own beside."""
    net, file = nn.Linear(2, 3), tmp_path / "msceleb.pth"
    wanted = {name: torch.randn_like(value) for name, value in net.state_dict().items()}
    wrapped = {f"module.{name}": value for name, value in wanted.items()}
    torch.save({"epoch": 3, "state_dict": wrapped | {"module.fc.weight": torch.zeros(9, 9)}}, file)
    load_weights(net, str(file), "methods.ean.weights")
    assert all(torch.equal(wanted[name], value) for name, value in net.state_dict().items())
