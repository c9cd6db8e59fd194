"""Sequence to sequence: what sensors tell of slower quantities, by flat and by hierarchical models."""
