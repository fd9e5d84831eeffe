"""Fixtures that several files ask for by name."""

import contextlib
import importlib
import shlex

import hypothesis
import numpy as np
import pytest

# A busy machine is no fault of the code: no example has a time limit.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

# Before any test loads TensorFlow: after it Triton would end the process, since both
# bring an LLVM, and torch.compile loads it.
with contextlib.suppress(ImportError):
    importlib.import_module("triton")


@pytest.fixture
def floating_point_errors():
    """Let no test overflow, divide by zero or make a nan in passing."""
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        yield


@pytest.fixture
def caller(capsys):
    """Give a function that makes of `main` one of a line: code, output and errors."""

    def of(main):
        def called(line):
            try:
                code = main(shlex.split(line))
            except SystemExit as left:
                code = left.code
            return code, *capsys.readouterr()

        return called

    return of
