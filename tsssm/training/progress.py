"""Progress: one line that shows how a fit goes, only where someone looks."""

from __future__ import annotations

import sys
import time


class Progress:
    """A bar on standard error, silent in a pipe and where `verbose` is 0.

    Parameters
    ----------
    epochs : int
        Epochs to come.
    verbose : int
        0 for nothing, 1 for a bar on a terminal, 2 for a line an epoch anywhere.
    title : str, default ""
        What the line says first.
    """

    def __init__(self, epochs: int, verbose: int, title: str = ""):
        self.epochs, self.lines, self.title = epochs, verbose >= 2, f"{title} " if title else ""
        self.bar = verbose == 1 and sys.stderr.isatty()
        self.start = time.monotonic()

    def epoch(self, epoch: int, train: float, valid: float | None) -> None:
        """Show the losses of an epoch that has ended."""
        if not (self.bar or self.lines):
            return
        done = (epoch + 1) / self.epochs
        spent = time.monotonic() - self.start
        filled = int(24 * done)
        judged = "" if valid is None else f"  valid {valid:.4f}"
        bar = f"{self.title}[{'#' * filled}{'.' * (24 - filled)}] epoch {epoch + 1}/{self.epochs}"
        text = f"{bar}  train {train:.4f}{judged}  {spent:.0f} s"
        sys.stderr.write(f"\r{text}" if self.bar else f"{text}\n")
        sys.stderr.flush()

    def close(self) -> None:
        """End the line of the bar."""
        if self.bar:
            sys.stderr.write("\n")
