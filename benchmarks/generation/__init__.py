"""Generators of series beside each other, by the protocol of TimeGAN and by one whose windows do not overlap."""
