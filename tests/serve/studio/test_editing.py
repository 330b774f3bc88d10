"""The studio in a real Chromium: the history, edits, masks, comparing, languages, keys and small screens."""

import io
import itertools
import json
import re
import zipfile

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from playwright.sync_api import expect
from studio_people import Person, Server, flat

from tranh.recipes import marks
from tranh.recipes.tools import TOOLS

pytestmark = pytest.mark.browser


def picture(width=64, height=64, settings=None):
    """A file with a gradient, and settings as ours keep them."""
    ramp = np.linspace(0, 255, width, dtype=np.uint8)
    pixels = np.broadcast_to(ramp[None, :, None], (height, width, 3))
    told, out = PngInfo(), io.BytesIO()
    if settings:
        told.add_itxt("tranh", json.dumps(settings, ensure_ascii=False))
    Image.fromarray(np.ascontiguousarray(pixels)).save(out, "PNG", pnginfo=told)
    return out.getvalue()


def test_the_history_is_kept_marked_and_taken_along(browser, tmp_path):
    with Server(tmp_path) as server:
        person = Person(browser, server)
        person.drawn("a red circle", count=33, steps=1)
        page, tiles = person.page, person["#grid .tile"]
        page.reload()
        expect(tiles).to_have_count(30)
        person["#older"].click()
        expect(tiles).to_have_count(33)
        expect(person["#older"]).to_be_hidden()

        tiles.first.focus()
        for key, place in (("ArrowRight", 1), ("End", 32), ("Home", 0)):
            page.keyboard.press(key)
            expect(tiles.nth(place)).to_be_focused()
        page.keyboard.press("ArrowDown")
        below = tiles.evaluate_all("all => all.indexOf(document.activeElement)")
        assert tiles.nth(below).bounding_box()["x"] == tiles.first.bounding_box()["x"] and below > 1
        page.keyboard.press("f")
        expect(person["#grid .heart"].nth(below)).to_have_attribute("aria-pressed", "true")
        page.keyboard.press("Home")
        page.keyboard.press("Delete")
        expect(tiles).to_have_count(32)
        expect(tiles.first).to_be_focused()
        page.keyboard.press("Enter")
        window = person["dialog.viewer"]
        expect(window).to_contain_text("Seed")
        shown = window.get_attribute("data-image")
        page.keyboard.press("ArrowRight")
        expect(window).not_to_have_attribute("data-image", shown)
        with page.expect_download() as saved:
            window.get_by_role("button", name="Download").click()
        assert re.fullmatch(r"a-red-circle-\d+\.png", saved.value.suggested_filename)
        assert Image.open(saved.value.path()).size == (64, 64)
        page.keyboard.press("Escape")
        expect(window).to_have_count(0)

        person["#only"].click()
        expect(tiles).to_have_count(1)
        person["#every"].click()
        expect(tiles).to_have_count(30)
        person["#choose"].click()
        for k in (0, 3, 4):
            tiles.nth(k).click()
        with page.expect_download() as saved:
            person["#zip"].click()
        assert len(zipfile.ZipFile(saved.value.path()).namelist()) == 3
        person["#chosen"].get_by_role("button", name="Delete").click()
        expect(tiles).to_have_count(27)
        assert len(server.desk.pictures(limit=100)[0]) == 29 and not person.faults


def test_a_dropped_picture_gives_its_settings_back(browser, tmp_path):
    settings = {"prompt": "một hình tròn <b>đỏ</b>", "seed": 77, "steps": 9, "guidance": 3.5, "size": 128}
    with Server(tmp_path) as server:
        person = Person(browser, server)
        person.drop(picture(settings=settings))
        window = person["dialog.viewer"]
        expect(window).to_contain_text(settings["prompt"])
        window.get_by_role("button", name="Use seed").click()
        expect(person["#field-seed"]).to_have_value("77")
        expect(person["#field-prompt"]).to_have_value("")
        person.drop(picture(settings=settings))
        window.get_by_role("button", name="Use prompt").click()
        expect(person["#field-prompt"]).to_have_value(settings["prompt"])
        expect(person["#field-steps"]).to_have_value("")
        person.drop(picture(settings=settings))
        window.get_by_role("button", name="Use all").click()
        expect(person["#field-steps"]).to_have_value("9")
        with person.page.expect_response("**/api/jobs"):
            person["#draw"].click()
        assert server.orders()[0].request == settings
        person.drop(picture())
        expect(window).to_contain_text("no settings")
        window.get_by_role("button", name="Variations").click()
        expect(person["#tool"]).to_have_value("variation")
        person.drop(b"no picture at all", name="words.png")
        expect(person["#notice[role=alert] #notice-words"]).to_have_text(re.compile("picture"))
        taken = """type => {
            const dataTransfer = new DataTransfer();
            dataTransfer.setData(type, "{}");
            const event = new DragEvent("dragover", { dataTransfer, bubbles: true, cancelable: true });
            return !document.querySelector("textarea").dispatchEvent(event);
        }"""
        kinds = ("application/x-tranh-image", "text/plain")  # text is dragged into fields as anywhere
        assert [person.page.evaluate(taken, kind) for kind in kinds] == [True, False]


def test_a_picture_is_varied_and_tells_where_it_is_from(browser, tmp_path):
    with Server(tmp_path) as server:
        person = Person(browser, server)
        person.drawn("a red circle")
        person["#grid .tile"].click()
        window, check = person["dialog.viewer"], person["dialog"].get_by_role("button", name="Where is it from?")
        check.click()
        expect(window.locator(".verdict")).to_contain_text("nothing")  # the desk of these tests marks no files
        person["[data-send=variation]"].click()
        person["#draw"].click()
        expect(person["#grid .tile"]).to_have_count(2)
        drawn, made = server.desk.pictures()[0][1], server.orders()[0]
        assert made.tool == "variation" and made.request["image"] == drawn.sha256
        person["#grid .tile"].first.click()
        expect(window.locator("dd").filter(has_text="Variations")).to_be_visible()
        expect(window.locator("img.large")).to_have_js_property("naturalWidth", 64)
        person.page.keyboard.press("Escape")

        person.drop(marks.marked(flat(90), {"prompt": "a red circle"}, marks.keys(tmp_path / "keys"), watermark=False))
        expect(window.locator("img.large")).to_have_js_property("naturalWidth", 32)
        check.click()
        expect(window.locator(".verdict")).to_contain_text("a model made")
        expect(window.locator(".mark-found").first).to_contain_text("C2PA")
        person.page.keyboard.press("Escape")
        person.drop(picture(32, 32), on="[data-slot=image]")
        expect(person["[data-slot=image] img"]).to_have_js_property("naturalWidth", 32)
        expect(person["dialog"]).to_have_count(0)
        assert not person.faults


def test_a_painted_mask_reaches_the_server(browser, tmp_path):
    with Server(tmp_path) as server:
        person = Person(browser, server)
        page = person.page
        made = person.drawn("a red circle")
        seed = server.orders()[0].request["seed"]
        person["#grid .tile"].click()
        person["[data-send=inpaint]"].click()
        expect(person["#field-prompt"]).to_have_value("a red circle")  # prompt and seed go along
        expect(person["#field-seed"]).to_have_value(str(seed))
        expect(person["#lock"]).to_have_attribute("aria-pressed", "true")

        def opened():
            page.get_by_role("button", name="Paint the mask").click()
            expect(person[".sheet img"]).to_have_js_property("complete", True)
            return person[".sheet canvas"].bounding_box()

        def spot(box, point):
            return [box[k] + p * box[side] / 64 for k, p, side in zip("xy", point, ("width", "height"))]

        def drag(box, *points):
            page.mouse.move(*spot(box, points[0]))
            page.mouse.down()
            for point in points[1:]:
                page.mouse.move(*spot(box, point), steps=2)
            page.mouse.up()

        def sent():
            with page.expect_response("**/api/jobs"):
                person["#draw"].click()
            order = server.orders()[0]
            mask = np.asarray(server.desk.picture_in(order.request["mask"]).convert("L"))
            assert mask.shape == (64, 64) and set(np.unique(mask)) <= {0, 255}
            return mask > 0

        y, x = np.mgrid[:64, :64] + 0.5
        box = opened()
        expect(person["dialog .strong"]).to_be_disabled()
        person["#brush"].fill("8")
        drag(box, (10, 20), (50, 20))
        person["dialog .strong"].click()
        far = np.hypot(np.clip(x, 10, 50) - x, y - 20)  # from the stroke
        mask = sent()
        assert mask[far < 3.2].all() and not mask[far > 4.8].any()
        assert server.orders()[0].tool == "inpaint"
        assert (
            server.orders()[0].request["image"]
            == server.desk.picture(server.desk.job(made["id"]).pictures[0].id).sha256
        )

        box = opened()  # the mask is still there, and can be worked on
        page.get_by_role("button", name="Fill a box").click()
        drag(box, (8, 32), (24, 48))
        page.get_by_role("button", name="Eraser").click()
        drag(box, (10, 20), (30, 20), (50, 20))
        page.get_by_role("button", name="Invert").click()
        page.get_by_role("button", name="Undo").click()
        page.get_by_role("button", name="Undo").click()
        page.get_by_role("button", name="Redo").click()
        page.get_by_role("button", name="Invert").click()
        person["dialog .strong"].click()
        hole = (x > 8) & (x < 24) & (y > 32) & (y < 48)
        mask = ~sent()
        assert mask[hole].all() and mask[~hole & (far > 5)].sum() == 0
        assert mask[far < 3.2].sum() < 8  # the eraser goes where the brush went

        box = opened()
        page.mouse.move(*spot(box, (20, 20)))
        page.mouse.down()
        page.keyboard.press("Control+z")
        page.mouse.move(*spot(box, (32, 32)), steps=2)
        page.mouse.up()
        page.get_by_role("button", name="Clear").click()
        person[".sheet canvas"].focus()
        person["#brush"].fill("4")
        undone = ["Control+z", "Shift+ArrowDown", " ", "i", "Shift+ArrowUp", "Control+z", "Control+z"]
        for key in [" ", *["Shift+ArrowRight"] * 2, " ", "Shift+ArrowDown", " ", *undone]:
            person[".sheet canvas"].press(key)  # whatever is done between lifts the brush
        person[".sheet canvas"].press("Control+Enter")
        mask = sent()  # from the middle, 16 to the right
        assert mask[32, 34:46].all() and not mask[45:].any() and mask.sum() < 16 * 4 + 40

        before = server.orders()[0].request
        person["#tool"].select_option("generate")
        person["#dice"].click()
        page.reload()
        person["#grid .tile"].first.click()
        page.get_by_role("button", name="Use all").click()
        for slot in ("image", "mask"):
            expect(person[f"[data-slot={slot}] img"]).to_be_visible()
        sent()
        assert server.orders()[0].request == before  # what it was made of comes back too
        assert not person.faults


def test_every_tool_has_a_form_whose_order_is_taken(browser, tmp_path):
    with Server(tmp_path) as server:
        person = Person(browser, server)
        person.drawn("a red circle", count=2)
        person["#field-count"].fill("1")
        person["#more > summary"].click()
        given = {"name": "a.png", "mimeType": "image/png", "buffer": picture()}

        def history(slot):
            person[f"[data-slot={slot}]"].get_by_role("button", name="From the history").click()
            person["dialog .tile"].first.click()
            expect(person["dialog"]).to_have_count(0)

        def ordered():
            with person.page.expect_response("**/api/jobs") as taken:
                person["#draw"].click()
            assert taken.value.status == 202, taken.value.text()
            return server.orders()[0]

        person["#tool"].select_option("interpolate")
        history("image")
        person["[data-slot=other] input"].set_input_files(given)
        expect(person["[data-slot=other] img"]).to_be_visible()
        offered = person["#tool option"].evaluate_all("all => all.map(one => one.value)")
        assert set(offered) == set(TOOLS)
        for name, tool in TOOLS.items():
            person["#tool"].select_option(name)
            assert person["[data-field]"].count() == len(tool.fields)
            if name == "inpaint":
                person.page.get_by_role("button", name="Paint the mask").click()
                person["#mask-file"].set_input_files(given | {"buffer": b"no picture"})
                expect(person["dialog .wrong"]).to_contain_text("no picture")
                person["#mask-file"].set_input_files(given)
                person["dialog .strong"].click()
            if name == "animate":
                person[".keys textarea"].first.fill("a red circle")
                person.page.get_by_role("button", name="A picture").click()
                person["dialog .tile"].first.click()
            if name == "outpaint":
                person.page.get_by_label("Left").fill("0.5")
            if name == "generate":
                person["#field-prompt"].fill("a red circle")
            if person["#field-frames"].count():
                person["#field-frames"].fill("2")
            order = ordered()
            assert order.tool == name
            if name == "inpaint":  # the right half of the file is lighter
                mask = np.asarray(server.desk.picture_in(order.request["mask"]).convert("L"))
                assert not mask[:, :31].any() and mask[:, 33:].all()
            elif name == "outpaint":
                assert order.request["extend"] == [0.5, 0.25, 0.25, 0.25]
            elif name == "interpolate":
                assert len({order.request["image"], order.request["other"]}) == 2
            elif name == "animate":
                first, second = order.request["keys"]
                assert first == "a red circle" and set(second) == {"image"}
        person["#tool"].select_option("fill")
        box = person[".plan"].bounding_box()
        person.page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 0.5 * box["height"])
        person.page.mouse.down()
        person.page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 0.9 * box["height"], steps=3)
        person.page.mouse.up()
        assert np.allclose(ordered().request["box"], [0.25, 0.5, 0.75, 0.9], atol=0.03)
        person["#tool"].select_option("generate")
        person.page.get_by_role("button", name="Add a part").click()
        person[".region > input"].fill("a square")
        person["#field-sampler"].select_option(label="euler")
        person["#field-expand"].check()
        person["#field-seeds"].fill("3, 4 5")
        person["#field-count"].fill("2")
        told = ordered().request
        assert told["regions"] == [{"prompt": "a square", "box": [0, 0, 0.5, 0.5]}]
        assert (told["sampler"], told["expand"], told["seeds"]) == ("euler", True, [3, 4, 5])
        assert not {"seed", "count"} & told.keys()  # the seeds say both
        person.page.get_by_role("button", name="Careful").click()
        expect(person["#field-steps"]).to_have_value("8")
        assert not person.faults


def test_animations_are_shown_as_such(browser, tmp_path):
    with Server(tmp_path) as server:
        person = Person(browser, server)
        person.drawn("a red circle")
        person["#tool"].select_option("motion")
        person.drawn("a red square", frames=3)
        tiles = person["#grid .tile"]
        for _ in range(2):
            expect(tiles).to_have_count(2)
            expect(tiles.first).to_contain_text("moving")
            person.page.reload()
        tiles.first.click()
        screen, play = person[".screen"], person["[data-film=play]"]
        expect(play).to_have_attribute("aria-pressed", "true")
        expect(screen.locator("input")).to_have_attribute("max", "2")
        play.click()
        expect(play).to_have_attribute("aria-pressed", "false")
        colours = []
        for frame in range(3):
            screen.locator("input").fill(str(frame))
            colours.append(screen.locator("canvas").evaluate("canvas => canvas.toDataURL()"))
        assert len(set(colours)) == 3
        with person.page.expect_download() as saved:
            person["dialog"].get_by_role("button", name="Download").click()
        assert len(zipfile.ZipFile(saved.value.path()).namelist()) == 3
        person["dialog"].get_by_role("button", name="Delete").click()
        expect(person["dialog"].locator(".screen")).to_have_count(0)
        person.page.keyboard.press("Escape")
        expect(tiles).to_have_count(1)
        assert len(server.desk.pictures()[0]) == 1 and not person.faults


def test_two_pictures_are_compared(browser, tmp_path):
    with Server(tmp_path) as server:
        person = Person(browser, server)
        person.drawn("a red circle", count=2)
        person["#choose"].click()
        person["#grid .tile"].nth(0).click()
        expect(person["#compare"]).to_be_disabled()
        person["#grid .tile"].nth(1).click()
        person["#compare"].click()
        stage = person[".comparing"]
        box = stage.bounding_box()
        slider = person.page.get_by_role("slider", name="left picture")
        expect(slider).to_be_focused()
        person.page.mouse.click(box["x"] + 0.2 * box["width"], box["y"] + 0.5 * box["height"])
        share = float(slider.input_value())
        assert abs(share - 20) < 3
        person.page.keyboard.press("ArrowRight")
        assert float(slider.input_value()) == share + 0.5
        clip = stage.locator("img").first.evaluate("image => getComputedStyle(image).clipPath")
        assert re.search(r"[\d.]+", clip.split("calc")[-1]) and clip != "none"
        person.page.keyboard.press("Escape")
        expect(person["dialog"]).to_have_count(0)
        assert not person.faults


def test_languages_look_and_names(browser, tmp_path):
    with Server(tmp_path) as server:
        person = Person(browser, server, "vi", color_scheme="dark")
        page = person.page
        expect(person["html"]).to_have_attribute("lang", "vi")
        expect(person["#draw"]).to_have_text("Vẽ")
        expect(person["#field-prompt"]).to_have_attribute("placeholder", "Bạn muốn thấy gì?")
        expect(person["#theme"]).to_have_attribute("aria-pressed", "true")
        person.drawn("một hình tròn đỏ")
        page.get_by_role("button", name="English").click()
        expect(person["#draw"]).to_have_text("Draw")
        expect(person["#tool option"].first).to_have_text("Draw")
        expect(person["#field-prompt"]).to_have_attribute("placeholder", "What do you want to see?")
        person["#theme"].click()
        page.reload()
        expect(person["html"]).to_have_attribute("data-theme", "light")
        expect(person["#draw"]).to_have_text("Draw")
        expect(person["html"]).to_have_attribute("lang", "en")
        assert page.evaluate("getComputedStyle(document.body).colorScheme") == "light"
        person["#more > summary"].click()
        person["#tool"].select_option("inpaint")
        person["#grid .tile"].click()
        assert not nameless(page)
        person["[data-send=inpaint]"].click()
        page.get_by_role("button", name="Paint the mask").click()
        assert not nameless(page)
        assert not re.search(r"[ăâđêôơưạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữự]", page.inner_text("dialog"))
        assert not person.faults


def nameless(page):
    """Controls that a screen reader could not name."""
    roles = "button|textbox|combobox|slider|checkbox|img|link|spinbutton|progressbar|dialog"
    told = page.locator("body").aria_snapshot()
    return [line for line in told.splitlines() if re.fullmatch(rf"\s*- ({roles})( \[.*\])?:?", line)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_small_screens_and_can_be_read(browser, tmp_path, scheme):
    with Server(tmp_path) as server:
        person = Person(browser, server, "vi", color_scheme=scheme, viewport={"width": 390, "height": 844})
        person.drawn("một hình tròn đỏ với một câu rất dài " * 4)
        person.draw("fail")
        person[".job button"].first.wait_for()
        person["#more > summary"].click()
        person["#tool"].select_option("outpaint")
        for width in (320, 390):
            person.page.set_viewport_size({"width": width, "height": 844})
            assert person.page.evaluate("document.documentElement.scrollWidth") <= width
        read = ("#draw", "#what", "#more > summary", ".chip >> nth=0", "#only", ".job .state", ".job button >> nth=0",
                ".field label >> nth=0", "#languages button >> nth=0")  # fmt: skip
        for selector in read:
            assert contrast(person[selector].first) >= 4.5, selector
        person["#grid .tile"].click()
        for selector in ("dialog dt >> nth=0", "dialog .strong", "dialog h3 >> nth=0"):
            assert contrast(person[selector].first) >= 4.5, selector
        assert person["dialog"].evaluate("node => node.scrollWidth <= node.clientWidth")
        assert not person.faults


def contrast(locator):
    """WCAG's ratio of text and the ground behind it."""
    colours = locator.evaluate(
        """node => {
            let ground = node;
            while (getComputedStyle(ground).backgroundColor === "rgba(0, 0, 0, 0)") ground = ground.parentElement;
            return [getComputedStyle(node).color, getComputedStyle(ground).backgroundColor];
        }"""
    )
    light = []
    for colour in colours:
        parts = np.array([float(x) for x in re.findall(r"[\d.]+", colour)[:3]]) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        light.append(linear @ [0.2126, 0.7152, 0.0722] + 0.05)
    return max(light) / min(light)


def test_words_are_there_in_both_languages():
    from importlib.resources import files

    folder = files("tranh.serve") / "studio"
    words = {code: json.loads((folder / "i18n" / f"{code}.json").read_text("utf-8")) for code in ("en", "vi")}
    assert words["en"].keys() == words["vi"].keys()
    holes = {key: [set(re.findall(r"\{\w+\}", words[code][key])) for code in words] for key in words["en"]}
    assert not [key for key, (en, vi) in holes.items() if en != vi]
    code = "\n".join(one.read_text("utf-8") for one in folder.iterdir() if one.name.endswith((".js", ".html")))
    used = set(itertools.chain(re.findall(r'(?:text|label|hint|placeholder): "([\w.-]+)"', code),
                               re.findall(r'data-(?:text|label|hint)="([\w.-]+)"', code),
                               re.findall(r'(?:say|notice|button|announce)\("([\w.-]+)"', code)))  # fmt: skip
    assert used > {"lost", "again"} and not used - words["en"].keys()
    fields = [field for tool in TOOLS.values() for field in tool.fields]
    choices = {f"choice.{one}" for field in fields for one in field.choices if isinstance(one, str)}
    named = choices | {f"tool.{name}" for name in TOOLS} | {f"field.{field.name}" for field in fields}
    assert not named - words["en"].keys()


def test_all_modules_are_fetched_at_once():
    from importlib.resources import files

    folder = files("tranh.serve") / "studio"
    told = re.findall(r'modulepreload" href="studio/([\w.]+)"', (folder / "index.html").read_text("utf-8"))
    assert {*told, "app.js"} == {one.name for one in folder.iterdir() if one.name.endswith(".js")}
