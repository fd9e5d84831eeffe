"""The prose of a chapter for its slides: blocks of HTML, and what is short of each.

What MyST adds to Markdown becomes plain words: a citation is author and year, the
number of an equation or a figure is the one on the chapter's page, and links are text.
"""

import functools
import itertools
import re
from dataclasses import dataclass
from html import escape
from pathlib import Path

import nbformat
import yaml
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.myst_blocks import myst_block_plugin
from mdit_py_plugins.myst_role import myst_role_plugin
from pybtex.database import parse_file
from pybtex.richtext import Text

ROOT = Path(__file__).parents[1]
BOOK = ROOT / "book"
LINES = 13  # of text that fit on a slide
#: A slide shows as many whole sentences of a paragraph as fit into this, or the first.
SHORT = 190
LEAD = 330  # the same before an equation, where symbols are defined
#: Directives that a lecturer has no use for on a slide.
UNSEEN = {"literalinclude", "exercise", "solution-start", "solution-end"}
#: A full stop in these ends no sentence: formulas, code, brackets.
WHOLE = re.compile(r"\$[^$]*\$|`[^`]*`|\([^()]*\)")
END = re.compile(r"(?<!\beq)(?<!\bal)(?<!\bvs)[.!?][\"”*]*\s+(?=[\"“*{]*[A-Z])")


@dataclass
class Block:
    """A heading, paragraph, list, formula, table, question or admonition."""

    kind: str
    html: str = ""  # all of it
    short: str = ""  # what a slide shows
    size: float = 0.0  # about how many lines that takes
    title: str = ""  # of a heading or an admonition
    source: str = ""  # of a paragraph, in Markdown
    inner: tuple = ()  # blocks of an admonition


def sentences(source):
    """Split a paragraph of Markdown into its sentences.

    >>> sentences("By eq. 2, $f(x. Y)$ is 1. So (see there. Or not) it holds.")
    ['By eq. 2, $f(x. Y)$ is 1.', 'So (see there. Or not) it holds.']
    """
    masked = WHOLE.sub(lambda match: "X" * len(match[0]), source)
    cuts = [0, *(match.end() for match in END.finditer(masked)), len(source)]
    return [source[a:b].strip() for a, b in itertools.pairwise(cuts)]


def shorten(source, limit=SHORT):
    """Return the first sentences that fit into a limit, and at least one."""
    first, *others = sentences(source)
    for sentence in others:
        if length(first) + length(sentence) > limit:
            break
        first += " " + sentence
    return first


def length(source):
    """Return about how many characters a piece of Markdown shows."""
    source = re.sub(r"\{[\w:]+\}`[^`]*`", "Author and Author (2000)", source)
    source = re.sub(r"\$[^$]*\$", lambda m: "x" * (len(m[0]) // 2), source)
    return len(source)


@functools.cache
def bibliography():
    return parse_file(BOOK / "references.bib").entries


@functools.cache
def cited(key, textual=True):
    """Return author and year of a work.

    >>> cited("glorot2010"), cited("he2015", textual=False)
    ('Glorot and Bengio (2010)', 'He et al., 2015')
    """
    entry = bibliography()[key]
    names = [
        str(Text.from_latex(" ".join(person.prelast_names + person.last_names)))
        for person in entry.persons["author"]
    ]
    who = f"{names[0]} et al." if len(names) > 2 else " and ".join(names)
    year = entry.fields["year"]
    return f"{who} ({year})" if textual else f"{who}, {year}"


@functools.cache
def title_of(page):
    """Return the title of a page of the book, named as a link names it."""
    path = BOOK / page
    source = path.read_text("utf-8")
    if path.suffix == ".ipynb":
        source = nbformat.reads(source, as_version=4).cells[0].source
    return re.search(r"^# (.*)", source, re.MULTILINE)[1]


def chapters():
    """Return the names of the chapters, in order."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
    (part,) = (part for part in toc["parts"] if part["caption"] == "Chapters")
    return [chapter["file"].removeprefix("book/") for chapter in part["chapters"]]


@functools.cache
def numbers():
    """Return the numbers of all equations and figures, by label, as the book has them.

    >>> numbers()["eq-chi"], numbers()["fig-learning"]
    ('1.7', '1.1')
    """
    found = {}
    for chapter, name in enumerate(chapters(), 1):
        equations = figures = 0
        for cell in nbformat.read(BOOK / f"{name}.ipynb", as_version=4).cells:
            if cell.cell_type == "markdown":
                for label in re.findall(r"(?m)^\$\$ \(([\w-]+)\)$", cell.source):
                    equations += 1
                    found[label] = f"{chapter}.{equations}"
            elif "figure" in cell.metadata.get("mystnb", {}):
                figures += 1
                found[cell.metadata.mystnb.figure.name] = f"{chapter}.{figures}"
    return found


class Prose:
    """Turns the Markdown of the chapters into blocks."""

    def __init__(self):
        self.markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
        self.markdown.use(dollarmath_plugin, allow_labels=True, double_inline=True)
        self.markdown.use(myst_role_plugin).use(myst_block_plugin)
        for kind in ("math_inline", "math_block", "math_block_label", "myst_role"):
            self.markdown.add_render_rule(kind, self._rule(getattr(self, kind)))
        for kind in ("link_open", "link_close", "myst_target"):
            self.markdown.add_render_rule(kind, self._rule(getattr(self, kind)))

    def _rule(self, method):
        return lambda renderer, tokens, i, options, env: method(tokens, i)

    def math_inline(self, tokens, i):
        return rf"\({escape(tokens[i].content)}\)"

    def math_block(self, tokens, i, tag=""):
        return rf'<div class="math">\[{escape(tokens[i].content.strip())}{tag}\]</div>'

    def math_block_label(self, tokens, i):
        return self.math_block(tokens, i, rf"\tag{{{numbers()[tokens[i].info]}}}")

    def myst_target(self, tokens, i):
        return ""

    def link_open(self, tokens, i):
        target = tokens[i].attrs["href"]
        if tokens[i + 1].type != "link_close":
            return ""
        if target in numbers():
            return f"({numbers()[target]})"
        return f"<em>{escape(title_of(target))}</em>"

    def link_close(self, tokens, i):
        return ""

    def myst_role(self, tokens, i):
        role, content = tokens[i].meta["name"], tokens[i].content
        text, _, target = re.fullmatch(r"(.*?)( <(.*)>)?", content).groups()
        keys = content.split(",")
        match role:
            case "cite:t":
                return escape(", ".join(cited(key) for key in keys))
            case "cite:p":
                return escape(f"({'; '.join(cited(key, False) for key in keys)})")
            case "eq":
                return f"({numbers()[content]})"
            case "numref":
                return f"Fig. {numbers()[content]}"
            case "download" if target:
                return f"<code>{escape(text)}</code>"
            case "term" | "ref" if role == "term" or target:
                return escape(text)
            case "ref":
                return "an exercise" if text.startswith("exercise") else "elsewhere"
        raise ValueError(f"Prose: no rule for the role {{{role}}}`{content}`.")

    def inline(self, source):
        return self.markdown.renderInline(source)

    def blocks(self, source):
        """Return the blocks of a cell of Markdown."""
        tokens, found, start = self.markdown.parse(source), [], 0
        for end, token in enumerate(tokens, 1):
            if token.level == 0 and token.nesting <= 0:
                found += self.block(tokens[start:end])
                start = end
        return found

    def block(self, tokens):
        first = tokens[0]
        html = self.markdown.renderer.render(tokens, self.markdown.options, {})
        if first.type == "heading_open":
            return [Block(f"h{first.tag[1]}", title=self.inline(tokens[1].content))]
        if first.type == "paragraph_open":
            return self.paragraph(tokens[1].content)
        if first.type in ("bullet_list_open", "ordered_list_open"):
            return [self.list(tokens, html)]
        if first.type.startswith("math_block"):
            rows = 1 + first.content.count(r"\\") + first.content.count("cases")
            return [Block("math", html, html, 1 + 1.5 * rows)]
        if first.type == "table_open":
            rows = sum(token.type == "tr_open" for token in tokens)
            return [Block("table", html, html, 1.3 * rows)]
        if first.type == "fence":
            return self.fence(first)
        if first.type in ("myst_target", "code_block"):
            return []
        raise ValueError(f"Prose: no rule for {first.type} on line {first.map}.")

    def paragraph(self, source):
        before, marker, question = source.partition("**Predict.** ")
        found = []
        if before.strip():
            found.append(self.text(before.strip()))
        if marker:
            html = self.inline(question)
            size = length(question) / 62
            found.append(Block("question", f"<p>{html}</p>", f"<p>{html}</p>", size))
        return found

    def text(self, source, limit=SHORT):
        """Return a paragraph."""
        short = shorten(source, limit)
        html, shown = f"<p>{self.inline(source)}</p>", f"<p>{self.inline(short)}</p>"
        return Block("paragraph", html, shown, length(short) // 75 + 1.4, source=source)

    def lead(self, block):
        """Return a paragraph as it stands before a formula: more of it, or its end."""
        if length(block.source) <= LEAD:
            return self.text(block.source, LEAD)
        *_, last = (s for s in sentences(block.source) if not s.startswith("("))
        return self.text(last)

    def list(self, tokens, html):
        items, tag = [], tokens[0].tag
        for i, token in enumerate(tokens):
            if token.type == "list_item_open" and token.level == 1:
                items.append(shorten(tokens[i + 2].content, LEAD))
        shown = "".join(f"<li>{self.inline(item)}</li>" for item in items)
        size = sum(length(item) // 72 + 1.2 for item in items)
        return Block("list", html, f"<{tag}>{shown}</{tag}>", size)

    def fence(self, token):
        directive = re.fullmatch(r"\{([\w-]+)\}\s*(.*)", token.info)
        if directive is None:
            return []
        name, title = directive.groups()
        if name in UNSEEN:
            return []
        if name != "admonition":
            raise ValueError(f"Prose: no rule for the directive {{{name}}}.")
        options = r"(:\w+:.*\n)*\n?"
        body = re.sub(rf"\A{options}", "", token.content)
        inner = self.blocks(body)
        html = "".join(block.html for block in inner)
        return [Block("admonition", html, title=self.inline(title), inner=inner)]
