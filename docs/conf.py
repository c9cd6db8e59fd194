"""Sphinx: `pip install -e ".[docs,plot]"`, then `python -m sphinx docs docs/_build`."""

from __future__ import annotations

import re

from sphinx.application import Sphinx

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
# scikit-learn's own docstrings refer to pages of theirs
suppress_warnings = ["ref.ref"]


def setup(app: Sphinx) -> None:
    """Docstrings are written to be read as text: stars and bars in shapes and equations are no markup."""
    app.connect("autodoc-process-docstring", escape, priority=400)


def escape(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Escape stars and bars outside literals and examples."""
    for i, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            parts = re.split(r"(`+[^`]*`+)", line)
            lines[i] = "".join(
                part if part.startswith("`") else re.sub(r"(?<!\\)([*|])", r"\\\1", part) for part in parts
            )
