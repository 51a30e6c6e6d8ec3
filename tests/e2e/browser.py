"""Chromium, driven with Selenium, and what a reader does with the page."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.actions.wheel_input import ScrollOrigin
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 20

_SWITCHES = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-device-scale-factor=1",
    "--window-size=1280,860",
)


def installed() -> tuple[str, str] | None:
    """The browser and its driver, or None where one of them is missing."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    driver = shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


def start(browser: str, driver: str, profile: Path) -> webdriver.Chrome:
    """A browser with an empty profile that keeps a log of its requests."""
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for switch in (*_SWITCHES, f"--user-data-dir={profile}"):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    return webdriver.Chrome(options=options, service=Service(driver))


def origin(element: WebElement) -> ScrollOrigin:
    """The middle of an element, for the wheel."""
    return ScrollOrigin.from_element(element)


class Page:
    """The page as a reader sees it."""

    def __init__(self, driver: webdriver.Chrome, url: str) -> None:
        self.driver = driver
        self.url = url

    def open(self) -> Page:
        self.driver.get(self.url)
        self.until(lambda: "…" not in self.text("model"))
        return self

    def find(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def text(self, name: str) -> str:
        return self.find(f"#{name}").text

    def levels(self) -> str:
        """Window and level as they stand in the corner."""
        self.frame()
        return self.text("levels")

    def heard(self) -> str:
        """What was said last to those who hear the page."""
        return self.find("#announce").get_attribute("textContent")

    def until(self, condition) -> None:
        WebDriverWait(self.driver, PATIENCE, 0.05).until(lambda _: condition())

    def select(self, name: str, option: str) -> None:
        Select(self.find(f"#{name}")).select_by_visible_text(option)

    def click(self, selector: str) -> None:
        self.find(selector).click()

    def keys(self, *keys: str) -> None:
        """Press keys where the focus is."""
        ActionChains(self.driver, duration=0).send_keys(*keys).perform()

    def give(self, *files: Path) -> None:
        """Choose files, as the browser's own dialog would."""
        self.find("#files").send_keys("\n".join(map(str, files)))

    def sample(self, name: str = "opacity.png") -> Page:
        """Open a phantom and wait until it is scored and shown as the service sees it."""
        self.click(f'[data-sample="{name}"]')
        return self.settled()

    def settled(self) -> Page:
        self.until(lambda: self.all(".finding") and self.text("zoom"))
        self.until(lambda: not self.find("#progress").is_displayed())
        return self

    def with_heat(self) -> Page:
        """Click the first finding and wait for its map."""
        self.click(".finding")
        self.until(lambda: self.find("#legend").is_displayed())
        self.frame()
        return self

    def frame(self) -> None:
        """Wait until what was asked for has been drawn."""
        self.driver.execute_async_script(
            "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(done));"
        )

    def canvas(self) -> np.ndarray:
        """The stage as it is drawn: uint8 (rows, columns, 4)."""
        self.frame()
        flat, width = self.driver.execute_script(
            "const c = document.getElementById('canvas');"
            "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
            "let s = ''; for (let i = 0; i < d.length; i += 8192)"
            " s += String.fromCharCode(...d.subarray(i, i + 8192));"
            "return [btoa(s), c.width];"
        )
        return np.frombuffer(base64.b64decode(flat), np.uint8).reshape(-1, width, 4)

    def drag(self, dx: int, dy: int, *, button: int = 0) -> None:
        """Drag over the stage from its middle."""
        mouse = ActionChains(self.driver, duration=0)
        mouse.w3c_actions.pointer_action.move_to(self.find("#stage"))
        mouse.w3c_actions.pointer_action.pointer_down(button)
        mouse.w3c_actions.pointer_action.move_by(dx, dy)
        mouse.w3c_actions.pointer_action.pointer_up(button)
        mouse.perform()

    def size(self, width: int, height: int) -> None:
        """Give the page another size, in CSS pixels."""
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
        )

    def media(self, **features: str) -> None:
        """Emulate what the system prefers."""
        listed = [{"name": k.replace("_", "-"), "value": v} for k, v in features.items()]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": listed})

    def hosts(self) -> set[str]:
        """Where requests went since this was asked last; the browser's own do not count."""
        sent = (json.loads(row["message"])["message"] for row in self.driver.get_log("performance"))
        addresses = (
            urlsplit(message["params"]["request"]["url"])
            for message in sent
            if message["method"] == "Network.requestWillBeSent"
        )
        return {one.netloc for one in addresses if one.scheme in ("http", "https", "ws", "wss")}

    def complaints(self) -> list[str]:
        """Errors in the browser's console, beyond answers with an error status."""
        rows = [row for row in self.driver.get_log("browser") if row["level"] == "SEVERE"]
        return [row["message"] for row in rows if row["source"] != "network"]
