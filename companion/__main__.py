"""The command line: ``python -m companion``.

Each subcommand shows what a function of the package returns: as text, or with
``--json`` as one JSON document.
"""

import argparse
import contextlib
import dataclasses
import difflib
import importlib
import json
import re
import sys
import textwrap
import traceback
import warnings
from pathlib import Path

from companion import (
    __version__,
    _checks,
    _pipes,
    claims,
    datasets,
    proofs,
    recipes,
    recorded,
)

#: Where a class of models is, its name, the module that diagnoses such a model, and
#: how many of (model, x, y, loss) that needs.
DOCTORS = (
    ("companion.mlp", "Sequential", "companion.diagnostics", 3),
    ("keras", "Model", "companion.tensorflow.diagnostics", 2),
    ("torch.nn", "Module", "companion.torch.diagnostics", 2),
)


class Refusal(ValueError):
    """The arguments, or what they name, cannot be used; the message says why."""


def main(argv=None):
    """Run the command line and return its exit code."""
    return _pipes.until_closed(_run, argv)


def _run(argv):
    parser = _parser()
    options = vars(parser.parse_args(argv))
    subcommand, as_json = options.pop("subcommand", None), options.pop("json", False)
    if not subcommand:
        parser.print_help()
        return 2  # as ruff does: a script that says nothing must not seem to succeed
    try:
        text, document, code = subcommand(**options)
    except ValueError as error:  # what the package refuses is one too
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(document, indent=2) if as_json else text)
    return code


# --- the subcommands: each returns the text, the JSON document and the exit code ------
def _recommend(**wishes):
    wishes = {k: None if v == "none" else v for k, v in wishes.items()}
    if "regularizer" in wishes:
        wishes["regularizer"] = tuple(wishes["regularizer"])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        recipe = recipes.recommend(**wishes)
    reasons = [str(warning.message) for warning in caught]
    for reason in reasons:
        print(f"Warning: {reason}", file=sys.stderr)
    return str(recipe), dataclasses.asdict(recipe) | {"warnings": reasons}, 0


def _diagnose(target):
    try:
        with contextlib.redirect_stdout(sys.stderr):  # what the user's code prints
            report = _report(target)
    except Refusal:
        raise
    except (Exception, SystemExit):  # of the user's code; no early exit means health
        traceback.print_exc()
        raise SystemExit(2) from None
    return str(report), report.to_dict(), 0 if report.healthy else 1


def _report(target):
    parts = re.fullmatch(r"([\w.]*\w):(\w+)", target)
    if not parts or parts[1].startswith(".") or parts[1].endswith(".py"):
        raise Refusal(
            "diagnose: `target` must be MODULE:CALLABLE, such as my_net:make for the "
            f"function make of my_net.py; got {target!r}."
        )
    name, function = parts.groups()
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if not f"{name}.".startswith(f"{error.name}."):
            raise  # it was found, and what it imports was not
        raise Refusal(
            f"diagnose: `target` must name a module that Python finds; got {name!r}."
        ) from None
    make = getattr(module, function, None)
    if not callable(make):
        functions = [name for name, value in vars(module).items() if callable(value)]
        close = difflib.get_close_matches(function, functions, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise Refusal(
            f"diagnose: `target` must name a function of {name}; got {function!r}."
            + hint
        )
    case = make()
    case = case if isinstance(case, tuple) else (case,)
    for source, kind, doctor, least in DOCTORS:
        # A model's framework is loaded; the others need not be.
        models = getattr(sys.modules.get(source), kind, ())
        if least <= len(case) <= 4 and isinstance(case[0], models):
            return importlib.import_module(doctor).diagnose(*case)
    kinds = ", ".join(f"{source}.{kind}" for source, kind, *_ in DOCTORS)
    got = ", ".join(type(one).__name__ for one in case)
    raise Refusal(
        f"diagnose: {target} must return (model, x, y) or (model, x, y, loss), for "
        f"PyTorch and Keras also (model, x), with a model of {kinds}; got ({got})."
    )


def _claims(**wanted):
    ledger = claims.ledger().values()
    for field, values in wanted.items():
        known = tuple(dict.fromkeys(getattr(claim, field) for claim in ledger))
        for value in values:
            _checks.one_of("claims", field, value, known)
    wanted = {field: values for field, values in wanted.items() if values}
    chosen = {
        claim: _facts(claim)
        for claim in ledger
        if all(getattr(claim, field) in values for field, values in wanted.items())
    }
    document = [
        dataclasses.asdict(claim)
        | {"recorded": [dataclasses.asdict(fact) for fact in facts.values()]}
        for claim, facts in chosen.items()
    ]
    if "id" in wanted:
        return "\n\n".join(_in_full(*item) for item in chosen.items()), document, 0
    rows = [(c.id, c.verdict, c.source, c.statement) for c in chosen]
    return _table(("id", "verdict", "source", "statement"), rows), document, 0


def _facts(claim):
    """Return the facts of a claim by their names, those that are recorded."""
    checkout = Path(__file__).parents[1] / "book" / "recorded"
    try:
        folder = checkout if checkout.is_dir() else None
        facts = recorded.facts_of(claim.chapter, folder=folder)
    except ValueError:  # nothing is recorded of the chapter, or not here
        return {}
    return {name: facts[name] for name in claim.facts if name in facts}


def _in_full(claim, facts):
    lines = [
        f"{claim.id} ({claim.source}, chapter {claim.chapter}): {claim.verdict}",
        f"Claim: {claim.statement}",
        f"Rule: {claim.rule}",
        *([f"Before the rule: {claim.pilot}"] if claim.pilot else []),
        f"Finding: {claim.finding}",
        *(f"Fact: {facts.get(n, f'{n}: not recorded here')}" for n in claim.facts),
    ]
    wrapped = textwrap.TextWrapper(80, subsequent_indent="  ", break_on_hyphens=False)
    return "\n".join(map(wrapped.fill, lines))


def _theorems():
    names = ("theorem_1", "theorem_2", "theorem_3")
    certificates = {name: getattr(proofs, name)() for name in names}
    text = "\n\n".join(f"{c}\n  ({c.seconds:.2f} s)" for c in certificates.values())
    document = {name: dataclasses.asdict(c) for name, c in certificates.items()}
    return text, document, 0 if all(c.holds for c in certificates.values()) else 1


def _datasets():
    catalog = datasets.catalog()
    rows = [(name, what, at or "-") for name, (what, at) in catalog.items()]
    document = {name: {"what": what, "at": at} for name, (what, at) in catalog.items()}
    return _table(("name", "what it is", "at hand"), rows), document, 0


def _table(head, rows):
    """Align all columns but the last: a line a row, for grep."""
    rows = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    widths[-1] = 0
    lines = (zip(row, widths, strict=True) for row in rows)
    return "\n".join("  ".join(cell.ljust(n) for cell, n in line) for line in lines)


# --- the options ----------------------------------------------------------------------
def _parser():
    parser = argparse.ArgumentParser(
        "python -m companion",
        description="Recipes, diagnoses, claims, proofs and data sets of the course.",
        epilog="The exit code is 0 if all is well, 1 if a net is ill or a theorem does "
        "not hold, 2 for wrong usage and for errors in the code of the net.",
    )
    version = f"signal-companion {__version__}"
    parser.add_argument("--version", action="version", version=version)
    subparsers = parser.add_subparsers(metavar="SUBCOMMAND", title="subcommands")

    def add(subcommand, purpose, example=""):
        name = subcommand.__name__.removeprefix("_")
        added = subparsers.add_parser(
            name,
            help=purpose,
            description=purpose,
            epilog=f"Example:\n  python -m companion {name} {example}".rstrip(),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        added.add_argument("--json", action="store_true", help="print a JSON document")
        added.set_defaults(subcommand=subcommand)
        return added

    recommend = add(
        _recommend,
        "Recommend a configuration for a net, with reasons.",
        "--architecture conv --depth 20 --activation relu",
    )
    kinds = recipes.ARCHITECTURES
    recommend.add_argument("--architecture", choices=kinds, default=kinds[0])
    recommend.add_argument("--depth", type=int, required=True, help="hidden layers")
    for need in ("latency-critical", "sparse", "uncertainty", "overfitting"):
        recommend.add_argument(f"--{need}", action="store_true")
    settled = recommend.add_argument_group("what is settled already")
    for part, values in recipes.OPTIONS.items():
        settled.add_argument(
            f"--{part}",
            choices=[value or "none" for value in values],
            default=argparse.SUPPRESS,
            action="append" if part == "regularizer" else "store",
            help="may be repeated" if part == "regularizer" else None,
        )

    diagnose = add(
        _diagnose, "Follow signal and gradient through a net.", "my_net:make"
    )
    diagnose.add_argument(
        "target",
        metavar="MODULE:CALLABLE",
        help="a function without arguments, of a module that the current folder may "
        "hold, that returns (model, x), (model, x, y) or (model, x, y, loss)",
    )

    of = add(_claims, "List the claims, or show some in full.", "V1 V2")
    of.add_argument("id", nargs="*", type=str.upper, metavar="ID")
    of.add_argument("--chapter", action="append", default=[], help="may be repeated")
    verdicts = f"may be repeated; one of: {', '.join(claims.VERDICTS)}"
    of.add_argument("--verdict", action="append", default=[], help=verdicts)

    add(_theorems, "Prove the theorems on self-normalizing nets.")
    add(_datasets, "List the data sets, and those that are at hand; download none.")
    return parser


if __name__ == "__main__":
    sys.exit(main())
