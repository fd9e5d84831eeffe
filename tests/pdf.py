"""The book as one PDF, printed by Chromium from the built pages.

``make pdf`` writes ``_build/signal-all-the-way-down.pdf``.  The pages become one, in
the order of the contents, so that links between them lead to pages of paper, and the
headings become the bookmarks.  Solutions are unfolded; hidden code stays so.
"""

import copy
import os
import posixpath
import sys
import tempfile
from pathlib import Path

from bs4 import BeautifulSoup
from playwright.sync_api import sync_playwright
from rendered import BROWSER, BROWSER_OPTIONS, SITE
from test_layout import toc_pages

PDF = SITE.parent / "signal-all-the-way-down.pdf"
STYLE = """
html { font-size: 11.5px; }
body { background: white; }
article { break-after: page; }
figure, .exercise, .admonition:not(.dropdown), tr { break-inside: avoid; }
h1, h2, h3, summary { break-after: avoid; }
/* Chromium marks a heading twice whose letters stick out at the top of a page. */
h1, h2, h3, h4 { line-height: 1.4; }
details.hide, .headerlink, button, script { display: none !important; }
div.cell_output, div.highlight pre { overflow: visible; white-space: pre-wrap; }
div.cell, div.cell_output, figure { margin-bottom: 0.6em; margin-top: 0.6em; }
figure img { max-height: 15cm; object-fit: contain; }
figcaption * { color: #222 !important; }
"""
WBR = BeautifulSoup("<wbr>", "html.parser").wbr
FOOTER = """\
<div style="width: 100%; text-align: center; font: 8px sans-serif; color: #555">
<span class="pageNumber"></span></div>"""


def anchor(name, fragment=""):
    """Return what an element of a page is called in the one that holds all."""
    return f"{name.replace('/', '-')}--{fragment}".rstrip("-")


def resolved(name, link):
    """Return what a link of a page means, seen from the site's folder."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), link))


def article(name, names):
    """Return what a page says, with its links turned to the one that holds all."""
    page = (SITE / f"{name}.html").read_text("utf-8")
    found = BeautifulSoup(page, "html.parser").find("article")
    for tag in found.find_all(id=True):
        tag["id"] = anchor(name, tag["id"])
    for tag in found.find_all(src=True):
        tag["src"] = posixpath.normpath(
            posixpath.join(posixpath.dirname(name), tag["src"])
        )
    for tag in found.find_all("a", href=True):
        path, _, fragment = tag["href"].partition("#")
        target = name
        if path:
            target = resolved(name, path).removesuffix(".html")
        if "://" not in tag["href"] and target in names:
            tag["href"] = "#" + anchor(target, fragment)
        elif "://" not in tag["href"]:
            del tag["href"]  # a file to download: paper has none
    for tag in found.find_all("details"):
        tag["open"] = ""
    for heading in found.find_all(["h1", "h2", "h3", "h4"]):
        keep_spaces(heading)
    found["id"] = anchor(name)
    return str(found)


def keep_spaces(heading):
    """Let a heading break where it may, without the bookmark losing the space there."""
    for text in heading.find_all(string=True):
        first, *words = text.split(" ")
        pieces = [piece for word in words for piece in ("\xa0", copy.copy(WBR), word)]
        text.replace_with(first, *pieces)


def one_page():
    """Return the whole book as a page of HTML that lies beside the others."""
    names = toc_pages()
    head = BeautifulSoup(
        (SITE / "book/index.html").read_text("utf-8"), "html.parser"
    ).head
    keep = [tag for tag in head.find_all("link", rel="stylesheet")]
    keep += [tag for tag in head.find_all("script") if "MathJax" in tag.text]
    keep += head.find_all("script", src=lambda src: src and "mathjax" in src)
    for tag in keep:
        for key in {"href", "src"} & tag.attrs.keys():
            tag[key] = tag[key].removeprefix("../")
    return "\n".join(
        [
            '<!DOCTYPE html><html lang="en" data-theme="light"><head>',
            '<meta charset="utf-8"><title>Signal All the Way Down</title>',
            *map(str, keep),
            f"<style>{STYLE}</style></head><body>",
            *(article(name, set(names)) for name in names),
            "</body></html>",
        ]
    )


def write(target):
    """Print the book into a file."""
    if BROWSER is None:
        raise RuntimeError("pdf: Chromium or Chrome is needed, and neither was found.")
    handle, path = tempfile.mkstemp(suffix=".html", dir=SITE)
    part = target.with_suffix(".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(one_page())
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=BROWSER, args=BROWSER_OPTIONS
            )
            page = browser.new_page(color_scheme="light")
            page.set_default_timeout(300_000)
            page.goto(Path(path).as_uri(), wait_until="load")
            page.evaluate("MathJax.startup.promise")
            page.pdf(
                path=part,
                format="A4",
                margin={side: "18mm" for side in ("top", "bottom", "left", "right")},
                display_header_footer=True,
                header_template="<span></span>",
                footer_template=FOOTER,
                print_background=True,
                outline=True,
                tagged=True,
            )
            browser.close()
        part.replace(target)
    finally:
        os.unlink(path)
        part.unlink(missing_ok=True)


if __name__ == "__main__":
    write(PDF)
    print(f"The book is in {PDF.relative_to(Path.cwd())}", file=sys.stderr)
