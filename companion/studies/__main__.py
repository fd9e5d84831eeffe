"""The command line of the studies: ``python -m companion.studies``."""

import argparse
import importlib
import re
import sys
from pathlib import Path

from companion import _checks, _pipes, studies
from companion.studies import runner


def main(argv=None):
    """Run the command line and return its exit code."""
    return _pipes.until_closed(_run, sys.argv[1:] if argv is None else argv)


def _run(argv):
    parser = _parser()
    options = parser.parse_args(argv)
    if options.name is None:
        if argv:
            parser.error("NAME is required with an option")
        for name in studies.NAMES:
            print(f"{name.ljust(max(map(len, studies.NAMES)))}  {_study(name).summary}")
        return 0
    try:
        study = _study(options.name)
        form = "-reduced" if options.reduced else ""
        folder = options.results or Path("results") / f"{study.name}{form}"
        if options.compact:
            print(f"{study.name}: all records are in {studies.compact(folder)}.")
        elif options.list:
            tasks, records = runner.plan(study, folder, reduced=options.reduced)
            for id in tasks:
                print(f"{'done ' if id in records else 'to do'}  {id}")
        elif options.dry_run:
            print(_outlook(study, folder, options))
        else:
            print(_done(study, folder, options))
    except BrokenPipeError:
        raise
    except (ValueError, OSError) as error:  # refused, or not to be read or reached
        print(error, file=sys.stderr)
        return 2
    except RuntimeError as error:  # tasks failed
        print(*getattr(error, "__notes__", ()), error, sep="\n", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"Stopped. What was done is kept in {folder}.", file=sys.stderr)
        return 130  # what shells report of a program that SIGINT ended
    return 0


def _study(name):
    """Return the study of a name, or of MODULE:ATTRIBUTE."""
    if ":" not in name:
        return studies.study(name)
    parts = re.fullmatch(r"(\w[\w.]*):(\w+)", name)
    if not parts:
        raise ValueError(
            "studies: `name` must be that of a study or MODULE:ATTRIBUTE, such as "
            f"my_study:STUDY for the Study of my_study.py; got {name!r}."
        )
    module, attribute = parts.groups()
    try:
        found = getattr(importlib.import_module(module), attribute, None)
    except ModuleNotFoundError as error:
        if not f"{module}.".startswith(f"{error.name}."):
            raise  # it was found, and what it imports was not
        raise ValueError(
            f"studies: `name` must name a module that Python finds; got {module!r}."
        ) from None
    if not isinstance(found, studies.Study):
        raise ValueError(
            f"studies: `name` must name a Study of {module}; got {attribute!r}."
        )
    return found


def _outlook(study, folder, options):
    """Say what a run would do."""
    tasks, records = runner.plan(study, folder, reduced=options.reduced)
    start = len(tasks) - len(records)
    if options.limit is not None:
        limit = _checks.integer("run", "limit", options.limit, minimum=0)
        start = min(start, limit)
    return (
        f"{study.name}: {len(records)} of {len(tasks)} tasks are done in {folder}; "
        f"a run would start {start}."
    )


def _done(study, folder, options):
    """Run a study, and say what was done."""
    tasks, before = runner.plan(study, folder, reduced=options.reduced)
    records = studies.run(
        study,
        folder,
        reduced=options.reduced,
        workers=options.workers,
        dask=options.dask,
        limit=options.limit,
    )
    return (
        f"{study.name}: {len(records)} of {len(tasks)} tasks are done in {folder}, "
        f"{len(records) - len(before)} of them now."
    )


def _parser():
    parser = argparse.ArgumentParser(
        "python -m companion.studies",
        description="Run a study of the course, or go on with it where it was; without "
        "a name, list the studies.",
        epilog="The exit code is 0 if all is well, 1 if a task failed, 2 for wrong "
        "usage and for files or clusters that are not there.",
    )
    parser.add_argument(
        "name",
        nargs="?",
        metavar="NAME",
        help="a study, or MODULE:ATTRIBUTE for one of a module of yours",
    )
    parser.add_argument(
        "--results",
        type=Path,
        metavar="FOLDER",
        help="where the records are kept: results/NAME or NAME-reduced by default",
    )
    parser.add_argument(
        "--reduced", action="store_true", help="the few small tasks of a notebook"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="start N tasks at most")
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--workers", type=int, metavar="N", help="processes: one a core by default"
    )
    where.add_argument(
        "--dask", metavar="ADDRESS", help="a scheduler, such as tcp://10.0.0.1:8786"
    )
    instead = parser.add_argument_group("instead of a run")
    instead = instead.add_mutually_exclusive_group()
    instead.add_argument(
        "--list", action="store_true", help="list the tasks: done, or to do"
    )
    instead.add_argument(
        "--dry-run", action="store_true", help="say what a run would do"
    )
    instead.add_argument(
        "--compact", action="store_true", help="put all records into results.jsonl"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
