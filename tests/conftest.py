"""Fixtures that several files ask for by name."""

import contextlib
import importlib
import shlex

import hypothesis
import numpy as np
import pytest
from explorable_scripts import FOLDER, SCRIPTS
from rendered import BROWSER, BROWSER_OPTIONS, SITE, served

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


@pytest.fixture(scope="module")
def site():
    """Give the address of the rendered book."""
    with served(SITE) as address:
        yield address


@pytest.fixture(scope="module")
def browser():
    """Give a Chromium or Chrome."""
    if BROWSER is None:
        pytest.skip("no Chromium or Chrome on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=BROWSER, args=BROWSER_OPTIONS
        )
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def js(browser):
    """Give a function that evaluates one of JavaScript with Python's arguments."""
    page = browser.new_page()
    for name in SCRIPTS:
        page.add_script_tag(path=FOLDER / f"{name}.js")

    def call(function, *arguments):
        plain = [np.asarray(a).tolist() if np.ndim(a) else a for a in arguments]
        return page.evaluate(f"(values) => ({function})(...values)", plain)

    yield call
    page.close()
