"""Features of series without training: a bank of random oscillators, pooled over time, and what reads them."""
