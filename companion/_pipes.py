"""What a command line does when the program that reads it has seen enough."""

import os
import sys


def until_closed(run, argv):
    """Return the exit code of ``run(argv)``, or 141 if stdout was closed meanwhile."""
    try:
        try:
            return run(argv)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141  # what shells report of a program that SIGPIPE ended
