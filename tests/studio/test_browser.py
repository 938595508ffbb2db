"""A real browser, a real server, real pictures: what a participant and a visitor go through."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.studio.conftest import ANSWERS
from tests.studio.server import Server, run_zipp, serving
from zipp_dagster.studio.database import default_url
from zipp_dagster.studio.store import Store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
CHROMIUM = shutil.which("chromium")
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
SERIOUS = ("serious", "critical")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("studio-home")
    run_zipp(folder, "run", "--select", "diffusion_model")
    run_zipp(folder, "study", "create", "short", "--pairs", "3")
    run_zipp(folder, "study", "create", "whole", "--pairs", "20")
    return folder


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[Server]:
    with serving(home) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield launched
        launched.close()


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    opened = Store(default_url(home))
    yield opened
    opened.close()


@pytest.fixture
def new_page(browser: Any, server: Server) -> Iterator[Any]:
    """`new_page(size)` opens a page of its own; every script error fails the test."""
    contexts, errors = [], []

    def make(size: dict[str, int] = DESKTOP, **options: Any) -> Any:
        context = browser.new_context(viewport=size, base_url=server.url, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(180_000)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on(
            "console", lambda m: errors.append(m.text) if "Content Security" in m.text else None
        )
        return page

    yield make
    for context in contexts:
        context.close()
    assert errors == []


def begin(page: Any, study: str = "short") -> None:
    """From the list of studies to the first pair, with the mouse."""
    page.goto("/study")
    page.click(f"a[href='/study/{study}']")
    page.check("[name=consent]")
    page.click("text=Go on")
    fill(page)
    page.click("button:has-text('Start')")
    page.click("#begin")
    ready(page)


def fill(page: Any) -> None:
    for name in ("age_band", "surroundings", "work"):
        page.select_option(f"#{name}", ANSWERS[name])
    for hobby in ANSWERS["hobbies"]:
        page.locator(f"label.chip:has(input[value={hobby}])").click()


def ready(page: Any) -> None:
    page.wait_for_selector("#vote[data-ready]")


def number(page: Any) -> int:
    return int(page.title().split()[1])


def vote_until_done(page: Any, vote: Any) -> int:
    """Votes until the thanks; how many votes it took."""
    for count in range(1, 100):
        ready(page)
        address, title = page.url, page.title()
        vote(page)
        page.wait_for_function("title => document.title !== title", arg=title)
        if "Thank you" in page.title():
            return count
        assert page.url == address
        if "Drawing" in page.title():
            page.wait_for_selector("#vote")
    raise AssertionError("the study does not end")


def token(page: Any) -> str:
    return page.url.split("/s/")[1].split("/")[0]


def votes_of(store: Store, study: str, page: Any) -> list[dict[str, Any]]:
    who = store.participant(token(page))
    return [vote for vote in store.votes(study) if vote["participant"] == who.id]


def fits(page: Any) -> bool:
    return page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def serious_findings(page: Any) -> list[str]:
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [f"{v['id']}: {v['nodes'][0]['html']}" for v in found if v["impact"] in SERIOUS]


def test_a_participant_on_a_desktop_goes_from_consent_to_the_last_vote(new_page, store):
    page = new_page()
    begin(page, "whole")
    assert vote_until_done(page, lambda p: p.click("[value=left]")) == 22
    votes = votes_of(store, "whole", page)
    assert [vote["kind"] for vote in votes].count("vote") == 20
    assert all(vote["choice"] == "left" for vote in votes)


def test_a_participant_on_a_phone_sees_both_pictures_at_once_and_can_tap(new_page, store):
    page = new_page(PHONE, has_touch=True, is_mobile=True, device_scale_factor=2)
    begin(page)
    assert fits(page)
    boxes = [page.locator("#vote img").nth(i).bounding_box() for i in (0, 1)]
    assert all(box["y"] + box["height"] < PHONE["height"] for box in boxes)
    assert boxes[0]["width"] == boxes[1]["width"] >= 150
    vote_until_done(page, lambda p: p.tap("[value=tie]"))
    assert {vote["choice"] for vote in votes_of(store, "short", page)} == {"tie"}


def test_everything_can_be_done_with_the_keyboard_alone(new_page, store):
    page = new_page()
    page.goto("/study/short")

    def tab_to(selector: str) -> None:
        for _ in range(80):
            if page.evaluate("s => document.activeElement.matches(s)", selector):
                return
            page.keyboard.press("Tab")
        raise AssertionError(f"{selector} is not reached by Tab")

    tab_to("[name=consent]")
    page.keyboard.press("Space")
    tab_to("form button")
    page.keyboard.press("Enter")
    page.wait_for_selector("#age_band")
    for name in ("age_band", "surroundings", "work"):
        tab_to(f"#{name}")
        page.keyboard.press("ArrowDown")
    tab_to("input[value=cycling]")
    page.keyboard.press("Space")
    tab_to("form button")
    page.keyboard.press("Enter")
    page.wait_for_selector("#begin")
    tab_to("#begin")
    page.keyboard.press("Enter")
    keys = iter(["ArrowLeft", "b", "ArrowDown", "1", "0"] * 5)
    vote_until_done(page, lambda p: p.keyboard.press(next(keys)))
    assert [v["choice"] for v in votes_of(store, "short", page)][:3] == ["left", "right", "tie"]


def test_a_reload_and_the_private_link_in_another_browser_go_on_where_one_left(new_page, store):
    page = new_page()
    begin(page)
    page.click("[value=left]")
    page.wait_for_function("() => document.title.startsWith('Pair 2')")
    page.reload()
    ready(page)
    assert number(page) == 2
    elsewhere = new_page(PHONE)
    elsewhere.goto(page.url)
    ready(elsewhere)
    assert number(elsewhere) == 2
    vote_until_done(elsewhere, lambda p: p.click("[value=right]"))
    page.reload()
    assert "Thank you" in page.title()
    assert len(votes_of(store, "short", page)) == 5


def test_a_double_click_is_one_vote(new_page, store):
    page = new_page()
    begin(page)
    ready(page)
    page.dblclick("[value=left]", delay=20)
    page.wait_for_function("() => document.title.startsWith('Pair 2')")
    ready(page)
    assert len(votes_of(store, "short", page)) == 1


def test_the_back_button_does_not_lead_to_a_second_vote(new_page, store):
    page = new_page()
    begin(page)
    page.click("[value=left]")
    page.wait_for_function("() => document.title.startsWith('Pair 2')")
    page.go_back()
    page.wait_for_function(
        "() => document.title.startsWith('Pair 2') || document.title.startsWith('How')"
    )
    assert len(votes_of(store, "short", page)) == 1


def test_two_participants_at_once_do_not_meet(new_page, store):
    one, two = new_page(), new_page(PHONE)
    begin(one)
    begin(two)
    for _ in range(5):
        for page, choice in ((one, "left"), (two, "right")):
            ready(page)
            title = page.title()
            page.click(f"[value={choice}]")
            page.wait_for_function("title => document.title !== title", arg=title)
    assert token(one) != token(two)
    assert {vote["choice"] for vote in votes_of(store, "short", one)} == {"left"}
    assert {vote["choice"] for vote in votes_of(store, "short", two)} == {"right"}


def test_withdrawal_deletes_everything_and_closes_the_link(new_page, store):
    page = new_page()
    begin(page)
    page.click("[value=left]")
    page.wait_for_function("() => document.title.startsWith('Pair 2')")
    who, link = store.participant(token(page)), page.url
    page.click("text=Withdraw")
    page.click("text=Delete everything of mine")
    page.wait_for_selector("text=Everything of yours is deleted")
    assert who.id not in {vote["participant"] for vote in store.votes("short")}
    assert store.pairs_of(who.id) == []
    assert page.goto(link).status == 404


def test_a_visitor_personalises_and_edits_the_persona(new_page):
    page = new_page()
    page.goto("/personalise")
    fill(page)
    page.wait_for_function("() => document.getElementById('persona').value.includes('painting')")
    page.click("#go")
    page.wait_for_selector("#personal-image[src^='data:image/png']")
    assert "Hobby: painting" in page.locator("#why").inner_text()
    page.fill("#persona", "I love pixel art.")
    page.click("#go")
    page.wait_for_function(
        "() => document.getElementById('personal-prompt').textContent.includes('pixel')"
    )
    assert "Your own words" in page.locator("#why").inner_text()
    page.fill("#prompt", "a nude")
    page.click("#go")
    page.wait_for_selector("#problem:not([hidden])")
    assert "does not draw" in page.locator("#problem").inner_text()


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_any_room_and_no_page_is_wider_than_its_window(
    new_page, size, scheme
):
    page = new_page(size, color_scheme=scheme)
    found = {}

    def look(name: str) -> None:
        found[name] = serious_findings(page) + ([] if fits(page) else ["wider than the window"])

    for path in (
        "/",
        "/personalise",
        "/study",
        "/study/short",
        "/results",
        "/results/whole",
        "/api",
    ):
        page.goto(path)
        look(path)
    page.goto("/personalise")
    fill(page)
    page.click("#go")
    page.wait_for_selector("#personal-image[src^='data:image/png']")
    look("personalised")
    page.goto("/study/short")
    page.check("[name=consent]")
    page.click("text=Go on")
    look("intake")
    fill(page)
    page.click("button:has-text('Start')")
    look("start")
    page.click("#begin")
    ready(page)
    look("pair")
    page.click("text=Withdraw")
    look("withdraw")
    assert {name: bad for name, bad in found.items() if bad} == {}
