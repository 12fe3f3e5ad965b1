"""The page of a run in a real Chromium: pointer, keyboard, toggles, both schemes, wide and narrow, and no network.

Skipped where there is no Chromium or no playwright (`uv sync --group browser`): what the page works out is tested
without one in tests/unit/report.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import psutil
import pytest

from poolproof.report import html
from tests.unit.report.runs import lost, save

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed here")
CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed here"),
]

# Without a sandbox of its own, because root can have none.
ARGUMENTS: Final = ["--no-sandbox", "--disable-crash-reporter"]
LEAVE_SECONDS: Final = 5.0
SMALLEST: Final = "#unresolved-job-kill-busy-the-caller-waits-for-ever"
JOB_3: Final = ".item.never[aria-label^='job 3 (']"


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("run")
    run = save(directory, lost(), lost())
    # The smallest is another trial than the first sighting, so that there is something to choose from.
    (row,) = (entry for entry in run.result.checks if entry.verdict == "invalid")
    row.original = "trials/0004"
    return html.write(run)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        one = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield one
        started = [p for p in psutil.Process().children(recursive=True) if "chrom" in p.name()]
        one.close()
        psutil.wait_procs(started, timeout=LEAVE_SECONDS)  # its crash handlers go a little later


@pytest.fixture
def page(browser: Any, page_file: Path) -> Iterator[Any]:
    yield from opened(browser, page_file)


def opened(browser: Any, file: Path, **options: Any) -> Iterator[Any]:
    context = browser.new_context(
        **{"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce", **options}
    )
    page = context.new_page()
    page.set_default_timeout(10_000)
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.on(
        "request", lambda asked: wrong.append(asked.url) if asked.url != file.as_uri() else None
    )
    page.goto(file.as_uri())
    page.wait_for_selector("html[data-ready]")
    yield page
    context.close()

    assert wrong == []


def tip(page: Any) -> str:
    page.wait_for_selector("#tip", state="visible")
    return str(page.inner_text("#tip"))


def test_pointing_shows_the_state_before_and_after(page: Any) -> None:
    page.locator(f"{SMALLEST} {JOB_3}").first.hover()

    assert tip(page).splitlines()[0] == "job 3 (faulted)"
    assert "not asked for\tits caller is never told" in tip(page)
    assert "waiting\t0\t1 ←" in tip(page)

    page.mouse.move(2, 2)
    assert page.locator("#tip").is_hidden()


def test_pointing_at_the_curves_tells_the_state_there(page: Any) -> None:
    page.locator(f"{SMALLEST} .plot").first.scroll_into_view_if_needed()
    box = page.locator(f"{SMALLEST} .frame").nth(2).bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 20)

    assert tip(page).startswith("the pool\nat ")
    assert "workers" in tip(page)


def test_the_keyboard_reaches_and_tells_every_bar(page: Any) -> None:
    plot = page.locator(f"{SMALLEST} .plot").first
    plot.focus()
    page.keyboard.press("Home")
    told = [tip(page)]
    for key in ("ArrowRight", "ArrowDown", "ArrowDown", "End"):
        page.keyboard.press(key)
        told.append(tip(page))

    assert len(set(told)) == len(told)
    assert all("before\tafter" in text for text in told)
    focused = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert focused.startswith(told[-1].splitlines()[0])

    page.keyboard.press("Escape")
    assert page.locator("#tip").is_hidden()


def test_the_keyboard_zooms_and_shows_all_again(page: Any) -> None:
    plot, said = page.locator(f"{SMALLEST} .plot").first, page.locator(f"{SMALLEST} .said").first
    whole = said.inner_text()
    plot.focus()
    page.keyboard.press("+")
    page.keyboard.press("+")
    near = said.inner_text()
    page.keyboard.press("0")

    assert near != whole
    assert " to " in near
    assert said.inner_text() == whole


def test_the_toggle_shows_the_smallest_beside_what_was_found(page: Any) -> None:
    shown = page.locator(f"{SMALLEST} .drawing")
    names = []
    for label in ("smallest", "as found", "both", "unharmed"):
        button = page.locator(f"{SMALLEST} .switch button", has_text=label)
        button.focus()
        page.keyboard.press("Enter")
        assert button.get_attribute("aria-pressed") == "true"
        names.append([shown.nth(i).get_attribute("data-trial") for i in range(shown.count())])

    assert names == [
        ["trials/0003"],
        ["trials/0004"],
        ["trials/0003", "trials/0004"],
        ["trials/0001"],
    ]


def test_the_true_time_axis_gives_a_quiet_stretch_its_length(page: Any) -> None:
    def width() -> float:
        return float(page.locator(f"{SMALLEST} {JOB_3} .shape").first.bounding_box()["width"])

    stretched = width()
    button = page.locator(f"{SMALLEST} .stretch").first
    button.click()

    assert button.get_attribute("aria-pressed") == "true"
    assert width() != pytest.approx(stretched, rel=0.01)


def test_any_history_can_be_chosen(page: Any) -> None:
    page.select_option("#histories select", "trials/0001")

    assert page.locator("#histories .drawing").get_attribute("data-trial") == "trials/0001"


def test_a_cell_leads_to_its_violation(page: Any) -> None:
    page.locator("details.violation").first.evaluate("one => { one.open = false; }")
    page.locator(f".matrix a[href='{SMALLEST}']").first.click()

    assert page.locator(SMALLEST).evaluate("one => one.open")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_it_fits_and_follows_the_scheme(
    browser: Any, page_file: Path, width: int, scheme: str
) -> None:
    view = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
    for page in opened(browser, page_file, **view):
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")

        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 26)"}[scheme]
        assert page.locator(".drawing svg").count() >= 2
