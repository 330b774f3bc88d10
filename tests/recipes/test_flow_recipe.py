"""The recipe of the flow: its stages for Scenes and for own pictures."""

import pytest

from tranh.engine import find
from tranh.recipes.flow import recipe


@pytest.mark.parametrize(
    ("data", "size"),
    [(None, 64), ({"source": "scenes", "levels": {"two": 1.0}}, 64), ({"source": "digits"}, 8),
     ({"source": "my-pictures", "size": 32}, 32)],
)  # fmt: skip
def test_a_painter_comes_first_and_a_reader_where_there_are_labels(data, size):
    made = recipe(data)
    words = ["reader"] if data is None or data["source"] == "scenes" else []
    assert list(made.stages) == [*words, "painter", "flow"] and made.parts == ("painter", "flow")
    assert sum(stage.share for stage in made.stages.values()) == pytest.approx(1.0 if words else 0.9)
    for stage in made.stages.values():
        assert stage.data == {"size": size} | (data or {"source": "scenes", "levels": {"one": 1.0}})
        find.family(stage.family)
    painter, flow = made.stages["painter"], made.stages["flow"]
    assert painter.init == flow.init == next(iter(words), None)
    assert flow.parents == {"painter": "painter"} and painter.family == "vae"


@pytest.mark.parametrize("size", [8, 28, 32, 64, 128])
def test_a_patch_of_the_flow_is_one_of_the_painters(size):
    told = recipe({"source": "my-pictures", "size": size}).stages
    flow = told["flow"].model
    assert flow["patch_size"] << flow["halvings"] == told["painter"].model["patch"]
    find.family("flow")(vocab=50, max_len=16, **flow)


def test_the_readers_words_fit():
    stages = recipe().stages
    sizes = dict(vocab=50, max_len=16)
    reader = find.family("reader")(**sizes, **stages["reader"].model)
    flow = find.family("flow")(**sizes, **stages["flow"].model)
    lent, own = reader.state_dict(), flow.state_dict()
    words = [name for name in own if name.startswith(("text.", "questions."))]
    assert len(words) > 10 and all(lent[name].shape == own[name].shape for name in words)
