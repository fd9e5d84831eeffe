"""The explorables as a reader meets them, on the rendered pages."""

import json
import re

import pictures
import pytest
from rendered import HARMLESS, SITE

from companion.dropout import alpha_dropout_affine
from companion.plotting import use_style

# Each with its number of controls.
PAGES = {"signal_through_depth": 10, "self_normalizing_map": 9}
OTHER_PICTURES = {
    "signal_through_depth": lambda: pictures.signal_through_depth(depth=29),
    "self_normalizing_map": lambda: pictures.self_normalizing_map(tau=1.1),
}


@pytest.fixture(params=PAGES)
def name(request):
    return request.param


@pytest.fixture
def opened(browser):
    """Give a function that opens a page and fails on errors in its scripts."""
    pages, errors = [], []

    def open_page(address, **options):
        page = browser.new_page(**options)
        pages.append(page)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(address, wait_until="load")
        return page

    yield open_page
    for page in pages:
        page.close()
    assert set(errors) <= {HARMLESS}


@pytest.fixture
def page(opened, site, name):
    page = opened(f"{site}/book/{name}.html", viewport={"width": 1280, "height": 900})
    page.wait_for_selector(".explorable svg path")
    return page


def drawn(page):
    """Return what the page shows: the sentences, and every attribute in a picture."""
    settled(page)
    return page.inner_text(".ex-summary"), page.inner_html(".explorable")


def settled(page):
    """Wait until what was changed is drawn: it is so at the next picture."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => done()))")
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => done()))")


def place(page, selector):
    """Scroll to an element, at once, and return where it is."""
    settled(page)
    page.eval_on_selector(
        selector, "e => e.scrollIntoView({ block: 'center', behavior: 'instant' })"
    )
    return page.locator(selector).first.bounding_box()


def broken_numbers(html):
    """Find coordinates that are no numbers."""
    return re.findall(r'="[^"]*(?:NaN|Infinity|undefined)[^"]*"', html)


def test_broken_numbers_are_found():
    assert broken_numbers('<path d="M1 2LNaN 3">') == ['="M1 2LNaN 3"']
    assert broken_numbers('<path d="M1 2L4 3">NaN') == []


def test_the_explorable_takes_the_place_of_the_picture(page):
    assert page.is_hidden(".ex-still")
    assert page.is_visible(".explorable")
    assert broken_numbers(drawn(page)[1]) == []


def test_every_control_has_a_name(page, name):
    ids = page.eval_on_selector_all(
        ".ex-control :is(input, select)", "all => all.map((one) => one.id)"
    )
    assert len(ids) == len(set(ids)) == PAGES[name]
    for id in ids:
        assert page.inner_text(f"label[for={id}]").strip()


def test_every_chart_says_what_it_shows(page):
    settled(page)
    for chart in page.query_selector_all(".explorable svg[role=img]"):
        assert len(chart.get_attribute("aria-label")) > 20


def test_every_slider_answers_to_the_keyboard(page):
    for slider in page.query_selector_all(".explorable input[type=range]"):
        before = drawn(page)
        slider.focus()
        places = [slider.input_value()]
        for key in ("End", "ArrowLeft", "Home", "ArrowRight"):
            page.keyboard.press(key)
            places.append(slider.input_value())
            after = drawn(page)
            assert broken_numbers(after[1]) == []
        assert len(set(places)) >= 4
        assert after != before
        assert slider.get_attribute("aria-valuetext")
        page.click(".ex-controls button")


def test_every_choice_is_drawn(page):
    seen = []
    for choice in page.query_selector_all(".explorable select"):
        for option in choice.query_selector_all("option"):
            choice.select_option(option.get_attribute("value"))
            seen.append(drawn(page))
            assert broken_numbers(seen[-1][1]) == []
    assert len({html for _, html in seen}) > 0.6 * len(seen)


def test_the_reset_brings_the_start_back(page):
    start = drawn(page)
    page.focus(".explorable input[type=range]")
    page.keyboard.press("End")
    assert drawn(page) != start
    page.click("text=Reset")
    assert drawn(page) == start


def test_the_extremes_are_drawn(page):
    for at in ("max", "min"):
        page.eval_on_selector_all(
            ".explorable input[type=range]",
            "(all, at) => all.forEach((one) => { one.value = one[at];"
            " one.dispatchEvent(new Event('input')); })",
            at,
        )
        summary, html = drawn(page)
        assert broken_numbers(html) == []
        assert "NaN" not in summary


def test_what_to_try_is_set_up(page):
    buttons = page.query_selector_all("button.ex-try")
    assert len(buttons) == 5
    for button in buttons:
        assert button.inner_text() == "Set it up"
        button.click()
        assert broken_numbers(drawn(page)[1]) == []
        for name, value in json.loads(button.get_attribute("data-settings")).items():
            shown = page.input_value(f"#ex-{name}")
            if name == "gain":
                shown = 2 ** float(shown)
            assert shown == value or float(shown) == pytest.approx(value, rel=0.02)


def test_a_phone_shows_it_without_scrolling_sideways(opened, site, name):
    size = {"width": 390, "height": 800}
    page = opened(f"{site}/book/{name}.html", viewport=size, has_touch=True)
    settled(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.set_viewport_size({"width": 1280, "height": 800})
    settled(page)
    widths = "all => all.map((one) => one.getBoundingClientRect().width)"
    assert max(page.eval_on_selector_all(".explorable svg", widths)) > 500


def test_it_works_without_a_server(opened, name):
    page = opened((SITE / "book" / f"{name}.html").as_uri())
    page.wait_for_selector(".explorable svg path")
    before = drawn(page)
    page.focus(".explorable input[type=range]")
    page.keyboard.press("End")
    assert drawn(page) != before


def test_without_scripts_there_is_a_picture(opened, site, name):
    page = opened(f"{site}/book/{name}.html", java_script_enabled=False)
    picture = page.locator(".ex-still img")
    assert picture.is_visible()
    assert picture.bounding_box()["width"] > 200
    assert len(picture.get_attribute("alt")) > 100
    assert page.locator(".ex-still figcaption").is_visible()
    assert page.locator(".explorable").is_hidden()
    for button in page.locator("button.ex-try").all():
        assert button.is_hidden()


def test_the_picture_is_the_one_that_is_drawn(name, tmp_path):
    from matplotlib.testing.compare import compare_images

    use_style()
    path = tmp_path / f"{name}.png"
    pictures.save(pictures.PICTURES[name](), path)
    stored = pictures.FOLDER / path.name
    # Fonts are drawn a little differently from one machine to the next.
    assert compare_images(str(stored), str(path), tol=5) is None
    pictures.save(OTHER_PICTURES[name](), path)
    assert compare_images(str(stored), str(path), tol=5) is not None


def test_a_pointer_chooses_a_layer(opened, site):
    page = opened(f"{site}/book/signal_through_depth.html")
    box = place(page, ".explorable svg[role=img]")
    x, y = box["x"] + box["width"] - 15, box["y"] + 50
    page.mouse.move(x, y)
    assert drawn(page)[0].startswith("Layer 30:")
    page.mouse.move(box["x"] + 50, y)
    assert drawn(page)[0].startswith("Inputs:")


def test_the_sentences_say_what_is_computed(opened, site):
    page = opened(f"{site}/book/signal_through_depth.html")
    page.select_option("#ex-activation", "relu")
    page.select_option("#ex-initializer", "he_normal")
    assert "predicted 1." in drawn(page)[0]  # He's weights keep the mean square
    page.select_option("#ex-initializer", "lecun_normal")
    assert "predicted 9.8 \u00d7 10⁻⁴." in drawn(page)[0]  # these halve it: 2^-10


def start_of(page):
    settled(page)
    return float(page.input_value("#ex-mean")), float(page.input_value("#ex-variance"))


def test_the_start_is_dragged_with_a_mouse(opened, site):
    page = opened(f"{site}/book/self_normalizing_map.html")
    before = drawn(page)
    box = place(page, ".ex-handle")
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    assert start_of(page) == pytest.approx((1.0, 3.0), abs=0.02)
    page.mouse.move(x - 200, y + 50, steps=4)
    mean, variance = start_of(page)
    assert -1 < mean < 0.5
    assert 2 < variance < 2.8
    after = drawn(page)
    assert after != before
    assert f"mean {mean:g} and variance {variance:g}".replace("-", "\u2212") in after[0]
    page.mouse.move(x - 5000, y)  # out of the picture
    assert start_of(page)[0] == -2
    page.mouse.up()
    page.mouse.move(x, y)
    assert start_of(page)[0] == -2  # it was let go


def test_the_start_is_dragged_with_a_finger(opened, site):
    page = opened(f"{site}/book/self_normalizing_map.html", has_touch=True)
    box = place(page, ".ex-handle")
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    touch = page.context.new_cdp_session(page)

    def send(kind, *points):
        event = {"type": kind, "touchPoints": [{"x": a, "y": b} for a, b in points]}
        touch.send("Input.dispatchTouchEvent", event)

    scrolled = page.evaluate("scrollY")
    send("touchStart", (x, y))
    for step in range(1, 6):
        send("touchMove", (x - 20 * step, y + 20 * step))
    send("touchEnd")
    mean, variance = start_of(page)
    assert mean < 0.6
    assert variance < 2.2
    assert page.evaluate("scrollY") == scrolled


def test_the_table_says_what_dropout_keeps(opened, site):
    page = opened(f"{site}/book/self_normalizing_map.html")
    page.select_option("#ex-kind", "alpha")
    settled(page)
    cells = "all => all.map((row) => row.innerText.split('\\t'))"
    rows = page.eval_on_selector_all(".ex-table tbody tr", cells)
    assert rows == [
        ["before", "0", "1"],
        ["after alpha dropout", "0", "1"],
        ["after plain dropout", "0", f"{1 / 0.9:.3g}"],
    ]
    a, b = alpha_dropout_affine(0.1)
    assert f"a = {a:.3g}, b = {b:.3g}" in page.inner_text(".ex-table caption")
    assert "mean 0, variance 1, attracts" in page.inner_text(".ex-summary")
