"""Benchmarks in sktime: forecasters and classifiers of sktime beside ours, on real data."""
