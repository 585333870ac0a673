import numpy as np
import pytest
import torch

from mien import methods
from mien.config import parse_section
from mien.evaluation.one_class.heat import heat_maps
from tests.tiny import faces

TINY = {"input_px": 32, "channels": [4, 6, 8], "z0_dim": 6, "batch_size": 8, "epochs": 1}


@pytest.fixture
def method():
    torch.manual_seed(3)
    config = parse_section(methods.method_class("hs_ocfer").Config, TINY, "t", "t")
    return methods.build("hs_ocfer", config, ("happy",)).eval()


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("layer", "side"), [(0, 4), (1, 8)])
def test_a_map_is_grad_cam_by_hand(method, sign, layer, side):
    batch = faces(3)
    found = heat_maps(method, batch, method.heat_layers[layer], sign, side, side)
    kept = {}
    hook = method.get_submodule(method.heat_layers[layer]).register_forward_hook(
        lambda module, inputs, output: kept.update(maps=output)
    )
    score = sign * method.predict(batch)[:, 0].sum()
    hook.remove()
    gradient = torch.autograd.grad(score, kept["maps"])[0]
    heat = (gradient.mean(dim=(2, 3), keepdim=True) * kept["maps"]).sum(dim=1).relu().detach().numpy()
    low, high = heat.min(axis=(1, 2), keepdims=True), heat.max(axis=(1, 2), keepdims=True)
    # the library adds 1e-7 to the greatest, twice
    np.testing.assert_allclose(found, (heat - low) / (high - low + 1e-12), atol=1e-3)
    assert found.shape == (3, side, side)


def test_the_layers_are_the_last_two_of_the_encoder(method):
    assert method.heat_layers == ("network.encoder.2", "network.encoder.1")


def test_no_gradient_and_no_hook_is_left_behind(method):
    layer = method.get_submodule(method.heat_layers[0])
    with torch.no_grad():  # as the report may run
        heat_maps(method, faces(2), method.heat_layers[0], 1, 20, 20)
    assert not layer._forward_hooks
    assert not method.training
