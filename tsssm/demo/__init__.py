"""A demonstration on real data: `python -m tsssm.demo` prints two tables and writes a page with pictures."""
