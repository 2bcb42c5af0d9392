"""Sphinx configuration: MyST pages, strict links, doctests of the public helpers."""

from __future__ import annotations

project = "Govern"
author = "The Govern maintainers"
copyright = "The Govern maintainers"
extensions = ["myst_parser", "sphinx.ext.doctest"]
exclude_patterns = ["_build"]
source_suffix = {".md": "markdown"}
html_theme = "alabaster"
html_theme_options = {"description": "The flight recorder and the recall system for machine-learning models", "page_width": "1080px"}
myst_heading_anchors = 3
nitpicky = True
