"""Claims on slides: the statement, the rule and the verdict, as they are printed."""

import math
import re
from html import escape

from slide_text import LINES, cited, shorten

RULE = 420  # characters of a rule; the rest stands in the notes
FACT = re.compile(r"^Fact: (.*)$", re.MULTILINE)


def stored(text, kind=""):
    """Return a part of a stored output as a paragraph; a test finds it by its class."""
    return f'<p class="stored {kind}">{escape(" ".join(text.split()))}</p>'


def statement(claim):
    """Return what is claimed, to stand above a question."""
    return f"<h3>Claim {claim.id}</h3>{stored(claim.statement, 'claim')}"


def judgment(claim, printed):
    """Return the parts of a slide: claim and rule, then what was measured and found."""
    by = escape(", ".join(cited(key) for key in claim.source.split(",")))
    rule = shorten(claim.rule, RULE)
    cut = "" if rule == claim.rule else " (continued in the notes)"
    body = f'<p class="by">{by}</p>{stored(claim.statement, "claim")}'
    body += f'<div class="rule"><h3>Rule{cut}</h3>{stored(rule)}</div>'
    later = f'<div class="verdict" data-verdict="{claim.verdict}"><h3>Verdict: '
    later += f'<span class="stored">{claim.verdict}</span></h3>'
    later += f"{stored(claim.finding)}</div>"
    notes = f"<p>Rule: {escape(claim.rule)}</p>" if cut else ""
    facts = FACT.findall(printed)
    listed = "".join(f'<li class="stored">{escape(fact)}</li>' for fact in facts)
    listed = f'<ul class="facts">{listed}</ul>'
    lines = 5 + (len(claim.statement) + len(claim.finding)) / 60 + len(rule) / 150
    if lines + sum(math.ceil(len(fact) / 60) for fact in facts) / 3 <= LINES:
        later = listed + later
    else:
        notes += listed
    return {"body": body, "later": later, "notes": notes}


def table(claims):
    """Return a list of claims with their verdicts."""
    rows = '<tr><th scope="col">Claim</th><td></td><th scope="col">Verdict</th></tr>'
    for claim in claims:
        rows += f'<tr><th scope="row">{claim.id}</th>'
        rows += f'<td class="stored">{escape(claim.statement)}</td>'
        rows += f'<td class="stored" data-verdict="{claim.verdict}">'
        rows += f"{claim.verdict}</td></tr>"
    return f"<table>{rows}</table>"
