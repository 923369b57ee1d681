"""Headless Chromium, for what a person sees of a page in a file."""

from __future__ import annotations

import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import pytest

SECONDS = 30


def chromium(folder: pathlib.Path, *flags: str) -> Any:
    """A headless Chromium, started by selenium, whose console can be read; skips where there is none.

    Args:
        folder: For its profile.
        flags: Of its command line.
    """
    driver, binary = shutil.which("chromedriver"), shutil.which("chromium")
    if not (driver and binary):
        pytest.skip("needs chromium and chromedriver")
    webdriver = pytest.importorskip("selenium.webdriver")
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (
        "--headless",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        f"--user-data-dir={folder}",
        *flags,
    ):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=Service(driver))


class Browser:
    """A started Chromium.

    Args:
        folder: For its profile.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        webgl_without_gpu = "--enable-unsafe-swiftshader"
        self.driver = chromium(folder, webgl_without_gpu, "--window-size=1400,1000")
        self.driver.set_script_timeout(SECONDS)

    def visit(self, url: str) -> Browser:
        """Open a page."""
        self.driver.get(url)
        return self

    def script(self, text: str) -> Any:
        """What a script returns."""
        return self.driver.execute_script(text)

    def wait(self, condition: Callable[[], Any]) -> None:
        """Go on once something is so."""
        from selenium.webdriver.support.wait import WebDriverWait

        WebDriverWait(self.driver, SECONDS, 0.1).until(lambda _: condition())

    def complaints(self) -> list[str]:
        """What the console says is wrong."""
        return [e["message"] for e in self.driver.get_log("browser") if e["level"] == "SEVERE"]

    def wheel(self, selector: str, amount: int) -> None:
        """Turn the wheel over the middle of an element."""
        from selenium.webdriver.common.action_chains import ActionChains
        from selenium.webdriver.common.actions.wheel_input import ScrollOrigin

        element = self.driver.find_element("css selector", selector)
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        origin = ScrollOrigin.from_element(element)
        ActionChains(self.driver).scroll_from_origin(origin, 0, amount).perform()

    def point_at(self, x: float, y: float) -> None:
        """Move the pointer to a place of the window, in CSS pixels."""
        from selenium.webdriver.common.actions.action_builder import ActionBuilder

        actions = ActionBuilder(self.driver)
        actions.pointer_action.move_to_location(round(x) - 2, round(y))
        actions.pointer_action.move_to_location(round(x), round(y))
        actions.perform()

    def tooltip(self) -> str:
        """The text of Bokeh's tooltips, wherever they are in shadow trees."""
        return self.script(
            """const texts = [];
            const search = root => {
              for (const element of root.querySelectorAll('*')) {
                if (element.classList.contains('bk-Tooltip')) {
                  texts.push((element.shadowRoot ?? element).textContent);
                }
                if (element.shadowRoot) search(element.shadowRoot);
              }
            };
            search(document);
            return texts.join(' ')"""
        )

    def resize(self, width: int, height: int) -> None:
        """Show the page in so many CSS pixels; a window has a least width, this has not."""
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
        )

    def quit(self) -> None:
        """End it."""
        self.driver.quit()
