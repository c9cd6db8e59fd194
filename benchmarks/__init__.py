"""Accuracy on real data beside plain models: each file is one command that prints a table."""
