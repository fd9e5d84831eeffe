"""How to cite the course, and whom it cites: nothing stale, no entry without a link."""

import re
from pathlib import Path

import pytest
import yaml
from pybtex.database import parse_file, parse_string  # comes with jupyter-book

ROOT = Path(__file__).parents[1]
REFERENCES = parse_file(str(ROOT / "book" / "references.bib"))
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
YEAR = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))["copyright"]


def stale(page):
    """List what the page on citing says otherwise than CITATION.cff and _config.yml."""
    (bibtex,) = re.findall("```bibtex\n(.*?)```", page, re.S)
    (entry,) = parse_string(bibtex, "bibtex").entries.values()
    plain = " ".join(page.replace("\n>", "").split())
    said = {
        "title": {" ".join(re.sub("[{}]", "", entry.fields["title"]).split())},
        "authors": {str(person).strip("{}") for person in entry.persons["author"]},
        "version": {
            entry.fields["version"],
            *re.findall(r"[Vv]ersion (\d\S*\d)", plain),
        },
        "year": {entry.fields["year"], *re.findall(r"\((\d{4})\)", plain)},
    }
    meant = {
        "title": {CITATION["title"]},
        "authors": {author["name"] for author in CITATION["authors"]},
        "version": {CITATION["version"]},
        "year": {str(CITATION.get("date-released", YEAR))[:4]},
    }
    found = [what for what in said if said[what] != meant[what]]
    if f"*{CITATION['title']}*" not in plain:
        found.append("title in the text")
    return found


def test_the_page_on_citing_says_what_citation_cff_says():
    assert stale((ROOT / "book" / "cite.md").read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("version = {", "version = {1", "version"),
        ("Version 0", "Version 1", "version"),
        ("version 0", "version 1", "version"),
        ("year    = {20", "year    = {19", "year"),
        ("authors (20", "authors (19", "year"),
        ("{{The companion authors}}", "{{Somebody}}", "authors"),
        ("title   = {{", "title   = {{No ", "title"),
        (
            "*Signal All the Way Down: training",
            "*Signal: training",
            "title in the text",
        ),
    ],
)
def test_what_is_stale_is_found(old, new, fault):
    page = (ROOT / "book" / "cite.md").read_text("utf-8")
    assert old in page
    assert stale(page.replace(old, new)) == [fault]


def unlinked(page):
    """Return how many references a page shows, and those of them without a link."""
    shown = re.findall(r'<div class="citation".*?</div>', page, re.S)
    return len(shown), [entry for entry in shown if 'href="http' not in entry]


def test_every_reference_is_shown_with_a_link():
    # The page shows what is cited: an entry that nothing cites would be missing.
    page = (ROOT / "_build" / "html" / "book" / "references.html").read_text("utf-8")
    assert unlinked(page) == (len(REFERENCES.entries), [])


def test_a_reference_without_a_link_is_found():
    good = '<div class="citation" id="1"><a href="https://doi.org/1">1</a></div>'
    bad = '<div class="citation" id="2"><a href="#2">2</a></div>'
    assert unlinked(good + bad) == (2, [bad])
