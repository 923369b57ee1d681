"""The page: its answers over HTTP, and what a person sees of it in a browser."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator

import pytest

from serving.client import Client
from tests.browser import chromium
from tests.serving.running import Running, running

BLUE = (30, 30, 200)
RED = (200, 30, 30)
SECONDS = 20


def test_page_loads_nothing_from_elsewhere(colours_server: Running) -> None:
    page = colours_server.ask("GET", "/")
    assert page.status == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "http" not in policy
    for name in ("style.css", "app.js", "api.js", "drawing.js"):
        part = colours_server.ask("GET", f"/page/{name}")
        assert part.status == 200
        assert part.headers["content-security-policy"] == policy
        assert b"https:" not in part.body
    assert colours_server.ask("GET", "/page/../server.py").status == 404


def test_page_knows_which_models_are_exports(colours_server: Running) -> None:
    (model,) = json.loads(colours_server.ask("GET", "/page/models").body)["models"]
    assert (model["name"], model["class_names"]) == ("colours", ["red", "green"])
    assert "classify_bytes" in model["signatures"]
    assert model["teachable"] is True


def test_map_and_thumbnails_come_from_the_export(colours_server: Running) -> None:
    places = json.loads(colours_server.ask("GET", "/page/models/colours/map").body)
    assert len(places["points"]) == 6
    picture = colours_server.ask("GET", "/page/models/colours/thumbnails/5")
    assert picture.headers["content-type"] == "image/webp"
    assert picture.body[:4] == b"RIFF"
    for path in (
        "colours/thumbnails/6",
        "half_plus_two/thumbnails/0",
        "half_plus_two/map",
        "x/map",
    ):
        assert colours_server.ask("GET", f"/page/models/{path}").status == 404


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    """Headless Chromium."""
    folder = tmp_path_factory.mktemp("chromium")
    started = chromium(folder, "--disable-gpu", "--disable-quic", "--window-size=1280,1000")
    yield started
    started.quit()


class Visit:
    """A page that is open, and what is on it."""

    def __init__(self, browser, url: str) -> None:
        self.browser = browser
        browser.get(url)

    def all(self, selector: str) -> list:
        return self.browser.find_elements("css selector", selector)

    def one(self, selector: str):
        return self.browser.find_element("css selector", selector)

    def texts(self, selector: str) -> list[str]:
        return [element.text for element in self.all(selector)]

    def wait(self, condition) -> None:
        from selenium.common.exceptions import StaleElementReferenceException
        from selenium.webdriver.support.wait import WebDriverWait

        waiting = WebDriverWait(
            self.browser, SECONDS, 0.05, ignored_exceptions=[StaleElementReferenceException]
        )
        waiting.until(lambda _: condition())

    def wait_for_status(self, text: str) -> None:
        self.wait(lambda: text in self.one("#status").text)

    def upload(self, path: pathlib.Path) -> None:
        self.one("#file").send_keys(str(path))

    def complaints(self) -> list[str]:
        """What the browser's console says is wrong, such as a breach of the policy."""
        return [
            entry["message"]
            for entry in self.browser.get_log("browser")
            if entry["level"] == "SEVERE"
        ]


@pytest.fixture
def image(tmp_path: pathlib.Path, coloured_png):
    def make(colour: tuple[int, int, int], number: int) -> pathlib.Path:
        path = tmp_path / f"{number}.png"
        path.write_bytes(coloured_png(colour, number))
        return path

    return make


@pytest.fixture
def visit(browser, colours_server: Running) -> Iterator[Visit]:
    url = f"http://127.0.0.1:{colours_server.server.rest_port}"
    yield Visit(browser, url)
    with Client(url, "colours") as client:
        for row in client.rows():
            client.forget(row.id)


def test_image_shows_its_neighbours_classes_and_place(visit: Visit, image) -> None:
    visit.wait(lambda: visit.texts("#model option") == ["colours"])
    visit.upload(image(RED, 2))
    visit.wait_for_status("Most likely: red")
    visit.wait(lambda: len(visit.all("#neighbours img")) == 4)
    cards = visit.texts("#neighbours li")
    assert cards[0].splitlines() == ["red", "1.000", "red/2.png"]
    widths = visit.browser.execute_script(
        "return [...document.querySelectorAll('#neighbours img')].map(i => i.naturalWidth)"
    )
    assert widths == [8] * 4
    assert [text.split("\n")[0] for text in visit.texts("#classes li")] == ["red", "green"]
    bars = [bar.size["width"] for bar in visit.all("#classes .bar")]
    assert bars[0] > bars[1]
    assert len(visit.all("#map circle")) == 6
    assert visit.texts("#legend li") == ["red", "green"]
    # The image is row 2 itself, so the cross stands on its dot.
    dot, cross = visit.all("#map circle")[2].rect, visit.one("#here").rect
    for side, size in (("x", "width"), ("y", "height")):
        centres = [box[side] + box[size] / 2 for box in (dot, cross)]
        assert centres[0] == pytest.approx(centres[1], abs=1.5)
    assert visit.complaints() == []


def test_new_class_is_taught_and_forgotten(visit: Visit, image) -> None:
    visit.upload(image(BLUE, 7))
    visit.wait_for_status("Most likely")
    assert not any("blue" in text for text in visit.texts("#classes li"))
    visit.one("#label").send_keys("blue <b>")
    visit.one("#teach button").click()
    visit.wait_for_status("Taught: blue <b>")
    assert visit.texts("#classes li")[0].split("\n")[0] == "blue <b>"
    visit.wait(lambda: visit.texts("#neighbours li")[0].splitlines()[:2] == ["blue <b>", "1.000"])
    assert "so far: 1;" in visit.one("#taught-count").text
    visit.wait(lambda: len(visit.all("#taught img")) == 1)
    visit.one("#taught button").click()
    visit.wait_for_status("Forgotten")
    assert not any("blue" in text for text in visit.texts("#classes li"))
    assert visit.all("#taught li") == []
    assert visit.complaints() == []


def test_all_taught_rows_are_listed_in_pages(visit: Visit, coloured_png) -> None:
    with Client(visit.browser.current_url, "colours") as client:
        client.teach([coloured_png(BLUE, n) for n in range(15)], ["blue"] * 13 + ["sea"] * 2)
    visit.browser.refresh()
    visit.wait(lambda: "so far: 15; 12 are shown" in visit.one("#taught-count").text)
    visit.one("#more").click()
    visit.wait(lambda: "so far: 15; 15 are shown" in visit.one("#taught-count").text)
    assert not visit.one("#more").is_displayed()
    assert visit.texts("#taught p") == ["blue"] * 13 + ["sea"] * 2
    visit.one("#taught-label").send_keys("sea\n")
    visit.wait(lambda: visit.texts("#taught p") == ["sea"] * 2)
    assert visit.complaints() == []


def test_file_that_is_no_image_is_told(visit: Visit, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "text.png"
    path.write_text("no image")
    visit.upload(path)
    visit.wait(lambda: "wrong" in visit.one("#status").get_attribute("class"))
    assert visit.one("#status").text


def test_narrow_window_needs_no_sideways_scrolling(visit: Visit, image) -> None:
    visit.browser.set_window_size(500, 900)
    try:
        visit.upload(image(RED, 1))
        visit.wait_for_status("Most likely")
        widths = "return [document.documentElement.scrollWidth, window.innerWidth]"
        content, window = visit.browser.execute_script(widths)
        assert content <= window
    finally:
        visit.browser.set_window_size(1280, 1000)


def test_everything_has_a_name_for_those_who_do_not_see_it(visit: Visit, image) -> None:
    visit.upload(image(RED, 1))
    visit.wait(lambda: len(visit.all("#neighbours img")) == 4)
    assert all(picture.get_attribute("alt") for picture in visit.all("img"))
    controls = [one for one in visit.all("input, select, button") if one.is_displayed()]
    controls.append(visit.one("#file"))  # it lies invisibly over its label
    assert len(controls) >= 4
    assert all(control.accessible_name for control in controls)


def test_page_asks_for_the_token_that_the_server_wants(
    browser, exports: pathlib.Path, image
) -> None:
    with running({"colours": exports / "colours"}, tokens=("secret",), page=True) as server:
        visit = Visit(browser, f"http://127.0.0.1:{server.server.rest_port}")
        visit.wait(lambda: visit.one("#token").is_displayed())
        visit.one("#token").send_keys("secret")
        visit.one("#sign-in button").click()
        visit.wait(lambda: not visit.one("#token").is_displayed())
        visit.upload(image(RED, 2))
        visit.wait_for_status("Most likely: red")
        visit.wait(lambda: len(visit.all("#neighbours img")) == 4)
