import pytest
import torch
from skimage.metrics import structural_similarity

from mien.parts import ssim


def pictures(height: int, width: int, count: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    x = torch.rand((count, 3, height, width), generator=random)
    return x, (x + 0.2 * torch.rand(x.shape, generator=random)).clamp(0, 1)


def test_five_scales_agree_with_pytorch_msssim() -> None:
    """Version 1.0.0 gave 0.9808 and 0.9813 for the same pictures, an odd side among them."""
    x, y = pictures(191, 176)
    torch.testing.assert_close(ssim.ms_ssim(x, y, 1.0), torch.tensor([0.9808, 0.9813]), rtol=0, atol=5e-5)


def test_one_scale_agrees_with_scikit_image() -> None:
    x, y = pictures(24, 20, count=1)
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    for channel in range(3):
        _, whole = structural_similarity(x[0, channel].numpy(), y[0, channel].numpy(), full=True, **settings)
        inside = torch.from_numpy(whole)[5:-5, 5:-5].mean()  # where the window fits
        found = ssim.similarity(x, y, 1.0)[0][0, channel]
        torch.testing.assert_close(found, inside.float(), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("side", "count"), [(11, 1), (21, 1), (22, 2), (32, 2), (64, 3), (175, 4), (176, 5)])
def test_a_small_side_has_fewer_scales_and_a_picture_is_itself_at_each(side: int, count: int) -> None:
    x, y = pictures(side, side)
    assert ssim.scales(side) == count
    torch.testing.assert_close(ssim.ms_ssim(x, x, 1.0), torch.ones(2), rtol=0, atol=1e-5)
    assert (ssim.ms_ssim(x, y, 1.0) < 0.999).all()


def test_the_opposite_picture_still_has_a_finite_gradient() -> None:
    x, _ = pictures(32, 32)
    y = (1 - x).requires_grad_()
    ssim.ms_ssim(x, y, 1.0).sum().backward()
    assert torch.isfinite(y.grad).all()


def test_half_precision_does_not_reach_it() -> None:
    x, y = pictures(32, 32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(ssim.ms_ssim(x, y, 1.0), ssim.ms_ssim(x, y, 1.0).float())
        found = ssim.ms_ssim(x, y, 1.0)
    torch.testing.assert_close(found, ssim.ms_ssim(x, y, 1.0), rtol=0, atol=1e-6)
