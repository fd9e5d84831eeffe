"""The decks of slides: one a chapter, whole without a network, true to its notebook.

``make slides`` makes them before these tests run.
"""

import base64
import re

import nbformat
import pytest
import slide_rule
import slide_text
from rendered import served
from slide_text import BOOK, chapters
from slides import SLIDES
from test_site import barriers, text_of

#: A lecture of one meeting or two.
SANE = range(15, 56)
SMALLEST = 70  # percent of the usual size
#: What MyST and Markdown look like where nothing has rendered them.
RAW = re.compile(r"\{[a-z:]+\}`|```|:::|\]\(|\\\(|\\\[|\$\$|(?<!\*)\*\*[A-Z]|\{#|cite:")

#: What a page shows, and what is wrong with how it does.
LOOK = """() => {
  const slides = [...document.querySelectorAll(".slides section section")];
  const text = (e) => e.textContent;
  const all = (what) => [...document.querySelectorAll(what)];
  const show = (slide) => [slide, slide.parentElement].forEach((e) => {
    e.style.display = "block";
  });
  slides.forEach(show);
  return {
    title: document.title,
    language: document.documentElement.lang,
    prose: slides.map((slide) => {
      const copy = slide.cloneNode(true);
      copy.querySelectorAll("pre, .stored").forEach((e) => e.remove());
      return text(copy);
    }),
    headings: slides.map((slide) => slide.querySelector("h1, h2")?.textContent || ""),
    stored: all(".slides .stored, .slides .outputs pre").map(text),
    pictures: all(".slides img").map((i) => [i.src, i.alt, i.naturalWidth]),
    formulas: all("mjx-container").length,
    wrong: all("mjx-merror, [data-mjx-error]").length,
    bottoms: slides.map((slide) => Math.max(
      ...[...slide.children].map((e) => e.offsetTop + e.offsetHeight))),
    rights: slides.map((slide) => Math.max(
      ...[...slide.querySelectorAll("pre, table, img, .body > *")]
        .map((e) => e.offsetLeft + e.offsetWidth))),
    wide: slides.flatMap((slide, i) =>
      [...slide.querySelectorAll(".math svg")].some((e) =>
        e.getBoundingClientRect().right >
        e.closest(".math").getBoundingClientRect().right + 1) ? [i + 1] : []),
    sizes: slides.map((slide) => parseInt(slide.style.fontSize || "100")),
  };
}"""


def stored_in(notebook):
    """Return all that a notebook's cells print, and its pictures."""
    printed, pictures = [], set()
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            printed.append(output.get("text", data.get("text/plain", "")))
            printed.append(text_of(data.get("text/html", "")))
            if "image/png" in data:
                pictures.add(base64.b64decode(data["image/png"]))
    return " ".join(" ".join(printed).split()), pictures


def faults(look, notebook):
    """List what is wrong with a deck, by what :data:`LOOK` has seen."""
    found = []
    printed, pictures = stored_in(notebook)
    if look["language"] != "en" or "slides" not in look["title"]:
        found.append("no title, or no language")
    if len(look["prose"]) not in SANE:
        found.append(f"{len(look['prose'])} slides")
    if not all(look["headings"]):
        found.append("a slide without a heading")
    found += [f"raw: {raw[0]}" for text in look["prose"] if (raw := RAW.search(text))]
    for text in look["stored"]:
        if " ".join(text.split()) not in printed:
            found.append(f"not stored: {text}")
    for source, alt, width in look["pictures"]:
        if base64.b64decode(source.partition("base64,")[2]) not in pictures:
            found.append("a picture that is not stored")
        if not (alt.strip() and width):
            found.append("a picture that is broken, or without alternative text")
    if look["wrong"] or not look["formulas"]:
        found.append("a formula that is wrong, or none at all")
    for i, bottom in enumerate(look["bottoms"], 1):
        if bottom > 690 or look["rights"][i - 1] > 1240:
            found.append(f"slide {i} is larger than it may be")
        if look["sizes"][i - 1] < SMALLEST:
            found.append(f"slide {i} is too small to read")
    found += [f"slide {i} has a formula that is too wide" for i in look["wide"]]
    return found


@pytest.fixture(scope="module")
def slides():
    """Give the address of the decks."""
    with served(SLIDES) as address:
        yield address


def open_deck(browser, address, ready=True):
    """Open a page; return it, what it asked for besides itself, and its errors."""
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    asked, errors = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address, wait_until="load")
    if ready:
        page.wait_for_function("document.body.dataset.ready", timeout=60_000)
    own = [url for url in asked if url == address or url.startswith("data:")]
    return page, [url for url in asked if url not in own], errors


@pytest.mark.parametrize("name", chapters())
def test_a_deck_is_whole_without_a_network_and_true_to_its_notebook(browser, name):
    notebook = nbformat.read(BOOK / f"{name}.ipynb", as_version=4)
    address = (SLIDES / f"{name}.html").as_uri()
    page, asked, errors = open_deck(browser, address)
    assert asked == errors == []
    assert faults(page.evaluate(LOOK), notebook) == []
    page.close()


@pytest.mark.parametrize("name", chapters())
def test_a_deck_works_from_a_server(browser, slides, name):
    page, asked, errors = open_deck(browser, f"{slides}/{name}.html")
    assert asked == errors == []
    page.close()


def test_the_list_leads_to_every_deck(browser, slides):
    page, asked, errors = open_deck(browser, f"{slides}/index.html", ready=False)
    links = page.eval_on_selector_all("ol a", "all => all.map((a) => a.href)")
    assert links == [f"{slides}/{name}.html" for name in chapters()]
    assert asked == errors == []
    page.close()


def test_every_chapter_has_a_deck_and_nothing_else_is_there():
    made = {path.name for path in SLIDES.iterdir()}
    assert made == {f"{name}.html" for name in [*chapters(), "index"]}


GOOD = {
    "title": "A chapter (slides)",
    "language": "en",
    "prose": ["An interval [0, 1]."] * 20,
    "headings": ["A section"] * 20,
    "stored": ["rate: 0.5"],
    "pictures": [["data:image/png;base64,AAAA", "A line.", 3]],
    "formulas": 1,
    "wrong": 0,
    "bottoms": [600] * 20,
    "rights": [1000] * 20,
    "wide": [],
    "sizes": [100] * 20,
}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"language": ""}, "no language"),
        ({"title": ""}, "no title"),
        ({"prose": ["x"] * 99}, "99 slides"),
        ({"headings": ["A section", ""]}, "without a heading"),
        ({"prose": ["See {cite:t}`he2015`"] * 20}, "raw"),
        ({"prose": ["```{admonition} x"] * 20}, "raw"),
        ({"prose": ["a [link](to.md)"] * 20}, "raw"),
        ({"prose": [r"the mean \(\mu\)"] * 20}, "raw"),
        ({"stored": ["rate: 0.6"]}, "not stored: rate: 0.6"),
        ({"pictures": [["data:image/png;base64,BBBB", "A line.", 3]]}, "not stored"),
        ({"pictures": [["data:image/png;base64,AAAA", " ", 3]]}, "alternative text"),
        ({"pictures": [["data:image/png;base64,AAAA", "A line.", 0]]}, "broken"),
        ({"wrong": 1}, "a formula"),
        ({"formulas": 0}, "none at all"),
        ({"bottoms": [600] * 19 + [800]}, "slide 20 is larger"),
        ({"rights": [1300] * 20}, "slide 1 is larger"),
        ({"wide": [3]}, "slide 3 has a formula that is too wide"),
        ({"sizes": [50] * 20}, "slide 1 is too small"),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_faults_are_found(change, fault):
    cell = nbformat.v4.new_code_cell("1")
    data = {"image/png": "AAAA"}
    cell.outputs = [
        nbformat.v4.new_output("stream", text="rate:\n  0.5"),
        nbformat.v4.new_output("display_data", data),
    ]
    notebook = nbformat.v4.new_notebook(cells=[cell])
    assert faults(GOOD, notebook) == []
    assert any(fault in found for found in faults({**GOOD, **change}, notebook))


def test_what_is_seen_of_a_bad_page(browser):
    page, _, _ = open_deck(browser, (SLIDES / "gpu.html").as_uri())
    page.evaluate("""() => {
      const slide = document.querySelector(".slides section section");
      slide.innerHTML += "<p style='height: 900px'>See {eq}`eq-chi`.</p>" +
        "<div class='math' style='width: 90px'><svg width='200'></svg></div>" +
        "<p class='stored'>rate: 7.77</p><img src='data:image/png;base64,AAAA'>";
    }""")
    notebook = nbformat.read(BOOK / "gpu.ipynb", as_version=4)
    found = " ".join(faults(page.evaluate(LOOK), notebook))
    for fault in (
        "raw: {eq}`",
        "not stored: rate: 7.77",
        "slide 1 is larger",
        "broken",
    ):
        assert fault in found
    page.close()


def test_a_request_and_an_error_of_a_page_are_found(browser, tmp_path):
    path = tmp_path / "bad.html"
    path.write_text("<img src='http://127.0.0.1:9/x.png'><script>oh()</script>")
    page, asked, errors = open_deck(browser, path.as_uri(), ready=False)
    assert asked == ["http://127.0.0.1:9/x.png"]
    assert len(errors) == 1
    page.close()


def test_the_notes_of_the_speaker_open_without_a_network(browser):
    page, _, _ = open_deck(browser, (SLIDES / "dropout.html").as_uri())
    with page.context.expect_page() as opened:
        page.keyboard.press("s")
    notes = opened.value.locator(".speaker-controls-notes .value")
    page.evaluate("Reveal.slide(1, 0)")
    notes.get_by_text("independent of").first.wait_for()
    page.context.close()


@pytest.mark.parametrize("kind", ["question", "figure", "claim", "box", "claims"])
def test_a_slide_has_no_barriers(browser, kind):
    page, _, _ = open_deck(browser, (SLIDES / "dropout.html").as_uri())
    page.evaluate(f"""() => {{
      const slide = document.querySelector("section section[data-kind={kind}]");
      const at = Reveal.getIndices(slide);
      Reveal.slide(at.h, at.v, 9);
    }}""")
    assert barriers(page) == set()
    page.close()


def test_a_print_has_a_page_for_each_slide(browser):
    address = (SLIDES / "gpu.html").as_uri()
    page, _, _ = open_deck(browser, f"{address}?print-pdf")
    page.wait_for_selector(".pdf-page", state="attached")
    pages = page.locator(".pdf-page").count()
    assert pages == len(slide_rule.Deck("gpu").slides)
    page.close()


def test_what_is_too_high_is_made_smaller(browser):
    page, _, _ = open_deck(browser, (SLIDES / "gpu.html").as_uri())
    size = page.evaluate("""() => {
      const slide = document.querySelector(".slides section section");
      slide.innerHTML = "<p>line</p>".repeat(15);
      fit();
      const size = parseInt(slide.style.fontSize);
      slide.innerHTML = "<p>line</p>".repeat(90);
      fit();
      return [size, slide.style.overflowY];
    }""")
    assert SMALLEST <= size[0] < 100
    assert size[1] == "auto"
    page.close()


@pytest.mark.parametrize("name", chapters())
def test_a_question_comes_before_its_answer(name):
    slides = slide_rule.Deck(name).slides
    kinds = [slide.kind for slide in slides]
    assert kinds[0] == "title"
    assert "question" in kinds
    for kind, follower, slide in zip(kinds, kinds[1:], slides, strict=False):
        if kind == "question" and not slide.cells:
            assert follower in ("figure", "answer", "claim", "text"), slide.body


def test_a_section_of_prose_and_code_has_a_slide():
    slides = {slide.title: slide for slide in slide_rule.Deck("gpu").slides}
    slide = slides["Random numbers that can be drawn again"]
    assert slide.opens
    assert "An ordinary generator is a state that moves on" in slide.body
    assert "Those four words" not in slide.body  # they lead to a cell
    assert "Those four words" in slide.notes
    assert "On your GPU" not in slides  # one paragraph, which leads to a cell


def test_a_skipped_cell_makes_no_slide(monkeypatch):
    whole = slide_rule.Deck("gpu").slides
    read = nbformat.read

    def skip(*args, **options):
        notebook = read(*args, **options)
        for cell in notebook.cells:
            if "figure" in cell.metadata.get("mystnb", {}):
                cell.metadata["slideshow"] = {"slide_type": "skip"}
        return notebook

    monkeypatch.setattr(nbformat, "read", skip)
    left = slide_rule.Deck("gpu").slides
    assert len([s for s in whole if s.kind == "figure"]) == 2
    assert [s for s in left if s.kind == "figure"] == []


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("See {cite:p}`he2015`.", "<p>See (He et al., 2015).</p>"),
        (
            "{cite:t}`glorot2010,he2015`",
            "<p>Glorot and Bengio (2010), He et al. (2015)</p>",
        ),
        ("by {eq}`eq-chi`, {numref}`fig-width`", "<p>by (1.7), Fig. 1.5</p>"),
        ("in [](claims.md) and [here](x.md)", "<p>in <em>The claims</em> and here</p>"),
        ("{ref}`The index <x>`, {term}`fact`", "<p>The index, fact</p>"),
        ("$a < b$", r"<p>\(a &lt; b\)</p>"),
    ],
    ids=["parentheses", "text", "numbers", "links", "references", "formula"],
)
def test_myst_becomes_words(source, shown):
    (block,) = slide_text.Prose().blocks(source)
    assert block.html == shown


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{what}`x`", "no rule for the role {what}"),
        ("```{figure} x\n```", "no rule for the directive {figure}"),
        ("<b>x</b>\n---\n---", "no rule for hr"),
    ],
    ids=["role", "directive", "block"],
)
def test_what_has_no_rule_is_refused(source, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        slide_text.Prose().blocks(source)


def test_numbers_are_those_of_the_book():
    for name in chapters():
        page = (BOOK.parent / f"_build/html/book/{name}.html").read_text("utf-8")
        for label, number in slide_text.numbers().items():
            if f'id="equation-{label}"' in page:
                place = page.index(f'id="equation-{label}"')
                assert f'class="eqno">({number})' in page[place : place + 200]
            elif f'id="{label}"' in page:
                place = page.index(f'id="{label}"')
                assert f"Fig. {number} " in page[place:].partition("</figure>")[0]
