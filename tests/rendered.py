"""Where the rendered book is, and the browser to look at it with."""

import shutil
from pathlib import Path

SITE = Path(__file__).parents[1] / "_build" / "html"  # `make book` writes it
BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
    None,
)
