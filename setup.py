"""Packages of tsssm; all other metadata is in setup.cfg."""

from setuptools import find_packages, setup

# The data files stay at the root of the repository, where people look for them; a wheel carries them as
# tsssm/_datasets, since a top-level folder `datasets` in site-packages belongs to another project.
setup(
    packages=[*find_packages(include=["tsssm", "tsssm.*"]), "tsssm._datasets"],
    package_dir={"tsssm._datasets": "datasets"},
)
