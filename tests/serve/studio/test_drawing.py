"""The studio in a real Chromium: orders, previews, cancelling, coming back, and faults said in words."""

import re

import pytest
from playwright.sync_api import expect
from starlette.responses import JSONResponse
from stubs import Able
from studio_people import Person, Server

from tranh.serve.orders import Order, Refused

pytestmark = pytest.mark.browser
HOSTILE = '<img src=x onerror="document.title=1234"><script>document.title=1234</script> {done} &amp;'


def refusing(why, **told):
    """What a desk does instead of its work."""

    def refuse(*order, **rest):
        raise Refused(why, **told)

    return refuse


def test_a_picture_is_drawn_with_previews(browser, tmp_path):
    with Server(tmp_path, until=2) as server:
        person = Person(browser, server)
        person.write("a red circel on a blue square", count=2, steps=6, guidance=2.5)
        near = person[".hints button"]
        expect(person[".hints"]).to_contain_text("circel")
        near.click()
        expect(person["#field-prompt"]).to_have_value("a red circle on a blue square")
        expect(person[".hints p"]).to_have_count(0)
        person["#draw"].click()
        card = person[".job"]
        expect(card.locator(".state")).to_contain_text("step 2 of 12")
        assert 10 <= card.locator("progress").evaluate("bar => bar.value") <= 20
        expect(card.locator("img")).to_have_attribute("src", re.compile("^data:image/png"))
        first = card.locator("img").get_attribute("src")
        server.model.until = 5
        expect(card.locator(".state")).to_contain_text("step 5 of 12")
        expect(card.locator("img")).not_to_have_attribute("src", first)  # a newer preview
        server.model.until = None
        expect(person["#grid img"]).to_have_count(2)
        expect(card).to_have_count(0)
        expect(person["#said"]).to_have_text(re.compile("2 new"))
        assert person["#grid img"].first.evaluate("async image => (await image.decode(), image.naturalWidth)") == 64
        (order,) = server.orders()
        seed = int(person["#field-seed"].input_value())
        assert order.request == {
            "prompt": "a red circle on a blue square", "count": 2, "steps": 6, "guidance": 2.5, "seed": seed,
        }  # fmt: skip
        person.drawn("a loud circle")
        expect(person["#notice-words"]).to_have_text("'loud' was left out")
        person["#notice-close"].click()
        person.drawn("red")
        person["#lock"].click()
        kept = int(person["#field-seed"].input_value())
        person.draw("blue")
        person["#dice"].click()
        other = int(person["#field-seed"].input_value())
        person.draw("blue")
        assert [order.request["seed"] for order in server.orders()][:3] == [other, kept, kept]
        assert len({seed, kept, other}) == 3 and not person.faults


def test_escape_cancels_what_was_ordered_last(browser, tmp_path):
    with Server(tmp_path, until=1, active=1) as server:
        person = Person(browser, server)
        first = person.draw("a red circle", steps=8)
        second, third = person.draw("a blue circle"), person.draw("a square")
        expect(person[f'[data-job="{third["id"]}"] .state']).to_contain_text("1 before it")
        expect(person[f'[data-job="{second["id"]}"] .state']).to_contain_text("next in line")
        person.page.keyboard.press("Escape")
        expect(person[f'[data-job="{third["id"]}"]']).to_have_attribute("data-status", "cancelled")
        person[f'[data-job="{first["id"]}"]'].get_by_role("button", name="Cancel").click()
        expect(person[f'[data-job="{first["id"]}"]']).to_have_attribute("data-status", "cancelled")
        expect(person[f'[data-job="{second["id"]}"]']).to_have_attribute("data-status", "in_progress")
        assert [server.desk.job(one["id"]).status for one in (first, third)] == ["cancelled"] * 2
        person[f'[data-job="{third["id"]}"]'].get_by_role("button", name="Remove").click()
        expect(person[".job"]).to_have_count(2)
        person.page.keyboard.press("Escape")
        expect(person['[data-status="cancelled"]']).to_have_count(2)
        assert not person.faults


def test_many_jobs_leave_connections_free(browser, tmp_path):
    with Server(tmp_path, until=1, active=4) as server:
        person = Person(browser, server)
        person.write("a circle")
        for _ in range(9):
            person["#draw"].click()
        expect(person[".job"]).to_have_count(9)
        expect(person['[data-status="in_progress"]']).to_have_count(4)
        server.model.until = None
        expect(person["#grid img"]).to_have_count(9, timeout=15_000)
        expect(person[".job"]).to_have_count(0)
        assert not person.faults


def test_jobs_under_way_are_found_behind_any_number_of_newer_ones(browser, tmp_path):
    with Server(tmp_path, until=1, active=1) as server:
        order = Order("generate", "stub", {"prompt": "a circle"})
        first = server.desk.submit(order).id
        for _ in range(59):
            server.desk.cancel(server.desk.submit(order).id)
        person = Person(browser, server)
        expect(person[".job"]).to_have_attribute("data-job", first)
        person["#field-prompt"].fill("một")
        said = {"key": "Escape", "isComposing": True, "bubbles": True}  # it ends a word, as people type Vietnamese
        person["#field-prompt"].evaluate("(node, said) => node.dispatchEvent(new KeyboardEvent('keydown', said))", said)
        person.page.keyboard.down("Control")
        for _ in range(4):  # held down it repeats
            person.page.keyboard.down("Enter")
        person.page.keyboard.up("Enter")
        person.page.keyboard.up("Control")
        newest = person[f'.job:not([data-job="{first}"])']
        newest.wait_for()
        cancel = server.desk.cancel
        server.desk.cancel = refusing("not now", status=503)
        person.page.keyboard.press("Escape")
        expect(person["#notice[role=alert]"]).to_contain_text("not now")
        server.desk.cancel = cancel
        person.page.keyboard.press("Escape")
        expect(newest).to_have_attribute("data-status", "cancelled")
        expect(person[f'[data-job="{first}"]']).to_have_attribute("data-status", "in_progress")
        assert len(server.desk.jobs(limit=100)[0]) == 61
        assert all("503" in fault for fault in person.faults)


def test_models_and_settings_of_ones_own_are_chosen(browser, tmp_path):
    with Server(tmp_path, until=1, others=[Able("small", tools=("generate", "img2img"))]) as server:
        person = Person(browser, server)
        person["#more > summary"].click()
        assert person["#model option"].all_inner_texts() == ["stub", "small"]
        person["#model"].select_option("small")
        expect(person["#field-sampler"]).to_have_count(0)  # a field that it has not
        assert person.drawn("a circle")["model"] == "small"
        person["#tool"].select_option("inpaint")
        assert person["#model option"].all_inner_texts() == ["stub"]
        person["#tool"].select_option("generate")
        person["#field-steps"].fill("7")
        person.page.get_by_role("button", name="Keep these settings").click()
        person["#preset-name"].fill("mine")
        person.page.keyboard.press("Enter")
        person["#field-steps"].fill("3")
        person.page.reload()
        own = person.page.get_by_role("button", name="mine")
        expect(own).to_have_attribute("aria-pressed", "false")
        own.click()
        expect(person["#field-steps"]).to_have_value("7")
        expect(own).to_have_attribute("aria-pressed", "true")
        person.page.get_by_role("button", name="Remove this preset").click()
        expect(own).to_have_count(0)
        person.draw("a circle")
        expect(person[".job .state"]).to_have_text(re.compile(r"^step 1 of 7 · about \d+ (s|min|h) left$"))
        assert not person.faults


def test_a_reload_and_a_restart_lose_nothing(browser, tmp_path):
    with Server(tmp_path) as server:
        person = Person(browser, server)
        person.drawn("a red square")
        server.model.until = 3
        job = person.draw("a blue circle")
        card = person[f'[data-job="{job["id"]}"]']
        expect(card).to_contain_text("step 3 of 4")
        person.page.reload()
        expect(card.locator("img")).to_have_attribute("src", re.compile("^data:image/png"))
        expect(person["#field-prompt"]).to_have_value("a blue circle")
        expect(person["#grid img"]).to_have_count(1)
        assert not person.faults
        seen = []
        person.page.on("request", lambda asked: seen.append(asked) if asked.url.endswith("/events") else None)
        server.stop()
        expect(person["#lost"]).to_be_visible()
        person.write("a square")
        person["#draw"].click()  # it is kept, and sent once
        server.start()
        expect(person["#lost"]).to_be_hidden()
        for _ in range(100):  # the jobs wait for this
            if any(int(asked.headers.get("last-event-id", 0)) > 1 for asked in seen):
                break
            person.page.wait_for_timeout(100)
        else:
            raise AssertionError("nobody asked for what came after the last event that was seen")
        server.model.until = None
        expect(person["#grid img"]).to_have_count(3)
        expect(person[".job"]).to_have_count(0)
        assert len(server.orders()) == 3
        person.faults.clear()  # the browser itself tells that nobody answered
        person.page.reload()
        expect(person["#grid img"]).to_have_count(3)
        assert not person.faults


def test_faults_are_said_and_can_be_tried_again(browser, tmp_path):
    with Server(tmp_path) as server:
        person = Person(browser, server)
        person["#draw"].click()
        expect(person["#wrong-prompt"]).to_have_text("Prompt is missing.")
        expect(person["#field-prompt"]).to_be_focused()
        person["#tool"].select_option("variation")
        person["#draw"].click()
        expect(person["#wrong-image[role=alert]"]).to_have_text("Picture is missing.")
        expect(person["[data-slot=image] input"]).to_be_focused()
        person["#tool"].select_option("animate")
        person["#draw"].click()
        expect(person[".keys textarea"].first).to_be_focused()
        expect(person[".keys textarea"].first).to_have_attribute("aria-invalid", "true")
        person["#tool"].select_option("generate")
        person.write("a circle")
        submit = server.desk.submit
        server.desk.submit = refusing("10 a day", status=429, code="insufficient_quota")
        person["#draw"].click()
        expect(person["#notice"]).to_contain_text("no more pictures for today. (10 a day)")
        server.desk.submit = submit
        person.write("an unknownword")
        person["#draw"].click()
        expect(person["#notice, #wrong-prompt:visible"].first).to_contain_text("never taught 'unknownword'")
        person.write("a circle")
        person["#notice-close"].click()
        person["#field-count"].fill("0")
        person["#draw"].click()
        expect(person["#wrong-count"]).not_to_be_empty()
        person["#field-count"].fill("1")
        failed = person.draw("fail")
        card = person[f'[data-job="{failed["id"]}"]']
        expect(card).to_contain_text("It failed: the server failed at this job")
        person.page.reload()
        expect(card.get_by_role("button", name="Try again")).to_be_visible()
        card.get_by_role("button", name="Try again").click()
        expect(card).to_have_count(0)
        again = person['.job[data-status="failed"]']
        expect(again).to_have_count(1)
        again.get_by_role("button", name="Remove").click()
        expect(again).to_have_count(0)
        person.page.reload()
        person["#empty"].wait_for()
        expect(person[".job"]).to_have_count(0)
        assert all(re.search("400|429", fault) for fault in person.faults)  # the browser's lines about refused orders


def test_prompts_are_text_whatever_they_hold(browser, tmp_path):
    with Server(tmp_path, until=1) as server:
        person = Person(browser, server)
        job = person.draw(HOSTILE)
        expect(person[f'[data-job="{job["id"]}"] .asked']).to_have_text(HOSTILE)
        server.model.until = None
        expect(person["#grid img"]).to_have_attribute("alt", HOSTILE)
        person["#grid .tile"].click()
        expect(person["dialog .asked"]).to_have_text(HOSTILE)
        assert person["dialog .asked *"].count() == 0 and person[".hints script, .hints img"].count() == 0
        assert person.page.title() == "Tranh" and not person.faults


def test_a_key_is_asked_for_where_the_server_wants_one(browser, tmp_path):
    def locked(app):
        async def entrance(scope, receive, send):
            told = dict(scope.get("headers", ()))
            if scope["path"].startswith("/api") and told.get(b"authorization") != b"Bearer secret-word":
                error = {"error": {"message": "a key is needed", "type": "t", "param": None, "code": "invalid_api_key"}}
                await JSONResponse(error, 401)(scope, receive, send)
            else:
                await app(scope, receive, send)

        return entrance

    with Server(tmp_path, changed=locked) as server:
        context = browser.new_context(locale="en-GB")
        page = context.new_page()
        page.goto(server.address)
        page.locator("#key").fill("wrong")
        page.get_by_role("button", name="Use this key").click()
        expect(page.locator("#key")).to_have_value("")
        page.locator("#key").fill("secret-word")
        page.keyboard.press("Enter")
        page.locator("#field-prompt").fill("a circle")
        page.locator("#draw").click()
        expect(page.locator("#grid img")).to_have_count(1)
        assert page.locator("#grid img").evaluate("async image => (await image.decode(), image.naturalWidth)") == 64
        page.reload()
        expect(page.locator("#grid img")).to_have_count(1)
        assert "secret-word" not in page.evaluate("JSON.stringify(localStorage) + document.cookie")


def test_the_page_says_what_it_needs_and_loads_nothing_from_elsewhere(browser, tmp_path):
    with Server(tmp_path) as server:
        context = browser.new_context(java_script_enabled=False)
        page = context.new_page()
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        reply = page.goto(server.address)
        assert "needs JavaScript" in page.inner_text("body") and "cần JavaScript" in page.inner_text("body")
        policy = reply.headers["content-security-policy"]
        assert "default-src 'self'; img-src 'self' blob: data:" in policy and "unsafe" not in policy
        assert all(url.startswith(server.address) for url in asked)
        style = page.request.get(f"{server.address}studio/studio.css")
        known = page.request.get(f"{server.address}studio/studio.css", headers={"If-None-Match": style.headers["etag"]})
        assert style.status == 200 and known.status == 304
        for outside in ("studio/../app.py", "studio/%2e%2e/app.py", "studio/index.html", "studio/nothing.js"):
            assert page.request.get(server.address + outside).status == 404
