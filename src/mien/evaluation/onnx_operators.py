"""How two of torch's operations are written in ONNX, where torch's own exporter lacks them or is inexact."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate


def translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """For `custom_translation_table` of torch.onnx.export: torch's operation -> the nodes it becomes."""
    import onnx_ir
    from onnxscript import opset18  # half a second that only an export needs

    op: Any = opset18  # its annotations know numbers, and not the values of a graph

    def distances(x1: Any, x2: Any, p: float = 2.0, compute_mode: int | None = None) -> Any:
        """Of the rows of two tables, by differences: squares of sums would cancel."""
        apart = op.Sub(op.Unsqueeze(x1, [-2]), op.Unsqueeze(x2, [-3]))
        return op.Sqrt(op.ReduceSumSquare(apart, [-1], keepdims=0))

    def resized(
        pictures: Any,
        size: Sequence[int],
        align_corners: bool,
        scales_h: float | None = None,
        scales_w: float | None = None,
    ) -> Any:
        """Antialiased resizing is a product with a matrix on either side; ONNX has its own way of it."""
        dtype = torch.float64 if pictures.dtype == onnx_ir.DataType.DOUBLE else torch.float32
        down, across = (
            op.Constant(value=onnx_ir.tensor(weights(int(before), int(after), dtype).numpy()))
            for before, after in zip(pictures.shape[-2:], size, strict=True)
        )
        return op.MatMul(down, op.MatMul(pictures, op.Transpose(across, perm=[1, 0])))

    return {
        torch.ops.aten._cdist_forward.default: distances,
        torch.ops.aten._upsample_bilinear2d_aa.default: resized,
    }


def weights(before: int, after: int, dtype: torch.dtype) -> Tensor:
    """What each of `before` pixels in a line counts for each of `after` (after, before), as torch has it."""
    lines = torch.eye(before, dtype=dtype)[None, None]
    return interpolate(lines, size=(after, before), mode="bilinear", antialias=True, align_corners=False)[
        0, 0
    ]
