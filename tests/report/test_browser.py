"""The report in a real browser, opened as a file: no request, no console error, charts that answer to controls."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from octothinker.report.html import write_report

REWARD = "[data-chart=rl-reward]"


@pytest.fixture(scope="module")
def address(three: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_report(three).as_uri()


@pytest.fixture
def page(chromium: Any, address: str) -> Iterator[Any]:
    """The report, freshly loaded on a light 1280 px desktop with a mouse."""
    chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    media(chromium, "light")
    chromium.get(address)
    wait(chromium, "return document.querySelectorAll('.main-svg').length > 0")
    yield chromium
    chromium.execute_script("localStorage.clear()")


def media(browser: Any, scheme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}, {"name": "hover", "value": "hover"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def wait(browser: Any, script: str, seconds: float = 20.0) -> Any:
    """Until the script returns something true."""
    end = time.monotonic() + seconds
    while not (value := browser.execute_script(script)):
        assert time.monotonic() < end, f"never true: {script}"
        time.sleep(0.05)
    return value


def count(browser: Any, selector: str) -> int:
    return int(browser.execute_script("return document.querySelectorAll(arguments[0]).length", selector))


def click(browser: Any, selector: str) -> None:
    browser.execute_script("document.querySelector(arguments[0]).click()", selector)


def hover(browser: Any, selector: str) -> Callable[[], list[str]]:
    from selenium.webdriver import ActionChains

    element = browser.find_element("css selector", selector)
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    ActionChains(browser).move_to_element(element).move_by_offset(3, 3).perform()
    return lambda: [t.text for t in browser.find_elements("css selector", f"{selector} .hoverlayer text")]


def test_opens_without_a_request_or_an_error(page: Any, address: str) -> None:
    page.get_log("performance"), page.get_log("browser")  # what came before
    page.get(address)
    wait(page, "return document.querySelectorAll('.main-svg').length > 0")
    click(page, "details.lazy > summary")
    wait(page, "return document.querySelectorAll('[data-chart=rl-repetition] .main-svg').length > 0")
    events = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    urls = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    assert address in urls  # else the log saw nothing
    assert [url for url in urls if url != address and not url.startswith(("data:", "blob:"))] == []
    assert [entry["message"] for entry in page.get_log("browser")] == []


def test_charts_are_drawn(page: Any) -> None:
    visible = page.execute_script("""
        return [...document.querySelectorAll('[data-chart]')].filter(f => !f.closest('details:not([open])'))
            .map(f => [f.dataset.chart, f.querySelectorAll('.scatterlayer path').length])""")
    names = dict(visible)
    assert {"answer", "rl-reward", "rl-val_accuracy", "rl-length_mean", "rl-truncation", "rl-entropy"} <= set(names)
    assert {"mid-loss", "mid-lr", "pass-before", "pass-after"} <= set(names)
    assert min(names.values()) >= 5
    assert count(page, f"{REWARD} .scatterlayer .trace") == 5 * 4  # three seeds and their mean


def test_tooltip(page: Any) -> None:
    texts = hover(page, f"{REWARD} .plot")
    wait(page, f"return document.querySelectorAll('{REWARD} .hoverlayer text').length > 0")
    shown = texts()
    assert any(text.startswith("RL step") for text in shown)
    assert {"base", "stable", "short", "long", "hybrid"} == {t.split(" :")[0] for t in shown if " :" in t}


def test_models_can_be_switched_off_everywhere(page: Any) -> None:
    before = count(page, "[data-chart=mid-lr] .scatterlayer .trace")
    click(page, ".chip[data-model='3']")
    wait(page, f"return document.querySelectorAll('{REWARD} .scatterlayer .trace').length === 16")
    assert count(page, "[data-chart=mid-lr] .scatterlayer .trace") == before - 4
    assert page.execute_script("return document.querySelector('.chip[data-model=\"3\"]').ariaPressed") == "false"
    click(page, ".chip[data-model='3']")
    wait(page, f"return document.querySelectorAll('{REWARD} .scatterlayer .trace').length === 20")


def test_seeds_can_be_hidden_and_rows_shown(page: Any) -> None:
    click(page, "#seeds")
    wait(page, f"return document.querySelectorAll('{REWARD} .scatterlayer .trace').length === 5")
    shown = "return [...document.querySelectorAll('tr.seed')].filter(r => r.offsetHeight > 0).length"
    assert page.execute_script(shown) == 0
    click(page, "#each-seed")
    assert page.execute_script(shown) == 15


def test_smoothing_changes_the_line(page: Any) -> None:
    path = f"return document.querySelector('{REWARD} .scatterlayer .trace:last-child path.js-line').getAttribute('d')"
    before = page.execute_script(path)
    page.execute_script(
        "const s = document.getElementById('smooth'); s.value = '20'; s.dispatchEvent(new Event('change'))"
    )
    wait(page, f"{path} !== {json.dumps(before)}")


def test_theme_follows_the_system_and_the_button(page: Any) -> None:
    background = "return getComputedStyle(document.body).backgroundColor"
    line = f"return document.querySelector('{REWARD} .scatterlayer .trace:last-child path.js-line').style.stroke"
    light, light_line = page.execute_script(background), page.execute_script(line)
    media(page, "dark")
    dark = wait(page, f"const c = (() => {{ {background} }})(); return c !== '{light}' && c")
    wait(page, f"const c = (() => {{ {line} }})(); return c !== '{light_line}'")
    click(page, "#theme")
    assert page.execute_script(background) == light
    assert page.execute_script(line) == light_line
    click(page, "#theme")
    assert page.execute_script(background) == dark


def test_hostile_text_is_inert(page: Any) -> None:
    page.execute_script("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    shown = page.execute_script("return [...document.querySelectorAll('#transcripts pre')].map(p => p.textContent)")
    assert any('<img src=x onerror="window.pwned=1">' in text and "{{ 7*7 }}" in text for text in shown)
    assert page.execute_script("return window.pwned === undefined && document.images.length === 0")


def test_policy_stops_what_escaping_might_miss(page: Any) -> None:
    page.execute_script("""document.body.insertAdjacentHTML('beforeend',
        '<img src="https://example.invalid/x.png" onerror="window.pwned=1"><b id=late onclick="window.pwned=2">x</b>');
        document.getElementById('late').click()""")
    messages = wait(page, "return document.images[0].complete") and page.get_log("browser")
    assert page.execute_script("return window.pwned === undefined")
    assert any("Content Security Policy" in m["message"] for m in messages)


def test_no_sideways_scrolling(page: Any) -> None:
    page.execute_script("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    wait(page, "return document.querySelectorAll('[data-chart=rl-repetition] .main-svg').length > 0")
    for width in (1280, 768, 375):
        metrics = {"width": width, "height": 812, "deviceScaleFactor": 1, "mobile": width < 500}
        page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        wait(page, f"return document.documentElement.scrollWidth <= {width}")
        wait(page, f"return [...document.querySelectorAll('.plot')].every(p => p.scrollWidth <= {width})")
    page.get(page.current_url)  # and when it opens on a phone
    wait(page, "return document.querySelectorAll('.main-svg').length > 0")
    assert page.execute_script("return document.documentElement.scrollWidth") == 375
