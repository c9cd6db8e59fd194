"""Heads: from features to a loss and to named outputs."""

from tsssm.heads.base import Head
from tsssm.heads.gaussian import Gaussian
from tsssm.heads.label import Label
from tsssm.heads.orientation import Orientation
from tsssm.heads.pooling import Pooling
from tsssm.heads.quantile import Quantile
from tsssm.heads.row_label import RowLabel
from tsssm.heads.row_orientation import RowOrientation
from tsssm.heads.student_t import StudentT
from tsssm.heads.value import Value

__all__ = [
    "Gaussian",
    "Head",
    "Label",
    "Orientation",
    "Pooling",
    "Quantile",
    "RowLabel",
    "RowOrientation",
    "StudentT",
    "Value",
]
