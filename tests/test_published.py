"""A published copy: notebooks that install what they need, and buttons for them."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import elsewhere
import nbformat
import published
import pytest
import yaml
from rendered import SITE
from sphinx.errors import ConfigError
from test_layout import toc_pages

ROOT = Path(__file__).parents[1]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
OWN = {"COMPANION_REPOSITORY": "OWNER/REPO", "COMPANION_COMMIT": COMMIT}
ADDRESS = "https://github.com/OWNER/REPO"


def notebook():
    cells = [nbformat.v4.new_markdown_cell("# A", id="a")]
    cells.append(nbformat.v4.new_code_cell("1 + 1", id="b"))
    return nbformat.v4.new_notebook(cells=cells)


def test_a_stamp_is_a_first_cell_and_changes_nothing_else():
    plain = notebook()
    made = published.stamped(plain, ADDRESS, COMMIT)
    nbformat.validate(made)
    assert made.cells[1:] == plain.cells == notebook().cells
    source = made.cells[0].source
    compile(source, "the first cell", "exec")
    assert f"@ git+{ADDRESS}@{COMMIT}" in source


def test_a_new_stamp_takes_the_place_of_an_older():
    old = published.stamped(notebook(), ADDRESS, 40 * "0")
    new = published.stamped(old, ADDRESS, COMMIT)
    assert new == published.stamped(notebook(), ADDRESS, COMMIT)


def test_a_stamp_does_nothing_where_the_companion_is(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("pip was called")

    monkeypatch.setattr(subprocess, "run", refuse)
    exec(published.stamped(notebook(), ADDRESS, COMMIT).cells[0].source, {})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"COMPANION_REPOSITORY": ADDRESS}, "must be OWNER/REPO, without the host"),
        ({"COMPANION_REPOSITORY": ""}, "COMPANION_REPOSITORY must be OWNER/REPO"),
        ({"COMPANION_COMMIT": "main"}, "40 hexadecimal digits"),
        ({"COMPANION_COMMIT": ""}, "40 hexadecimal digits"),
    ],
)
def test_half_an_address_is_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        published.copy_of(OWN | wrong)


def test_no_address_is_no_copy():
    assert published.copy_of({}) is None
    assert published.copy_of(OWN) == ("OWNER/REPO", COMMIT)


def test_a_package_that_moves_is_found():
    before = {"numpy": "2.0.2", "torch": "2.11.0", "tqdm": "4.67.3"}
    after = {"numpy": "2.4.6", "torch": "2.11.0", "flint": "0.8.0"}
    assert elsewhere.moved(before, before | {"flint": "0.8.0"}) == []
    assert elsewhere.moved(before, after) == ["numpy", "tqdm"]


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A book of one notebook, built as the workflow builds it, and its folder."""
    book = tmp_path_factory.mktemp("copy")
    shutil.copy(ROOT / "_config.yml", book)
    (book / "tests").mkdir()
    shutil.copy(published.__file__, book / "tests")
    shutil.copytree(ROOT / "book" / "_static", book / "book" / "_static")
    shutil.copy(ROOT / "book" / "references.bib", book / "book")
    toc = {"format": "jb-book", "root": "book/index", "chapters": [{"file": "book/a"}]}
    (book / "_toc.yml").write_text(yaml.safe_dump(toc))
    (book / "book" / "index.md").write_text("# A book\n\n```{tableofcontents}\n```\n")
    page = notebook()
    page.cells[0].source += "\n\nTake {download}`a notebook <exercises/a.ipynb>`."
    page.metadata = nbformat.read(next((ROOT / "book").glob("*.ipynb")), 4).metadata
    nbformat.write(page, book / "book" / "a.ipynb")
    (book / "book" / "exercises").mkdir()
    nbformat.write(notebook(), book / "book" / "exercises" / "a.ipynb")
    program = Path(sys.executable).parent / "jupyter-book"
    command = [program, "build", ".", "-n", "-W", "-q"]
    done = subprocess.run(
        command, cwd=book, env=os.environ | OWN, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return book / "_build"


def colab_links(page):
    return set(re.findall(r'href="(https://colab[^"]*)"', page))


def test_a_published_page_opens_its_notebooks_in_colab(copy):
    page = (copy / "html" / "book" / "a.html").read_text("utf-8")
    branch = f"{published.COLAB}/github/OWNER/REPO/blob/notebooks/book"
    assert colab_links(page) == {f"{branch}/a.ipynb", f"{branch}/exercises/a.ipynb"}
    for link in colab_links(page):  # what each leads to is in the branch
        assert (copy / "notebooks" / link.partition("/notebooks/")[2]).is_file()
    assert "install-companion" not in page
    assert "git+" not in page


def test_a_published_page_offers_what_the_workflow_publishes(copy):
    page = (copy / "html" / "book" / "a.html").read_text("utf-8")
    text = (ROOT / ".github" / "workflows" / "publish.yml").read_text("utf-8")
    for offer in ("signal-all-the-way-down.pdf", "slides"):
        assert re.search(f'<a href="../{offer}[^"]*">', page)
        assert re.search(rf"cp -r .*_build/{offer} .*_build/html", text)


def test_the_workflow_says_whose_copy_it_is_and_names_no_owner():
    text = (ROOT / ".github" / "workflows" / "publish.yml").read_text("utf-8")
    steps = yaml.safe_load(text)["jobs"]["build"]["steps"]
    (told,) = [step["env"] for step in steps if "make book" in step.get("run", "")]
    assert told == {
        "COMPANION_REPOSITORY": "${{ github.repository }}",
        "COMPANION_COMMIT": "${{ github.sha }}",
    }
    assert f"initial-branch={published.BRANCH}" in text
    assert not re.findall(r"github\.com/(?!\$GITHUB_REPOSITORY)", text)


def test_every_notebook_of_a_published_copy_is_stamped(copy):
    offered = [*copy.glob("html/_sources/**/*.ipynb"), *copy.glob("html/_down*/*/*")]
    offered += copy.glob("notebooks/**/*.ipynb")
    assert sorted(p.name for p in offered) == 4 * ["a.ipynb"]
    for path in offered:
        made = nbformat.read(path, as_version=4)
        assert f"git+{ADDRESS}@{COMMIT}" in made.cells[0].source
        assert made.cells[-1] == notebook().cells[-1]
    assert not [*copy.glob("**/*.part")]


@pytest.mark.skipif(
    published.copy_of(os.environ) is not None, reason="this copy has an address"
)
def test_a_book_without_an_address_has_no_dead_button_and_no_stamp():
    for name in toc_pages():
        assert not colab_links((SITE / f"{name}.html").read_text("utf-8"))
    offered = [*SITE.glob("_sources/**/*.ipynb"), *SITE.glob("_downloads/*/*.ipynb")]
    assert len(offered) >= 19
    for path in offered:
        assert "git+" not in path.read_text("utf-8")


def test_every_page_of_a_notebook_offers_it(copy):
    # by the button of the theme, in a copy and in the book here
    pages = {copy / "html" / "book": ["a"]}
    pages[SITE / "book"] = [path.stem for path in (ROOT / "book").glob("*.ipynb")]
    for folder, names in pages.items():
        for name in names:
            page = (folder / f"{name}.html").read_text("utf-8")
            (link,) = re.findall(r'href="([^"]*_sources/[^"]*\.ipynb)"', page)
            assert (folder / link).resolve().is_file()
