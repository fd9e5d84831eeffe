"""The book on paper: every page is in it, and its links lead to pages of paper."""

import unicodedata

import pdf
import pypdf
import pytest
from pypdf.generic import Destination
from test_layout import toc_pages


@pytest.fixture(scope="module")
def paper(tmp_path_factory):
    if pdf.BROWSER is None:
        pytest.skip("no Chromium or Chrome on this machine")
    path = tmp_path_factory.mktemp("paper") / "book.pdf"
    pdf.write(path)
    return pypdf.PdfReader(path)


def titles():
    """Return the headings of the pages, in order."""
    found = []
    for name in toc_pages():
        page = (pdf.SITE / f"{name}.html").read_text("utf-8")
        heading = pdf.BeautifulSoup(page, "html.parser").find("article").h1
        heading.find(class_="headerlink").decompose()
        found.append(" ".join(heading.text.split()))
    return found


def squeezed(text):
    """Leave out spaces, and take ligatures apart."""
    return "".join(unicodedata.normalize("NFKC", text).split())


def test_every_page_has_its_bookmark_in_the_order_of_the_contents(paper):
    marks = [mark for mark in paper.outline if isinstance(mark, Destination)]
    assert [m.title.replace("\xa0", " ") for m in marks] == titles()
    numbers = [paper.get_destination_page_number(mark) for mark in marks]
    assert numbers == sorted(set(numbers))  # each begins a page
    for title, number in zip(titles(), numbers, strict=True):
        assert squeezed(title) in squeezed(paper.pages[number].extract_text())


def test_links_between_pages_lead_to_paper(paper):
    inside, outside = 0, set()
    for page in paper.pages:
        for note in page.get("/Annots") or []:
            note = note.get_object()
            action = note.get("/A", {})
            if "/URI" in action:
                outside.add(action["/URI"])
            else:
                assert note["/Dest"] in paper.named_destinations
                inside += 1
    assert inside > 1000
    assert not [address for address in outside if not address.startswith("http")]
    assert not [address for address in outside if "127.0.0.1" in address]


def test_solutions_are_unfolded_and_buttons_are_not_printed(paper):
    text = squeezed("".join(page.extract_text() for page in paper.pages[:80]))
    assert squeezed("Solution to Exercise") in text
    assert squeezed("Show code cell source") not in text


def test_links_are_turned_to_the_page_that_holds_all():
    assert pdf.anchor("book/api/mlp") == "book-api-mlp"
    assert pdf.anchor("book/api/mlp", "a") == "book-api-mlp--a"
    made = pdf.article("book/api/mlp", {"book/api/mlp", "book/mlp"})
    assert 'id="book-api-mlp"' in made
    assert "../" not in made


def test_nothing_is_left_behind_when_printing_fails(tmp_path, monkeypatch):
    before = set(pdf.SITE.iterdir())
    monkeypatch.setattr(pdf, "BROWSER", "/nowhere/chromium")
    with pytest.raises(Exception, match="nowhere"):
        pdf.write(tmp_path / "book.pdf")
    assert set(pdf.SITE.iterdir()) == before
    assert not list(tmp_path.iterdir())
