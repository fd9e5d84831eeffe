"""A deck of slides for each chapter, made from its notebook.

``make slides`` writes ``_build/slides/NAME.html`` from ``book/NAME.ipynb``: one file
that needs no network, since it holds reveal.js, MathJax and the pictures.
``slide_rule`` says what becomes a slide, ``slide_text`` and ``slide_claims`` how it is
shown; nbconvert makes HTML of it with the template in ``slide_template``.
"""

import json
from importlib import resources
from pathlib import Path

import nbformat
import yaml
from nbconvert import SlidesExporter
from nbformat.v4 import new_notebook, new_raw_cell
from slide_rule import Deck
from slide_text import ROOT, chapters

TEMPLATE = Path(__file__).parent / "slide_template"
SLIDES = ROOT / "_build" / "slides"


def notebook(deck):
    """Return a deck as a notebook with nbconvert's marks."""
    cells = []
    for slide in deck.slides:
        first = slide is deck.slides[0]
        tag = "h1" if first else "h2"
        where = f"Chapter {deck.number}" if first else slide.where
        top = f'<p class="where">{where}</p>' if where else ""
        top += f"<{tag}>{slide.title}</{tag}>"
        top += f'<div class="body">{slide.body}</div>' if slide.body else ""
        mark = "slide" if slide.opens or first else "subslide"
        cells.append(html(top, mark, kind=slide.kind))
        for cell in slide.cells:
            mark = "fragment" if slide.kind == "question" else "-"
            metadata = {**cell.metadata, "slideshow": {"slide_type": mark}}
            cells.append(nbformat.from_dict({**cell, "metadata": metadata}))
        if slide.aside:
            cells.append(html(f'<div class="aside"><p>{slide.aside}</p></div>'))
        if slide.notes:
            cells.append(html(slide.notes, "notes"))
        if slide.later:
            later = f'<div class="later">{slide.later}</div>'
            cells.append(html(later, "fragment"))
    metadata = {"title": deck.slides[0].title, "chapter": deck.number}
    return new_notebook(cells=cells, metadata=metadata)


def html(source, mark="-", **data):
    slideshow = {"slide_type": mark, "data": data}
    metadata = {"raw_mimetype": "text/html", "slideshow": slideshow}
    return new_raw_cell(source, metadata=metadata)


def inline(script):
    """Return a script that may stand inside a page: nothing in it ends the element."""
    return script.replace("</script", r"<\/script").replace("<!--", r"<\!--")


def parts():
    """Return what every deck holds: reveal.js, MathJax, and the template's own."""
    reveal = resources.files("sphinx_revealjs") / "_static" / "revealjs"
    mathjax = resources.files("sphinx-mathjax-offline") / "static" / "mathjax"
    config = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    scripts = {
        "mathjax": mathjax / "tex-svg.js",
        "reveal": reveal / "dist" / "reveal.js",
        "notes": reveal / "plugin" / "notes" / "notes.js",
        "deck": TEMPLATE / "deck.js",
    }
    styles = [reveal / "dist" / "reveal.css", TEMPLATE / "deck.css"]
    macros = config["sphinx"]["config"]["mathjax3_config"]["tex"]["macros"]
    return {
        **{name: inline(path.read_text("utf-8")) for name, path in scripts.items()},
        "css": "\n".join(path.read_text("utf-8") for path in styles),
        "macros": json.dumps(macros),
        "course": config["title"],
    }


def render(deck, shared):
    """Return the page of a deck; `shared` is what :func:`parts` returns."""
    exporter = SlidesExporter(
        template_name="slide_template", extra_template_basedirs=[str(TEMPLATE.parent)]
    )
    page, _ = exporter.from_notebook_node(notebook(deck), {"deck": shared})
    return page


def write(path, text):
    path.with_suffix(".part").write_text(text, "utf-8")
    path.with_suffix(".part").rename(path)


def contents(decks, shared):
    """Return the page that lists the decks."""
    rows = "".join(
        f'<li><a href="{deck.name}.html">{deck.slides[0].title}</a> '
        f"({len(deck.slides)} slides)</li>"
        for deck in decks
    )
    page = (TEMPLATE / "list.html").read_text("utf-8")
    return page.replace("{course}", shared["course"]).replace("{decks}", rows)


if __name__ == "__main__":
    SLIDES.mkdir(parents=True, exist_ok=True)
    shared = parts()
    decks = [Deck(name) for name in chapters()]
    for deck in decks:
        write(SLIDES / f"{deck.name}.html", render(deck, shared))
    write(SLIDES / "index.html", contents(decks, shared))
    print("The slides are in _build/slides/index.html")
