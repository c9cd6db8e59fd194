"""Rotations from free numbers without a jump, and the angle between two of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

# below this length a vector has no direction: what it should have been normalised to is left short
SHORTEST = 1e-6
# keeps both roots of the angle away from 0, where their slope has no bound: 0.04 degrees at angle 0
ROUNDING = 1e-7


def from_six(six: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) from six numbers, the first two columns made orthonormal.

    With (a, b) the numbers: x = a / |a|, z = (x × b) / |x × b|, y = z × x, and R = [x y z] as columns.

    Parameters
    ----------
    six : Tensor, (..., 6)
        Lengths of a and b do not matter.

    References
    ----------
    Zhou et al., 2019, On the Continuity of Rotation Representations in Neural Networks, section 4.2, there with rows.

    Examples
    --------
    >>> import torch
    >>> from tsssm.heads.rotations import from_six
    >>> torch.equal(from_six(torch.tensor([2.0, 0, 0, 5, 3, 0])), torch.eye(3))
    True
    """
    a, b = six[..., :3], six[..., 3:]
    x = nn.functional.normalize(a, dim=-1, eps=SHORTEST)
    z = nn.functional.normalize(torch.linalg.cross(x, b), dim=-1, eps=SHORTEST)
    return torch.stack([x, torch.linalg.cross(z, x), z], -1)


def from_nine(nine: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) nearest to nine numbers, row by row, in squared distance: U diag(1, 1, ±1) V'.

    References
    ----------
    Levinson et al., 2020, An Analysis of SVD for Deep Rotation Estimation, equation 1.

    Examples
    --------
    >>> import torch
    >>> from tsssm.heads.rotations import from_nine
    >>> torch.allclose(from_nine(torch.tensor([2.0, 0, 0, 0, 3, 0, 0, 0, 5])), torch.eye(3))
    True
    """
    return _Nearest.apply(nine.unflatten(-1, (3, 3)))


class _Nearest(torch.autograd.Function):
    """R = W Q' where M = W S Q' with signed singular values S; dR = W X Q' with X_ij = (P_ij - P_ji) / (S_i + S_j), P = W' dM Q.

    Torch's own slope of a singular value decomposition has no bound where two values are equal, as at the identity,
    although that of R has.
    """

    @staticmethod
    def forward(ctx: Any, matrix: Tensor) -> Tensor:
        left, size, right = torch.linalg.svd(matrix)
        flip = torch.ones_like(size)
        flip[..., 2] = (torch.linalg.det(left) * torch.linalg.det(right)).sign()
        right = flip.unsqueeze(-1) * right
        ctx.save_for_backward(left, size * flip, right)
        # autocast would round a product of matrices to half precision
        return (left.unsqueeze(-1) * right.unsqueeze(-3)).sum(-2)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> Tensor:
        left, size, right = ctx.saved_tensors
        slope = left.mT @ slopes[0] @ right.mT
        sums = size.unsqueeze(-1) + size.unsqueeze(-2)
        return left @ ((slope - slope.mT) / sums.clamp_min(SHORTEST)) @ right


def angle(found: Tensor, truth: Tensor) -> Tensor:
    """Angle of the rotation between two, theta = 2 atan2(sqrt(s), sqrt(1 - s)) with s = |found - truth|² / 8, in radians.

    Parameters
    ----------
    found, truth : Tensor, (..., 3, 3)
        Rotation matrices.

    Notes
    -----
    Its slope is finite at 0 and at 180 degrees, where that of arccos((trace - 1) / 2) is not.

    Examples
    --------
    >>> import torch
    >>> from tsssm.heads.rotations import angle
    >>> float(angle(torch.eye(3), torch.diag(torch.tensor([1.0, -1, -1])))) > 3.14
    True
    """
    share = (found - truth).square().sum((-2, -1)) / 8
    return 2 * torch.atan2((share + ROUNDING).sqrt(), ((1 - share).clamp_min(0) + ROUNDING).sqrt())


class Representation(NamedTuple):
    """Free numbers that stand for a rotation: those of the identity, and the map to a matrix."""

    identity: tuple[float, ...]
    matrix: Callable[[Tensor], Tensor]


REPRESENTATIONS = {
    "6d": Representation((1, 0, 0, 0, 1, 0), from_six),
    "9d": Representation((1, 0, 0, 0, 1, 0, 0, 0, 1), from_nine),
}
