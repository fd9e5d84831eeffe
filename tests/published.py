"""What a published copy of the book has more: notebooks that install what they need.

An extension of Sphinx.  The publishing workflow says whose copy it is and of what::

    COMPANION_REPOSITORY=OWNER/REPO COMPANION_COMMIT=... make book

Then each notebook that the site offers begins with a cell that installs the companion
of that commit if there is none, ``_build/notebooks`` holds the same notebooks for the
branch of that name, and the pages have buttons that open them in Colab from there.
Without an address there is nothing to install from and nothing to open: no cell, no
button.
"""

import os
import re
from pathlib import Path

import nbformat
from docutils import nodes
from sphinx import addnodes
from sphinx.errors import ConfigError

COLAB = "https://colab.research.google.com"
BRANCH = "notebooks"
EXTRAS = "plot,torch,tensorflow"
INSTALL = """\
# This copy installs the companion that it was written with, unless there is one.
# What is installed already stays as it is.
import importlib
import importlib.util
import subprocess
import sys
import tempfile

if importlib.util.find_spec("companion") is None:
    pip = [sys.executable, "-m", "pip"]
    source = "signal-companion[{extras}] @ git+{address}@{commit}"
    with tempfile.TemporaryDirectory() as folder:
        present = f"{{folder}}/present.txt"
        with open(present, "w") as file:
            subprocess.run([*pip, "list", "--format=freeze"], stdout=file, check=True)
        keep = ["--constraint", present]
        subprocess.run([*pip, "install", "--quiet", *keep, source], check=True)
    importlib.invalidate_caches()"""


def stamped(notebook, address, commit):
    """Return a notebook with the cell that installs as its first, in place of an older.

    ``address`` is that of the git repository, as ``https://github.com/OWNER/REPO``.
    """
    source = INSTALL.format(extras=EXTRAS, address=address, commit=commit)
    cell = nbformat.v4.new_code_cell(source, id="install-companion")
    others = [c for c in notebook.cells if c.id != cell.id]
    return nbformat.from_dict(dict(notebook, cells=[cell, *others]))


def stamp(path, target, address, commit):
    """Write the notebook of a file, stamped, to another or to the same."""
    notebook = stamped(nbformat.read(path, as_version=4), address, commit)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    part.write_text(nbformat.writes(notebook) + "\n", "utf-8")
    part.replace(target)


def copy_of(environment):
    """Return whose copy the book is, and its commit, or None; check what was said."""
    repository = environment.get("COMPANION_REPOSITORY", "")
    commit = environment.get("COMPANION_COMMIT", "")
    if not repository and not commit:
        return None
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise ConfigError(
            f"COMPANION_REPOSITORY must be OWNER/REPO, without the host; "
            f"got {repository!r}."
        )
    if not re.fullmatch(r"[0-9a-f]{40}", commit):
        raise ConfigError(
            f"COMPANION_COMMIT must be a commit's 40 hexadecimal digits, as "
            f"`git rev-parse HEAD` prints them; got {commit!r}."
        )
    return repository, commit


def add_buttons(app, config):
    """Let the theme show a button for Colab on every notebook's page."""
    if copy := copy_of(os.environ):
        options = config.html_theme_options
        options["repository_url"] = f"https://github.com/{copy[0]}"
        options["repository_branch"] = BRANCH
        options["launch_buttons"] = options["launch_buttons"] | {"colab_url": COLAB}


def add_offers(app, pagename, templatename, context, doctree):
    """Let the foot of each page offer what the workflow publishes beside the pages."""
    if copy_of(os.environ):
        offers = {"signal-all-the-way-down.pdf": "PDF", "slides/index.html": "slides"}
        links = [
            f'<a href="{context["pathto"](path, 1)}">{name}</a>'
            for path, name in offers.items()
        ]
        context["theme_extra_footer"] += f" The book as {' and as '.join(links)}."


def link_exercises(app, doctree, docname):
    """Add a link to Colab after each notebook that is offered in the text."""
    if copy := copy_of(os.environ):
        for offer in list(doctree.findall(addnodes.download_reference)):
            if offer["reftarget"].endswith(".ipynb"):
                path = Path(docname).parent / offer["reftarget"]
                address = f"{COLAB}/github/{copy[0]}/blob/{BRANCH}/{path}"
                link = nodes.reference("", "in Colab", refuri=address, internal=False)
                place = offer.parent.index(offer) + 1
                offer.parent[place:place] = [nodes.Text(" ("), link, nodes.Text(")")]


def stamp_all(app, error):
    """Stamp what the site offers to download, and write the branch of notebooks."""
    copy = copy_of(os.environ)
    if error or copy is None or app.builder.format != "html":
        return
    source, out = Path(app.srcdir), Path(app.outdir)
    origin = f"https://github.com/{copy[0]}", copy[1]
    for path in [*out.glob("_sources/**/*.ipynb"), *out.glob("_downloads/*/*.ipynb")]:
        stamp(path, path, *origin)
    for path in [*source.glob("book/*.ipynb"), *source.glob("book/exercises/*.ipynb")]:
        stamp(path, out.parent / BRANCH / path.relative_to(source), *origin)


def setup(app):
    """Tell Sphinx when each of these has its turn."""
    app.connect("config-inited", add_buttons)
    app.connect("doctree-resolved", link_exercises)
    app.connect("html-page-context", add_offers)
    app.connect("build-finished", stamp_all)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
