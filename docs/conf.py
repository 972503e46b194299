"""Sphinx's configuration; `make docs` builds with warnings as errors."""

from testkit import __version__

project = "testkit"
author = "the testkit authors"
copyright = "2026, the testkit authors"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["colon_fence", "deflist"]
# Headings down to the third level get an anchor, so that pages can link to a section.
myst_heading_anchors = 3
exclude_patterns = ["_build", "examples"]

autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"

html_theme = "furo"
html_title = f"testkit {release}"
