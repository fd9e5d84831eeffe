"""The rendered site: every page is there, shows its outputs, and works in a browser.

``make book`` renders it before these tests run.
"""

import base64
import functools
import html
import re
import urllib.parse
from pathlib import Path

import nbformat
import pytest
from rendered import HARMLESS, SITE
from test_layout import toc_pages

ROOT = Path(__file__).parents[1]


def text_of(page):
    """Return what a page of HTML says, without tags, spaces folded."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", page)).split())


def missing_outputs(notebook, page, images):
    """List the stored outputs of a notebook that a page of HTML does not show."""
    text = text_of(page)
    missing = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                picture = base64.b64decode(data["image/png"])
                names = [name for name, content in images.items() if content == picture]
                if not any(f"_images/{name}" in page for name in names):
                    missing.append("a picture of " + cell.source)
            elif "text/html" in data:  # the page shows it in place of the text
                if text_of(data["text/html"]) not in text:
                    missing.append(data["text/html"])
            else:
                shown = output.get("text") or data["text/plain"]
                if " ".join(shown.split()) not in text:
                    missing.append(shown)
    return missing


@pytest.mark.parametrize("name", toc_pages())
def test_a_page_is_rendered(name):
    page = (SITE / f"{name}.html").read_text("utf-8")
    article = page[page.index("<article") : page.index("</article>")]
    assert len(text_of(article)) > 200
    assert "system-message" not in page
    source = ROOT / f"{name}.ipynb"
    if source.is_file():
        images = {p.name: p.read_bytes() for p in (SITE / "_images").iterdir()}
        notebook = nbformat.read(source, as_version=4)
        assert missing_outputs(notebook, page, images) == []


def test_a_missing_output_is_found():
    cell = nbformat.v4.new_code_cell("1")
    cell.outputs = [
        nbformat.v4.new_output("stream", text="factor: 0.5 &\n  <b>"),
        nbformat.v4.new_output("display_data", {"image/png": "AAAA"}),
        nbformat.v4.new_output(
            "display_data", {"text/html": "<td>1.5</td>\n<td>2</td>", "text/plain": "x"}
        ),
    ]
    notebook = nbformat.v4.new_notebook(cells=[cell])
    page = '<pre>factor: <span>0.5</span> &amp; &lt;b&gt;</pre><img src="_images/a">'
    page += "<tr><td>1.5</td>\n<td>2</td></tr>"
    assert missing_outputs(notebook, page, {"a": b"\0\0\0"}) == []
    assert len(missing_outputs(notebook, page, {"a": b"other"})) == 1
    assert len(missing_outputs(notebook, page.replace("0.5", "0.6"), {})) == 2
    assert len(missing_outputs(notebook, page.replace("1.5", "1.6"), {})) == 2


def test_the_front_page_leads_to_the_index():
    assert "book/index.html" in (SITE / "index.html").read_text("utf-8")


def test_claims_link_to_their_cells():
    page = (SITE / "book" / "claims.html").read_text("utf-8")
    links = re.findall(r'href="(\w+)\.html#(claim-[a-z0-9]+)"', page)
    assert links
    for name, target in links:
        chapter = (SITE / "book" / f"{name}.html").read_text("utf-8")
        assert f'id="{target}"' in chapter


def test_no_page_needs_another_server():
    # A reader without a network sees formulas and fonts all the same.
    for name in toc_pages():
        page = (SITE / f"{name}.html").read_text("utf-8")
        loaded = re.findall(
            r'<(?:script|img|link)[^>]+(?:src|href)="(https?:[^"]+)"', page
        )
        assert loaded == []


def barriers(page):
    """Name what axe finds that keeps readers with a keyboard or a screen reader out."""
    from axe_playwright_python.sync_playwright import Axe

    # Formulas have thousands of parts, for which MathJax answers; so have cells, whose
    # colors are those of the code on the index.
    page.evaluate("document.querySelectorAll('mjx-container').forEach(e => e.remove())")
    page.evaluate(
        "document.querySelectorAll('.cell pre').forEach(e => e.textContent += '')"
    )
    options = {
        "preload": False,
        "resultTypes": ["violations"],
    }  # no requests of its own
    violations = Axe().run(page, options=options).response["violations"]
    return {
        (fault["id"], node["html"])
        for fault in violations
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"]
    }


@pytest.mark.parametrize("width", [1280, 390], ids=["desktop", "phone"])
@pytest.mark.parametrize("name", toc_pages())
def test_a_page_works_in_a_browser(browser, site, name, width):
    size = {"width": width, "height": 800}
    # Without motion a change of the scheme is done at once, and not halfway for axe.
    still = {"color_scheme": "light", "reduced_motion": "reduce"}
    page = browser.new_page(viewport=size, **still)
    wrong = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("requestfailed", lambda request: wrong.append(request.url))
    page.on("response", lambda r: wrong.append(r.url) if r.status >= 400 else None)
    page.on("request", lambda r: elsewhere(r.url, site) and wrong.append(r.url))
    page.goto(f"{site}/{name}.html", wait_until="load")
    has_math = page.evaluate("document.querySelector('.math') !== null")
    if has_math:
        page.wait_for_selector("mjx-container", state="attached", timeout=20_000)
        page.evaluate("MathJax.startup.promise")
        assert page.evaluate("document.querySelectorAll('mjx-merror').length") == 0
    broken = "[...document.images].filter(i => i.complete && !i.naturalWidth).length"
    assert page.evaluate(broken) == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.wait_for_selector(f"html[data-theme={scheme}]")
        assert barriers(page) == set()
    assert set(wrong) <= {HARMLESS}
    page.close()


def elsewhere(url, site):
    """Whether an address is neither of the site nor in the page itself."""
    return not url.startswith((f"{site}/", "data:", "blob:"))


def test_other_hosts_are_told_apart():
    assert elsewhere("https://example.org/a.js", "http://127.0.0.1:80")
    assert not elsewhere("http://127.0.0.1:80/a.js", "http://127.0.0.1:80")


def test_barriers_are_found(browser):
    page = browser.new_page()
    page.set_content(
        "<html lang=en><title>A page</title><main><img src='data:,'>"
        "<p style='color: #999; background: #fff'>Hardly to be seen</p></main></html>"
    )
    assert {name for name, _ in barriers(page)} == {"image-alt", "color-contrast"}
    page.close()


def test_the_search_finds_a_phrase(browser, site):
    page = browser.new_page()
    page.goto(f"{site}/search.html?q=dying+ReLU")
    page.wait_for_selector("#search-results li a[href^='book/activations.html']")
    page.close()


# --- weight and speed -----------------------------------------------------------------
def weight(name):
    """Return the bytes of a page and its own pictures, without what all pages share."""
    page = (SITE / f"{name}.html").read_text("utf-8")
    pictures = set(re.findall(r'src="[./]*/(_images/[^"]+)"', page))
    return len(page.encode()) + sum((SITE / p).stat().st_size for p in pictures)


@pytest.mark.parametrize("name", toc_pages())
def test_a_page_is_light(name):
    assert weight(name) < 1_500_000


def test_pictures_weigh():
    page = (SITE / "book" / "dropout.html").stat().st_size
    assert weight("book/dropout") > page + 100_000


PAINTED = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"


@pytest.mark.parametrize("name", toc_pages())
def test_a_page_shows_within_a_second(browser, site, name):
    # Other tests run beside this one, so the best of some tries counts.
    for _ in range(5):
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(f"{site}/{name}.html", wait_until="load")
        page.wait_for_function(f"{PAINTED} !== undefined")
        painted = page.evaluate(PAINTED)
        page.close()
        if painted < 1000:
            return
    raise AssertionError(f"{name}: first shown after {painted:.0f} ms")


# --- links ----------------------------------------------------------------------------
def dead_links(site, name):
    """List the links of a page that lead nowhere in the site."""
    page = (site / f"{name}.html").read_text("utf-8")
    dead = []
    for link in set(re.findall(r'(?:href|src)="([^"]*)"', page)):
        address = urllib.parse.urlsplit(html.unescape(link))
        if address.scheme or address.netloc:
            continue
        target = site / f"{name}.html"
        if address.path:
            target = target.parent / urllib.parse.unquote(address.path)
        if not target.is_file():
            dead.append(link)
        elif address.fragment and target.suffix == ".html":
            ids = identifiers(target.resolve())
            if urllib.parse.unquote(address.fragment) not in ids:
                dead.append(link)
    return dead


@functools.cache
def identifiers(path):
    """Return what a link to a page can lead to."""
    return set(re.findall(r'\s(?:id|name)="([^"]+)"', path.read_text("utf-8")))


@pytest.mark.parametrize("name", [*toc_pages(), "genindex", "search"])
def test_every_link_of_a_page_leads_somewhere(name):
    assert dead_links(SITE, name) == []


def test_a_dead_link_is_found(tmp_path):
    (tmp_path / "b.html").write_text('<p id="here">x</p>')
    links = ["b.html", "b.html#here", "b.html#there", "c.html", "#self", "#none"]
    anchors = "".join(f'<a href="{link}">x</a>' for link in links)
    (tmp_path / "a.html").write_text(f'<p id="self">{anchors}</p>')
    assert sorted(dead_links(tmp_path, "a")) == ["#none", "b.html#there", "c.html"]
