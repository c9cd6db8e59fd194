"""What `benchmarks.speed` runs: problems, measurements, and other people's scans behind one form of call."""
