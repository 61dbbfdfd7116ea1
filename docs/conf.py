"""Settings of the site that `make docs` builds.

Sphinx with Furo, because the docstrings have Sphinx's roles, their references are checked when the site is built, and
nothing on a page comes from another host. Pages are Markdown (MyST); tutorials are notebooks with the output of their
last run.
"""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from asteroid.version import __version__  # noqa: E402

project = "asteroid"
author = "The asteroid developers"
copyright = "2026, The asteroid developers"
version = release = __version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "extensions.mathml",
    "extensions.reference",
]
exclude_patterns = ["_build", "extensions"]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb"}

myst_enable_extensions = ["dollarmath", "attrs_inline", "deflist"]
myst_heading_anchors = 4
# Pages show what the notebooks hold; `make docs-tutorials` runs them.
nb_execution_mode = "off"
nb_merge_streams = True

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_inherit_docstrings = False
napoleon_use_rtype = False

# Options keep their two dashes.
smartquotes = False

html_theme = "furo"
html_title = f"asteroid {version}"
html_static_path = ["pictures"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}
copybutton_exclude = ".linenos, .gp, .go"
