"""The documentation site. Pages that repeat what the code knows are written from the code on every build."""

import sys
from importlib import import_module, metadata
from pathlib import Path

project = "Chanzi"
author = "The Chanzi developers"
copyright = "2026, The Chanzi developers"
release = metadata.version("chanzi")

extensions = ["myst_parser", "sphinx_design"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "_static", "manual/generated_causes.md"]
html_theme = "furo"
html_title = f"Chanzi {release}"
html_static_path = ["_static"]
suppress_warnings = ["misc.highlighting_failure"]

DOCS = Path(__file__).parent


def _write(path: Path, text: str) -> None:
    """Write `text` unless the file holds it already, so that an unchanged page is not built again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_file() or path.read_text("utf-8") != text:
        path.write_text(text, encoding="utf-8")


def generate(_app: object = None) -> None:
    """Write the pages that come from code."""
    sys.path.insert(0, str(DOCS))
    pages = import_module("generated_pages")
    _write(DOCS / "manual" / "generated_isa.md", pages.instruction_set())
    _write(DOCS / "manual" / "generated_environment.md", pages.environment())
    _write(DOCS / "manual" / "generated_chips.md", pages.chips())
    _write(DOCS / "manual" / "generated_causes.md", pages.causes())


def setup(app: object) -> None:
    """Run `generate` when the builder starts."""
    app.connect("builder-inited", generate)
