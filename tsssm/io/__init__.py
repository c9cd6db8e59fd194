"""Fitted estimators as files that other programs run."""

from tsssm.io.exporting import export

__all__ = ["export"]
