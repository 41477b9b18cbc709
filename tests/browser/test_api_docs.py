"""The human page of the API: everything that the document has, found by a word, without anything from elsewhere."""

from __future__ import annotations

from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.server import ServerProcess


def test_the_api_is_read_searched_and_linked(page: Page, context: BrowserContext, server: ServerProcess) -> None:
    asked: set[str] = set()
    page.on("request", lambda request: asked.add(urlsplit(request.url).netloc))
    page.goto("/api/docs")
    document = context.request.get("/api/openapi.json").json()
    methods = [method for path in document["paths"].values() for method in path]
    calls = sum(method in {"get", "post", "put", "patch", "delete"} for method in methods)
    expect(page.locator("details.call")).to_have_count(calls)
    expect(page.locator("details.object")).to_have_count(len(document["components"]["schemas"]))
    page.get_by_label("Find").fill("pause_print")
    found = page.locator("details.call:visible")
    expect(found).not_to_have_count(calls)
    expect(found.first).to_contain_text("pause_print")
    found.first.locator("summary").click()
    expect(found.first.get_by_role("heading", name="Answers")).to_be_visible()
    page.get_by_label("Find").fill("nothing has this word")
    expect(page.locator("details:visible")).to_have_count(0)
    page.goto("/api/docs#object-Printer")
    page.reload()  # an address with a fragment is read when the page is made
    expect(page.locator("#object-Printer")).to_have_attribute("open", "")
    page.get_by_role("link", name="Fleet (/v1)").click()
    fleet = context.request.get("/v1/openapi.json").json()
    expect(page.locator("details.call")).to_have_count(sum(len(methods) for methods in fleet["paths"].values()))
    expect(page.locator("#create_job summary")).to_contain_text("/v1/jobs")
    assert asked == {urlsplit(server.url).netloc}
