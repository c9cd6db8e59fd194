"""Run the demonstration: `python -m tsssm.demo`."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import matplotlib
import torch

import tsssm
from tsssm.datasets import load_cgm, load_physionet2012
from tsssm.demo.forecasts import forecasts
from tsssm.demo.mortality import mortality
from tsssm.demo.page import write_page

TITLE = "Irregular time series with state space models"


def main() -> None:
    """Fit on real data, print the tables, write the page."""
    parser = argparse.ArgumentParser(prog="python -m tsssm.demo", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo/index.html"), help="page to write (%(default)s)")
    parser.add_argument("--series", type=int, default=4000, help="stays of each set (%(default)s)")
    parser.add_argument("--members", type=int, default=3, help="networks in each model (%(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="networks trained at once (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="random state (%(default)s)")
    options = parser.parse_args()
    # pictures go to files, with or without a screen
    matplotlib.use("Agg")
    # the matrices are small: a second thread would cost more than it gives, a second process does not
    torch.set_num_threads(1)
    start = time.perf_counter()
    settings = {"members": options.members, "jobs": options.jobs, "random_state": options.seed}
    print("Death in hospital, PhysioNet 2012: train on set a, judge on set b", flush=True)
    (train, y), (test, z) = load_physionet2012("a"), load_physionet2012("b")
    n = options.series
    sections = [mortality((train[:n], y[:n]), (test[:n], z[:n]), **settings)]
    print(f"\n{sections[-1].tables[0].to_markdown()}\n", flush=True)
    print("Glucose of people not trained on, at irregular times", flush=True)
    sections.append(forecasts(load_cgm(), random_state=options.seed))
    print(f"\n{sections[-1].tables[0].to_markdown()}\n", flush=True)
    footer = f"tsssm {tsssm.__version__}. Made by python -m tsssm.demo in {time.perf_counter() - start:.0f} s."
    page = write_page(options.out, TITLE, sections, footer)
    print(f"{time.perf_counter() - start:.0f} s. The page with the pictures is {page}", flush=True)


if __name__ == "__main__":
    main()
