"""Sphinx: `pip install -e ".[docs,plot]"`, then `python -m sphinx -W docs docs/_build`."""

from __future__ import annotations

import tsssm

project = "tsssm"
author = "The tsssm developers"
release = tsssm.__version__
extensions = ["sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.mathjax", "numpydoc", "myst_nb"]
html_theme = "pydata_sphinx_theme"
html_title = "tsssm"
exclude_patterns = ["_build"]
autosummary_generate = True
autodoc_typehints = "none"
# attributes and methods are listed by autosummary's own template
numpydoc_show_class_members = False
myst_enable_extensions = ["dollarmath"]
nb_execution_mode = "off"
