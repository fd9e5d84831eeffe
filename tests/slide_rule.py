"""What of a chapter becomes a slide: a rule, in the order of the chapter.

- formulas, lists and tables, with the sentences that lead to them;
- **Predict.** is a slide of its own, before what answers it;
- a figure stands beside its caption and the first sentences of what the text says then;
- what a cell prints is shown where it answers a question, as it is stored;
- a claim stands on one slide: claim and rule, then, on the next click, the verdict. One
  that holds as it was made, and answers no question, stands only in the list of all;
- a section of which all that leaves nothing says how its paragraphs begin, if several;
- corrections of common statements, what frameworks do differently, the summary, the
  list of claims and the titles of the exercises.

Paragraphs are cut to their first sentences; the speaker's notes have them whole. A cell
with ``slideshow: {slide_type: skip}`` in its metadata, nbconvert's mark, is left out.
"""

import itertools
import math
import re
from dataclasses import dataclass, field

import exercise_notebooks
import nbformat
import numpy as np
from slide_claims import judgment, statement, table
from slide_text import BOOK, LINES, Block, Prose, chapters, sentences

from companion import claims

ROWS = 9  # of the list of claims
STATED = re.compile(r"^Claim (\w+) \(", re.MULTILINE)
JUDGED = re.compile(r"^Verdict on (\w+): ", re.MULTILINE)
BESIDE = ("math", "list", "table")  # what makes waiting prose worth a slide
FRAMEWORKS = re.compile(r"(The same in|In) PyTorch")  # sections that give boxes only


@dataclass
class Slide:
    """A slide; all texts are HTML."""

    kind: str
    title: str
    body: str = ""
    cells: list = field(default_factory=list)  # those whose outputs are shown
    aside: str = ""
    later: str = ""  # appears on the next click
    notes: str = ""
    size: float = 0.0  # about how many lines are taken
    opens: bool = False  # a section, which is a column of the overview
    where: str = ""  # the section, where the title is that of a part


class Deck:
    """The slides of one chapter."""

    def __init__(self, name):
        self.name, self.number = name, chapters().index(name) + 1
        self.notebook = nbformat.read(BOOK / f"{name}.ipynb", as_version=4)
        self.prose, self.slides, self.claims = Prose(), [], []
        self.section = self.part = ""
        self.waiting = []  # blocks that are on no slide yet
        self.leading = []  # those of a section that has no slide yet
        self.opening = self.asked = False
        self.follows = None  # a slide whose meaning the next paragraph tells
        for cell in self.notebook.cells:
            if "## Exercises" in cell.source:
                self.read(cell, cell.source.partition("## Exercises")[0])
                break
            self.read(cell, cell.source)
        self.flush()
        self.end_section()
        self.closing()

    def read(self, cell, source):
        skipped = cell.metadata.get("slideshow", {}).get("slide_type") == "skip"
        if cell.cell_type == "markdown":
            blocks = [*self.prose.blocks(source), None]
            for block, follower in itertools.pairwise(blocks):
                if not skipped or block.kind in ("h2", "h3"):
                    self.block(block, follower)
            return
        printed = "".join(o.text for o in cell.outputs if o.output_type == "stream")
        for id in STATED.findall(printed):
            self.stated(claims.ledger()[id])
        if skipped or self.only_boxes or STATED.search(printed):
            return
        if "figure" in cell.metadata.get("mystnb", {}):
            self.figure(cell)
        elif JUDGED.search(printed):
            self.judged(claims.ledger()[JUDGED.search(printed)[1]], printed)
        elif cell.outputs:
            self.printed(cell)

    def add(self, kind, title, **parts):
        """Append a slide; the first one of a section opens it."""
        where = self.section if title == self.part else ""
        slide = Slide(kind, title, opens=self.opening, where=where, **parts)
        slide.notes = "".join(b.html for b in self.leading) + slide.notes
        self.leading = []
        self.opening = False
        self.follows = None
        self.slides.append(slide)
        return slide

    @property
    def heading(self):
        return self.part or self.section or self.slides[0].title

    @property
    def only_boxes(self):
        return FRAMEWORKS.match(self.section)

    def block(self, block, follower):
        """Take up a block of prose."""
        if block.kind == "h1":
            self.add("title", block.title)
        elif block.kind in ("h2", "h3"):
            self.flush()
            self.follows = None
            if block.kind == "h2":
                self.end_section()
                self.section, self.part, self.opening = block.title, "", True
            else:
                self.part = block.title
        elif block.kind == "admonition" and not self.section:
            self.goals(block)
        elif block.kind == "admonition":
            self.flush()
            self.text(block.inner, block.title, kind="box", whole=True)
        elif self.only_boxes:
            self.slides[-1].notes += block.html
        elif block.kind == "question":
            self.question(block)
        elif self.follows and block.kind == "paragraph":
            self.meaning(block, follower)
        else:
            self.follows = None
            self.waiting.append(block)

    def meaning(self, block, follower):
        """Put beside a figure or an answer what the text says of it."""
        self.follows.notes += block.html
        *said, last = sentences(block.source)
        if not last.endswith(":"):
            said.append(last)
        elif follower is not None and follower.kind in BESIDE:
            self.waiting.append(self.prose.text(last))
        elif len(said) < 2:  # a paragraph that only leads to a cell
            said = []
        if said:
            self.follows.later += self.prose.text(" ".join(said)).short
            self.follows, self.asked = None, False

    def goals(self, block):
        able, *others = block.inner
        *_, goals = able.source.partition("**You will be able to** ")
        goals = goals.replace("\n", " ").rstrip(".").split("; ")
        items = [goal.removeprefix("and ") for goal in goals]
        items = "".join(f"<li>{self.prose.inline(item)}</li>" for item in items)
        body = f"<ul>{items}</ul>" + "".join(other.html for other in others)
        self.add("text", "You will be able to", body=body)

    def question(self, block):
        def size(lead):
            return sum(b.size for b in lead) + block.size + 3

        lead = self.shown(self.waiting)
        if size(lead) > LINES and self.worth_a_slide():
            self.flush()
            lead = []
        if size(lead) > LINES:  # several claims at once, or much prose
            lead = [b for b in lead if b.kind != "claim"]
        while lead and size(lead) > LINES:
            lead = lead[1:]
        body = "".join(b.short for b in lead)
        body += f'<div class="question"><h3>Predict</h3>{block.html}</div>'
        notes = "".join(b.html for b in self.waiting)
        self.waiting = []
        self.add("question", self.heading, body=body, notes=notes, size=size(lead))
        self.asked = True

    def figure(self, cell):
        self.flush(answers=False)
        meta = cell.metadata.mystnb
        caption = self.prose.inline(meta.figure.caption)
        shown = nbformat.from_dict(dict(cell))
        shown.outputs = [o for o in cell.outputs if "image/png" in o.get("data", {})]
        slide = self.add("figure", self.heading, cells=[shown], aside=caption)
        self.follows, self.asked = slide, False

    def printed(self, cell):
        """Show what a cell prints if it answers a question, or goes on answering it."""
        printed = "".join(output.get("text", "") for output in cell.outputs)
        size = sum(0.8 + len(line) // 90 for line in printed.splitlines())
        slide = self.slides[-1]
        if self.asked:
            self.flush(answers=False)
            slide = self.slides[-1]
            if slide.kind != "question" or slide.size + size > LINES + 2:
                slide = self.add("answer", self.heading)
            self.asked = False
        elif self.follows is not slide or slide.kind not in ("question", "answer"):
            return
        elif slide.size + size > LINES:
            return
        slide.cells.append(cell)
        slide.size += size
        self.follows = slide

    def stated(self, claim):
        """Keep a claim for the list of all, and for a question about it."""
        self.claims.append(claim)
        size = 2 + len(claim.statement) / 65
        self.waiting.append(Block("claim", short=statement(claim), size=size))

    def judged(self, claim, printed):
        """Show a claim and its verdict, unless it holds and nobody asked."""
        self.flush(answers=False)
        if self.asked or claim.verdict != "holds":
            self.add("claim", f"Claim {claim.id}", **judgment(claim, printed))
        self.asked = False

    def shown(self, blocks):
        """Return blocks as a slide shows them: more of what leads to a formula."""
        found = []
        for block, follower in itertools.pairwise([*blocks, None]):
            leads = follower is not None and follower.kind in BESIDE
            if block.kind == "paragraph" and leads:
                block = self.prose.lead(block)
            elif block.kind == "paragraph" and block.short.endswith(":</p>"):
                continue  # it leads to a cell
            found.append(block)
        return found

    def worth_a_slide(self):
        return any(block.kind in BESIDE for block in self.waiting)

    def flush(self, answers=True):
        """Put what is waiting on a slide if it is worth one, else into the notes."""
        shown = self.shown(self.waiting)
        if self.worth_a_slide() or (answers and self.asked and shown):
            self.text(shown, self.heading)
            self.asked = False
        elif self.opening:
            self.leading += self.waiting
        elif self.waiting and self.slides:
            self.slides[-1].notes += "".join(b.html for b in self.waiting)
        self.waiting = []

    def end_section(self):
        """Let a section without a slide say at least how its paragraphs begin."""
        leading, self.leading = self.leading, []
        shown = [b for b in self.shown(leading) if b.kind == "paragraph"]
        notes = "".join(b.html for b in leading)
        if len(shown) > 1:
            self.text(shown, self.section)
            self.slides[-1].notes = notes
        elif notes:
            self.slides[-1].notes += notes

    def text(self, blocks, title, kind="text", whole=False):
        """Add slides of text, as many as it takes."""
        pages, size = [[]], 0
        room = 1.4 * LINES if whole else LINES  # deck.js can shrink a little
        for block, follower in itertools.pairwise([*blocks, None]):
            needed = block.size
            if block.kind == "paragraph" and follower and follower.kind in BESIDE:
                needed += follower.size  # both on one page
            if pages[-1] and size + needed > room:
                pages.append([])
                size = 0
            pages[-1].append(block)
            size += block.size
        carrying = [any(b.kind in BESIDE for b in page) for page in pages]
        for page, carries in zip(pages, carrying, strict=True):
            notes = "".join(b.html for b in page)
            if whole:
                self.add(kind, title, body=notes)
            elif carries or (page is pages[0] and not any(carrying)):
                body = "".join(b.short for b in page)
                self.add(kind, title, body=body, notes=notes)
            else:
                self.slides[-1].notes += notes

    def closing(self):
        """Add the lists of the claims and of the exercises."""
        self.section, self.part, self.opening = "Claims", "", True
        pages = math.ceil(len(self.claims) / ROWS)
        for page in np.array_split(self.claims, pages) if pages else []:
            self.add("claims", "The claims of this chapter", body=table(page))
        _, _, found = exercise_notebooks.read(self.name)
        items = [f"<li>{self.prose.inline(exercise.title)}</li>" for exercise in found]
        columns = 2 if len(items) > 9 else 1
        body = f'<ol style="columns: {columns}">{"".join(items)}</ol>'
        body += f"<p>To work in: <code>book/exercises/{self.name}.ipynb</code></p>"
        self.section, self.opening = "Exercises", True
        self.add("text", "Exercises", body=body)
