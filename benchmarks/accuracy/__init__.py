"""Layers on standard tasks: a row for each layer beside plain rows, the same splits and settings for all."""
