"""What the pages of the explorables state is so, and changes only with its test."""

import math
import re

import explorable_statements_map
import explorable_statements_signal
import pytest
from explorable_maps import of_button, star
from explorable_texts import setting, start_of, text_of

from companion import activations

TABLES = (explorable_statements_signal, explorable_statements_map)
PAGES = [table.PAGE for table in TABLES]
ROWS = [(table.PAGE, *row) for table in TABLES for row in table.STATEMENTS]
#: Words that count or measure; theorem 1 is a name.
NUMBERS = re.compile(
    r"(?<!heorem )\d+|\b(?:three|four|nine|ten|twenty|thirty|fifty|sixteen|sixty"
    r"|hundreds?|thousand|half|halve|thirds?|quarters?|fifth|sixth|seventh|tenths?|sixtieth"
    r"|hundredths?|millionths?|twice|most|mostly|nearly|always|never|exactly)\b"
)


def holds(page, quote, value, low, high):
    """Fail unless the words stand on the page, and mean what the number is."""
    assert quote in page
    assert low <= value <= high


@pytest.mark.parametrize(
    ("page", "quote", "low", "high", "compute"),
    ROWS,
    ids=[f"{n}-{row[1]}" for n, row in enumerate(ROWS)],
)
def test_a_statement_holds(page, quote, low, high, compute):
    holds(text_of(page), quote, compute(), low, high)


def test_what_does_not_hold_is_found():
    page, quote = text_of("self_normalizing_map"), "four tenths in the variance"
    holds(page, quote, 0.4, 0.35, 0.45)
    for other, value in (("five tenths", 0.4), (quote, 0.46), (quote, math.nan)):
        with pytest.raises(AssertionError):
            holds(page, other, value, 0.35, 0.45)


def test_a_number_that_moves_is_found():
    """With other settings behind its button, a statement no longer holds."""
    for tau, right in ((1.1, True), (1.12, False)):
        variance = star(of_button(2, tau=tau))[1]
        assert (0.35 <= variance - 1 <= 0.45) == right


@pytest.mark.parametrize(
    ("n", "layer", "what", "low", "high"),
    [
        (1, 1, "gradient", 1.5e-6, 2.5e-6),  # two millionths
        (2, -1, "meanSquare", 0, 0.5),  # mostly down
        (4, 20, "meanSquare", 0.8, 1.2),  # back near 1
        (5, -1, "meanSquare", 0, 0.5),  # loses most
    ],
)
def test_the_net_that_a_button_sets_up_is_typical(js, n, layer, what, low, high):
    net = js(
        """(settings) => explorables.network.simulate(settings).map(
          ({ meanSquare, gradient }) => ({ meanSquare, gradient }))""",
        setting("signal_through_depth", n),
    )
    assert low <= net[layer][what] <= high


def unquoted(text, quotes):
    """Return the numbers in a text that stand in none of the quotes."""
    quoted = set()
    for quote in quotes:
        for place in re.finditer(re.escape(quote), text):
            quoted.update(range(*place.span()))
    return [one[0] for one in NUMBERS.finditer(text) if one.start() not in quoted]


@pytest.mark.parametrize("page", PAGES)
def test_every_number_of_an_answer_is_compared(page):
    quotes = [quote for where, quote, *_ in ROWS if where == page]
    answers = re.findall(r"\{admonition\} What you see(.*?)```", text_of(page))
    stills = re.findall(r"alt: >-(.*?)```", text_of(page))
    assert (len(answers), len(stills)) == (5, 1)
    for text in answers + stills:
        assert unquoted(text, quotes) == []


def test_a_number_without_a_test_is_found():
    assert unquoted("It falls by a half, and twice", ["falls by a half"]) == ["twice"]
    assert unquoted("It falls by a half", ["falls by a half"]) == []


def test_the_settings_are_read():
    signal, plane = PAGES
    assert (len(start_of(signal)), len(start_of(plane))) == (10, 9)
    assert start_of(signal)["activation"] == "tanh"
    assert start_of(plane)["alpha"] == activations.SELU_ALPHA
    assert setting(signal, 2)["width"] == 20
    assert setting(plane, 5, rate=0.5)["rate"] == 0.5
