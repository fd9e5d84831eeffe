"""Where the rendered book is, and the browser to look at it with."""

import contextlib
import functools
import http.server
import shutil
import threading
from pathlib import Path

SITE = Path(__file__).parents[1] / "_build" / "html"  # `make book` writes it
BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
    None,
)
BROWSER_OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
#: Sphinx 7 writes inline scripts twice. This one, of an extension that Jupyter Book
#: always loads, only serves live code cells, which this book does not have.
HARMLESS = "Identifier 'THEBE_JS_URL' has already been declared"


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@contextlib.contextmanager
def served(folder):
    """Serve a folder from this machine, and give its address."""
    handler = functools.partial(_Quiet, directory=folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
