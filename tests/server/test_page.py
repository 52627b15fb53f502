"""The page in a real browser, a Chromium without a window. Every request to another place fails the test."""

import io
import os
import re
import shutil
import socket
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from axe_core_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright
from serving import closed_gate, png

from cnlrn import images
from cnlrn.server.app import PAGE, Application
from cnlrn.server.settings import Settings

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here (apt-get install chromium)")
SLOW = 60_000  # milliseconds; only a failure waits for so long
expect.set_options(timeout=SLOW)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        yield launched(playwright)


def launched(playwright: Playwright) -> Browser:
    sandbox = [] if os.getuid() else ["--no-sandbox"]
    return playwright.chromium.launch(executable_path=CHROMIUM, args=sandbox)


@pytest.fixture
def server(model: str, folder: Path) -> Iterator[Callable[..., str]]:
    """Starts a server with the settings that it is called with; returns its address."""
    running = []

    def start(**settings: Any) -> str:
        listening = socket.create_server(("127.0.0.1", 0))
        application = Application(Settings(**{"model": model, "folder": folder} | settings))
        server = uvicorn.Server(uvicorn.Config(application, log_level="error", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        running.append((server, thread, listening))
        while not server.started:
            time.sleep(0.01)
        return f"http://127.0.0.1:{listening.getsockname()[1]}/"

    yield start
    for one, thread, listening in running:
        one.should_exit = True
        thread.join(60)
        listening.close()


@pytest.fixture
def new_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens pages; a request to another place, or a message of the browser about an error, fails the test."""
    wrong: list[str] = []
    contexts = []

    def open_page(address: str, *, expected: str = "$^", signs_in: str = "", **options: Any) -> Page:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()

        def look(request: Any) -> None:
            if not request.url.startswith((address.partition("#")[0], "blob:", "data:")):
                wrong.append(request.url)

        page.on("request", look)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on(
            "console",
            lambda message: (
                message.type == "error" and not re.search(expected, message.text) and wrong.append(message.text)
            ),
        )
        page.goto(address)
        if signs_in:
            for token in ("wrong", signs_in):
                page.get_by_role("textbox", name="Token").fill(token)
                page.get_by_role("button", name="Go on").click()
                if token == "wrong":
                    expect(page.get_by_role("alert")).to_contain_text("not the server's token")
        expect(page.locator("#version")).not_to_be_empty()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


Server, Open = Callable[..., str], Callable[..., Page]


def choose(page: Page, *files: tuple[str, bytes]) -> None:
    page.locator("#files").set_input_files(
        [{"name": name, "mimeType": "application/octet-stream", "buffer": content} for name, content in files]
    )


def row(page: Page, name: str) -> Any:
    return page.locator(".picture", has=page.get_by_role("heading", name=name, exact=True))


def restored(page: Page, name: str) -> Any:
    one = row(page, name)
    expect(one.locator(".state")).to_contain_text("Done")
    return one


def test_a_picture_is_inspected_restored_and_downloaded(server: Server, new_page: Open) -> None:
    page = new_page(server())
    choose(page, ("photo.png", png()))
    expect(row(page, "photo.png").locator(".plan")).to_contain_text("16 × 12; will be enlarged to 64 × 48")
    row(page, "photo.png").get_by_role("button", name="Restore").click()
    one = restored(page, "photo.png")
    with page.expect_download() as download:
        one.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename == "photo_x4.png"
    assert images.read(Path(download.value.path())).pixels.shape == (48, 64, 3)


@pytest.mark.parametrize(
    ("size", "width", "format_", "name", "shape"),
    [
        ("1", None, "", "photo_x1.png", (12, 16, 3)),
        ("2", None, "jpg", "photo_x2.jpg", (24, 32, 3)),
        ("width", "40", "tif", "photo_w40.tif", (30, 40, 3)),
    ],
)
def test_size_and_format_are_chosen(
    server: Server, new_page: Open, size: str, width: str | None, format_: str, name: str, shape: tuple[int, ...]
) -> None:
    page = new_page(server())
    page.get_by_label("Size of the result").select_option(size)
    if width:
        page.get_by_role("spinbutton").fill(width)
    page.get_by_label("Format of the result").select_option(format_)
    choose(page, ("photo.png", png()))
    page.get_by_role("button", name="Restore all").click()
    one = restored(page, "photo.png")
    with page.expect_download() as download:
        one.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename == name
    assert images.read(Path(download.value.path())).pixels.shape == shape


def test_a_change_of_the_size_is_seen_before_anything_is_computed(server: Server, new_page: Open) -> None:
    page = new_page(server())
    choose(page, ("photo.png", png()))
    expect(row(page, "photo.png").locator(".plan")).to_contain_text("64 × 48")
    page.get_by_label("Size of the result").select_option("2")
    expect(row(page, "photo.png").locator(".plan")).to_contain_text("32 × 24")


def test_many_pictures_come_as_one_archive(server: Server, new_page: Open) -> None:
    page = new_page(server())
    choose(page, *((f"{number}.png", png(8 + number)) for number in range(5)), ("0.png", png()))
    page.get_by_role("button", name="Restore all").click()
    expect(page.locator("#summary")).to_have_text("6 restored")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download all").click()
    with zipfile.ZipFile(Path(download.value.path())) as archive:
        assert archive.testzip() is None
        expected = ["0_x4.png", *(f"{number}_x4.png" for number in range(1, 5)), "0_x4 (2).png"]
        assert sorted(archive.namelist()) == sorted(expected)
        assert images.read(archive.read("4_x4.png")).pixels.shape == (48, 48, 3)


def drop(page: Page, name: str, content: bytes) -> None:
    """What a browser does when a file is dropped."""
    transfer = page.evaluate_handle(
        "([name, bytes]) => { const d = new DataTransfer(); d.items.add(new File([new Uint8Array(bytes)], name));"
        " return d; }",
        [name, list(content)],
    )
    page.dispatch_event("#drop", "drop", {"dataTransfer": transfer})


def test_pictures_are_dropped_and_pasted(server: Server, new_page: Open) -> None:
    page = new_page(server())
    drop(page, "dropped.png", png())
    expect(row(page, "dropped.png").locator(".plan")).to_contain_text("16 × 12")
    page.evaluate(
        "bytes => { const d = new DataTransfer();"
        " d.items.add(new File([new Uint8Array(bytes)], 'image.png', {type: 'image/png'}));"
        " dispatchEvent(new ClipboardEvent('paste', {clipboardData: d})); }",
        list(png(20, 10)),
    )
    expect(row(page, "image.png").locator(".plan")).to_contain_text("20 × 10")


def test_a_folder_is_searched_for_pictures(server: Server, new_page: Open, tmp_path: Path) -> None:
    folder = tmp_path / "holiday"
    (folder / "beach").mkdir(parents=True)
    (folder / "a.png").write_bytes(png())
    (folder / "beach" / "b.png").write_bytes(png())
    (folder / "list.txt").write_text("no picture")
    (folder / "._a.png").write_bytes(b"no picture")
    page = new_page(server())
    page.locator("#folder").set_input_files(folder)
    expect(page.locator(".picture h3")).to_have_text(["holiday/a.png", "holiday/beach/b.png"])
    page.get_by_role("button", name="Restore all").click()
    expect(page.locator("#summary")).to_have_text("2 restored")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download all").click()
    with zipfile.ZipFile(io.BytesIO(Path(download.value.path()).read_bytes())) as archive:
        assert sorted(archive.namelist()) == ["holiday/a_x4.png", "holiday/beach/b_x4.png"]


def test_an_example_is_restored_by_the_models_that_are_shipped(server: Server, new_page: Open) -> None:
    page = new_page(server(model=None))
    page.get_by_role("button", name="Kitten").click()
    expect(row(page, "kitten.png").locator(".plan")).to_contain_text("shaken by about")
    page.get_by_label("Size of the result").select_option("2")
    page.get_by_role("button", name="Restore all").click()
    restored(page, "kitten.png")


def test_a_picture_is_cancelled(server: Server, new_page: Open, folder: Path) -> None:
    page = new_page(server())
    choose(page, ("photo.png", png()))
    expect(row(page, "photo.png").locator(".plan")).to_contain_text("16 × 12")
    with closed_gate() as gate:
        page.get_by_role("button", name="Restore all").click()
        gate.wait_for_one()
        row(page, "photo.png").get_by_role("button", name="Cancel").click()
        expect(row(page, "photo.png").locator(".state")).to_have_text("Cancelled.")
    row(page, "photo.png").get_by_role("button", name="Restore").click()
    restored(page, "photo.png")


def test_the_results_leave_the_server_as_soon_as_the_page_has_them(
    server: Server, new_page: Open, folder: Path
) -> None:
    page = new_page(server())
    choose(page, ("photo.png", png()))
    page.get_by_role("button", name="Restore all").click()
    restored(page, "photo.png")
    end = time.monotonic() + 60
    while list(folder.iterdir()):
        assert time.monotonic() < end
        time.sleep(0.05)


def test_failures_are_told_in_the_words_of_the_errors(server: Server, new_page: Open) -> None:
    page = new_page(server(max_pixels=300), expected="Failed to load resource")
    choose(page, ("text.png", b"no picture"), ("large.png", png(40, 30)), ("drawing.psd", b"8BPS" + bytes(50)))
    expect(row(page, "text.png").locator(".state")).to_contain_text("The picture is not a PNG, JPEG")
    expect(row(page, "large.png").locator(".state")).to_contain_text("more than the limit of 300")
    expect(row(page, "drawing.psd").locator(".state")).to_contain_text("is a PSD file, which cannot be read")


def compared(page: Page) -> Any:
    row(page, "photo.png").get_by_role("button", name="Compare").click()
    dialog = page.locator("#compare")
    expect(dialog).to_be_visible()
    expect(dialog.locator(".wait")).to_be_empty()
    return dialog


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_before_and_after_have_one_zoom_and_one_place(server: Server, new_page: Open, suffix: str) -> None:
    page = new_page(server())
    choose(page, ("photo.png", png(60, 40, suffix)))
    page.get_by_role("button", name="Restore all").click()
    restored(page, "photo.png")
    dialog = compared(page)

    def boxes() -> list[Any]:
        return [dialog.locator(f".{name}").bounding_box() for name in ("before", "after")]

    before, after = boxes()
    assert before == after
    view = dialog.locator(".view").bounding_box()
    assert after["width"] <= view["width"] + 1
    assert after["height"] <= view["height"] + 1
    page.keyboard.press("1")
    assert boxes()[0] == boxes()[1]
    assert (boxes()[0]["width"], boxes()[0]["height"]) == (240, 160)
    for _ in range(12):
        page.keyboard.press("+")
    place = boxes()[0]
    assert place["width"] > view["width"]
    page.keyboard.press("ArrowRight")
    assert boxes()[0] == boxes()[1]
    assert boxes()[0]["x"] == pytest.approx(place["x"] - 60, abs=1)
    page.mouse.move(view["x"] + 50, view["y"] + 50)
    page.mouse.down()
    page.mouse.move(view["x"] + 80, view["y"] + 60)
    page.mouse.up()
    assert boxes()[0] == boxes()[1]
    assert boxes()[0]["x"] == pytest.approx(place["x"] - 30, abs=1)
    page.keyboard.press("0")
    assert boxes() == [before, after]


def test_the_line_is_moved_by_the_mouse_and_by_keys(server: Server, new_page: Open) -> None:
    page = new_page(server())
    choose(page, ("photo.png", png()))
    page.get_by_role("button", name="Restore all").click()
    restored(page, "photo.png")
    dialog = compared(page)
    line = dialog.get_by_role("slider")
    expect(line).to_be_focused()
    expect(line).to_have_value("50")
    page.keyboard.press("ArrowRight")
    expect(line).to_have_value("50.5")
    view = dialog.locator(".view").bounding_box()
    page.mouse.click(view["x"] + view["width"] / 4, view["y"] + view["height"] / 2)
    assert float(line.input_value()) == pytest.approx(25, abs=0.5)
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


def test_everything_is_done_by_the_keyboard(server: Server, new_page: Open) -> None:
    page = new_page(server(model=None))

    def go_to(name: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            focused = page.locator(":focus")
            if focused.count() and name in (focused.get_attribute("aria-label") or focused.inner_text() or ""):
                return
            if focused.locator(f"img[alt='{name}']").count():
                return
        raise AssertionError(f"{name} is not reached")

    go_to("Kitten")
    page.keyboard.press("Enter")
    expect(row(page, "kitten.png").locator(".plan")).to_contain_text("will be")
    go_to("Restore all")
    page.keyboard.press("Enter")
    restored(page, "kitten.png")
    go_to("Compare kitten.png")
    page.keyboard.press("Enter")
    expect(page.locator("#compare")).to_be_visible()
    page.keyboard.press("Escape")
    go_to("Remove kitten.png")
    page.keyboard.press("Enter")
    expect(page.locator(".picture")).to_have_count(0)


def test_a_server_with_a_token_asks_for_it(server: Server, new_page: Open) -> None:
    token = "a token of this test"
    page = new_page(server(token=token), signs_in=token, expected="401")
    choose(page, ("photo.png", png()))
    expect(row(page, "photo.png").locator(".plan")).to_contain_text("16 × 12")


def test_a_token_in_the_address_is_used_and_hidden(server: Server, new_page: Open) -> None:
    token = "a-token-of-this-test"
    page = new_page(f"{server(token=token)}#token={token}")
    assert token not in page.url


@pytest.mark.parametrize("width", [320, 390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_sticks_out_and_text_has_contrast(server: Server, new_page: Open, width: int, scheme: str) -> None:
    page = new_page(
        server(),
        expected="Failed to load resource",
        viewport={"width": width, "height": 800},
        color_scheme=scheme,
        reduced_motion="reduce",
    )
    choose(page, ("a picture with quite a long name that has no end in sight.png", png()), ("bad.png", png()[:50]))
    expect(page.locator(".plan").first).to_contain_text("16 × 12")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = [problem for problem in Axe().run(page)["violations"] if problem["impact"] in ("serious", "critical")]
    assert found == []


def test_the_description_of_the_api_is_made_here(server: Server, new_page: Open) -> None:
    page = new_page(server())
    page.get_by_role("link", name="The HTTP API").click()
    expect(page.get_by_role("heading", name="POST /v1/restore")).to_be_visible()
    expect(page.get_by_role("cell", name="strength").first).to_be_visible()


def test_a_server_that_is_gone_is_told_of(server: Server, new_page: Open) -> None:
    page = new_page(server(), expected="ERR_FAILED|Failed to load")
    page.route("**/v1/**", lambda route: route.abort())
    choose(page, ("photo.png", png()))
    expect(row(page, "photo.png").locator(".state")).to_contain_text("The server does not answer")


def test_every_file_of_the_page_is_used(server: Server) -> None:
    text = "".join(path.read_text() for path in PAGE.iterdir() if path.suffix in (".html", ".js", ".css"))
    for path in PAGE.rglob("*"):
        if path.is_file() and path.name not in ("index.html", "docs.html") and "LICENSE" not in path.name:
            assert path.name in text, path
