"""The documentation's Sphinx extension: pages that are read off the code's values, so that they cannot be stale.

Mathematics becomes MathML while the site is built, so that a page needs no network and no script to show it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from extension.listing import Listing, complete, escape
from extension.mathematics import depart, visit
from extension.systems import write_pages

if TYPE_CHECKING:
    from sphinx.application import Sphinx


def setup(app: Sphinx) -> dict[str, Any]:
    """What conf.py names as ``extension``."""
    app.add_html_math_renderer("mathml", (visit, depart), (visit, depart))
    app.add_directive("listing", Listing)
    app.connect("autodoc-process-docstring", escape)
    app.connect("builder-inited", write_pages)
    app.connect("env-check-consistency", complete)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
