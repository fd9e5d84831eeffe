"""The ledger: complete entries, and verdicts that must be what was measured."""

import dataclasses
import json
import re
import tomllib
from pathlib import Path

import pytest
from helpers import refusal

from companion import claims
from companion.claims import VERDICTS, Claim, check, ledger, state, to_markdown
from companion.recorded import Fact

ROOT = Path(__file__).parents[1]
LEDGER = ROOT / "companion" / "ledger.toml"
#: What an entry must have; `pilot` alone has a default.
FIELDS = [field.name for field in dataclasses.fields(Claim) if field.name != "pilot"]

LONG = "A claim of many words, which goes on until no line of eighty can hold it all"

#: A ledger for the tests: a claim with two facts, one with none, and long texts.
PLANTED = f"""
[X1]
chapter = "demo"
source = "author2000"
statement = "Water is wet."
rule = "holds if it is; else does not hold here."
verdict = "holds"
finding = "It is."
facts = ["a", "b"]

[X2]
chapter = "other"
source = "author2001"
statement = "{LONG}, and on, and then some more of it, to fill a third line as well."
rule = "corrected if {LONG}."
verdict = "corrected"
finding = "{LONG}."
facts = []
"""

A = Fact("a", 0.5, 0.4, 0.6, 10)
B = Fact("b", 2.0)


@pytest.fixture
def plant(tmp_path, monkeypatch):
    """Give a function that puts another ledger in the place of the book's."""

    def planted(text=PLANTED):
        (tmp_path / "ledger.toml").write_text(text, "utf-8")
        monkeypatch.setattr(claims, "__file__", str(tmp_path / "claims.py"))
        ledger.cache_clear()

    yield planted
    ledger.cache_clear()


# --- the book's ledger ----------------------------------------------------------------
def complaints(id, entry):
    """Say what is wrong with an entry of the ledger."""
    if missing := set(FIELDS) - {"id"} ^ set(entry) - {"pilot"}:
        return [f"keys {sorted(missing)}"]
    found = []
    if not re.fullmatch(r"[A-Z]+[1-9][0-9]*", id):
        found.append("id")
    texts = {k: v for k, v in entry.items() if k != "facts"}
    for name, text in texts.items():
        if not isinstance(text, str) or not text or text != " ".join(text.split()):
            found.append(name)
    found += [k for k in ("statement", "rule", "finding") if entry[k][-1:] != "."]
    if entry["verdict"] not in VERDICTS:
        found.append("verdict")
    elif not re.search(rf"\b{entry['verdict']}( if\b|\.$)", entry["rule"], re.I):
        found.append("a verdict that the rule cannot give")
    facts = entry["facts"]
    if not facts or len(set(facts)) != len(facts) or not all(facts):
        found.append("facts")
    return found


def test_every_entry_is_complete_and_valid():
    entries = tomllib.loads(LEDGER.read_text("utf-8"))
    assert entries
    for id, entry in entries.items():
        assert complaints(id, entry) == [], id


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"verdict": "hold"}, "verdict"),
        ({"verdict": "corrected"}, "a verdict that the rule cannot give"),
        ({"facts": []}, "facts"),
        ({"facts": ["a", "a"]}, "facts"),
        ({"statement": "No full stop"}, "statement"),
        ({"finding": ""}, "finding"),
        ({"source": " a"}, "source"),
        ({"pilot": ""}, "pilot"),
        ({"surce": "a"}, "keys ['surce']"),
    ],
)
def test_incomplete_entry_is_found(change, complaint):
    entry = tomllib.loads(PLANTED)["X1"]
    assert complaints("X1", entry) == []
    assert complaint in complaints("X1", entry | change)
    assert complaints("x 1", entry) == ["id"]
    del entry["rule"]
    assert complaints("X1", entry) == ["keys ['rule']"]


def test_ledger_is_the_file():
    entries = tomllib.loads(LEDGER.read_text("utf-8"))
    assert list(ledger()) == list(entries)
    for id, claim in ledger().items():
        assert isinstance(claim, Claim)
        facts = tuple(entries[id]["facts"])
        expected = {"id": id, "pilot": "", **entries[id], "facts": facts}
        assert dataclasses.asdict(claim) == expected


def test_every_fact_is_recorded():
    for claim in ledger().values():
        path = ROOT / "book" / "recorded" / f"{claim.chapter}.json"
        entries = json.loads(path.read_text("utf-8"))
        assert set(claim.facts) <= set(entries), claim.id
        # What is drawn is no fact: that is a number, with or without an interval.
        assert not [name for name in claim.facts if "shape" in entries[name]]


def test_ledger_refuses_an_unknown_verdict(plant):
    plant(PLANTED.replace('verdict = "holds"', 'verdict = "hold"'))
    options = ", ".join(map(repr, VERDICTS))
    text = (
        f"ledger: X1: `verdict` must be one of {options}; got 'hold'. Did you mean "
        "'holds'?"
    )
    assert refusal(ledger) == (ValueError, text)


@pytest.mark.parametrize("key", sorted(set(FIELDS) - {"id"}))
def test_ledger_refuses_an_entry_without_a_key(key, plant):
    plant("\n".join(s for s in PLANTED.splitlines() if not s.startswith(f"{key} =")))
    with pytest.raises((KeyError, TypeError), match=key):
        ledger()


def test_ledger_refuses_an_unknown_key(plant):
    plant(PLANTED.replace("[X2]", 'verdickt = "holds"\n[X2]'))
    with pytest.raises(TypeError, match="verdickt"):
        ledger()


# --- check ----------------------------------------------------------------------------
def test_check_prints_facts_and_verdict(plant, capsys):
    plant()
    assert check("X1", "holds", A, B) is None
    assert capsys.readouterr().out == (
        "Fact: a: 0.5 [0.4, 0.6] over 10 seeds\n"
        "Fact: b: 2\n"
        "Verdict on X1: holds. It is.\n"
    )


def test_check_wraps_the_verdict(plant, capsys):
    plant()
    check("X2", "corrected")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert max(map(len, lines)) <= 80
    assert " ".join(lines) == f"Verdict on X2: corrected. {LONG}."


@pytest.mark.parametrize("verdict", [v for v in VERDICTS if v != "holds"])
def test_check_refuses_a_verdict_other_than_the_ledgers(verdict, plant, capsys):
    plant()
    text = (
        "check: `verdict` of X1 must be the ledger's, 'holds'; what was measured gives "
        f"{verdict!r}."
    )
    assert refusal(check, "X1", verdict, A, B) == (ValueError, text)
    assert "Verdict" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("verdict", "hint"),
    [("hold", " Did you mean 'holds'?"), ("true", ""), (True, ""), (None, "")],
)
def test_check_refuses_what_is_no_verdict(verdict, hint, plant):
    plant()
    options = ", ".join(map(repr, VERDICTS))
    text = f"check: `verdict` must be one of {options}; got {verdict!r}.{hint}"
    assert refusal(check, "X1", verdict, A, B) == (ValueError, text)


@pytest.mark.parametrize(
    ("id", "hint"),
    [("X11", " Did you mean 'X1'?"), ("X", " Did you mean 'X2'?"), ("Q", "")],
)
@pytest.mark.parametrize("function", [check, state])
def test_unknown_claim_is_refused(function, id, hint, plant):
    plant()
    text = f"{function.__name__}: `id` must be one of 'X1', 'X2'; got {id!r}.{hint}"
    arguments = (id, "holds", A, B) if function is check else (id,)
    assert refusal(function, *arguments) == (ValueError, text)


@pytest.mark.parametrize("fact", [0.5, "a", ("a", 0.5), None])
def test_check_refuses_a_fact_that_is_not_recorded(fact, plant):
    plant()
    text = (
        f"check: `facts` of X1 must be recorded; got {fact!r}. Pass what Record.number "
        "or Record.interval returns."
    )
    assert refusal(check, "X1", "holds", A, fact) == (TypeError, text)


@pytest.mark.parametrize(
    "facts", [(), (A,), (B, A), (A, A), (A, B, B), (A, Fact("c", 1.0))]
)
def test_check_refuses_facts_other_than_the_ledgers(facts, plant, capsys):
    plant()
    names = tuple(fact.name for fact in facts)
    text = f"check: `facts` of X1 must be those of the ledger, ('a', 'b'); got {names}."
    assert refusal(check, "X1", "holds", *facts) == (ValueError, text)
    assert "Verdict" not in capsys.readouterr().out


# --- state ----------------------------------------------------------------------------
def test_state_prints_claim_and_rule(plant, capsys):
    plant()
    state("X1")
    assert capsys.readouterr().out == (
        "Claim X1 (author2000): Water is wet.\n"
        "Rule: holds if it is; else does not hold here.\n"
    )


def test_state_wraps_to_eighty_columns(plant, capsys):
    plant()
    state("X2")
    text = capsys.readouterr().out
    claim = ledger()["X2"]
    said, rule = text.split("Rule: ")
    assert " ".join(said.split()) == f"Claim X2 (author2001): {claim.statement}"
    assert " ".join(rule.split()) == claim.rule
    lengths = [len(line) for line in text.splitlines()]
    assert len(lengths) == 5
    assert max(lengths) <= 80
    assert max(lengths) > 70


@pytest.mark.parametrize("id", list(ledger()))
def test_state_says_every_claim_of_the_book(id, capsys):
    state(id)
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    words = " ".join(text.split())
    claim = ledger()[id]
    assert words.startswith(f"Claim {id} ({claim.source}): {claim.statement} Rule: ")
    assert claim.rule in words
    end = f"Before the rule: {claim.pilot}" if claim.pilot else claim.rule
    assert words.endswith(end)


# --- the page -------------------------------------------------------------------------
def check_page(page, claims_by_id, folder):
    """Require that a page has all of every claim, figures and link included."""
    sections = page.split("\n## ")[1:]
    headings = [section.split(":")[0] for section in sections]
    assert headings == list(claims_by_id)
    for section, claim in zip(sections, claims_by_id.values(), strict=True):
        assert section.startswith(f"{claim.id}: {claim.verdict}\n")
        assert ("**Before the rule**" in section) == bool(claim.pilot)
        for text in (claim.statement, claim.rule, claim.finding, claim.pilot):
            assert text in section
        assert f"{{cite:p}}`{claim.source}`" in section
        assert f"<claim-{claim.id}>`" in section
        entries = json.loads((Path(folder) / f"{claim.chapter}.json").read_text())
        lines = [line for line in section.splitlines() if line.startswith("- ")]
        expected = []
        for name in claim.facts:
            entry = entries[name]
            if "n" in entry:
                value, low, high = (f"{v:.4g}" for v in entry["value"])
                over = entry.get("over", "seeds")
                figure = f"{value} [{low}, {high}] over {entry['n']} {over}"
            else:
                figure = f"{entry['value']:.4g}"
            expected.append(f"- {name}: {figure}")
        assert lines == expected


@pytest.fixture
def folder(tmp_path):
    """Give a folder with the records of the planted ledger."""
    folder = tmp_path / "recorded"
    folder.mkdir()
    entries = {
        "a": {"tolerance": "rounding", "value": [0.5, 0.4, 0.6], "n": 10},
        "unused": {"tolerance": "rounding", "value": 77.0},
        "b": {"tolerance": "training", "value": 1.23456789},
    }
    (folder / "demo.json").write_text(json.dumps(entries), "utf-8")
    (folder / "other.json").write_text("{}", "utf-8")
    return folder


def test_page_of_the_book_has_every_claim():
    folder = ROOT / "book" / "recorded"
    check_page(to_markdown(folder), ledger(), folder)


@pytest.mark.parametrize("kind", [str, Path])
def test_page_has_every_claim_fact_and_link(kind, plant, folder):
    plant()
    page = to_markdown(kind(folder))
    check_page(page, ledger(), folder)
    assert "- a: 0.5 [0.4, 0.6] over 10 seeds\n- b: 1.235\n" in page
    assert "77" not in page
    assert page.startswith("# The claims\n")
    assert page.endswith("<claim-X2>`.\n")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Water is wet", "Water is dry"),
        ("<claim-X1>", "<claim-X2>"),
        ("1.235", "1.234"),
        ("0.6]", "0.7]"),
        ("## X2: corrected", "## X2: holds"),
        ("`author2000`", "`author2001`"),
        ("\n## X2", "\nX2"),
        ("- b: 1.235\n", ""),
    ],
)
def test_check_of_the_page_finds_what_is_missing(old, new, plant, folder):
    plant()
    page = to_markdown(folder)
    assert old in page
    with pytest.raises(AssertionError):
        check_page(page.replace(old, new), ledger(), folder)


def test_page_follows_the_records(plant, folder):
    plant()
    text = (folder / "demo.json").read_text()
    (folder / "demo.json").write_text(text.replace("1.23456789", "9.5"))
    assert "- b: 9.5\n" in to_markdown(folder)


def test_page_refuses_a_fact_without_record(plant, folder):
    plant()
    (folder / "demo.json").write_text("{}")
    with pytest.raises(KeyError, match="a"):
        to_markdown(folder)
    (folder / "demo.json").unlink()
    with pytest.raises(ValueError, match=r"^facts_of: .* got 'demo'\."):
        to_markdown(folder)
