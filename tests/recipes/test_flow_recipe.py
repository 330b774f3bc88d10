"""The recipe of the flow: its stages for Scenes and for own pictures."""

import pytest

from tranh.engine import find
from tranh.recipes.flow import recipe


@pytest.mark.parametrize(
    ("data", "stages"),
    [(None, ["reader", "flow"]), ({"source": "scenes", "levels": {"two": 1.0}}, ["reader", "flow"]),
     ({"source": "digits"}, ["flow"]), ({"source": "my-pictures", "size": 32}, ["flow"])],
)  # fmt: skip
def test_a_reader_helps_where_there_are_labels(data, stages):
    made = recipe(data)
    assert list(made.stages) == stages and made.parts == ("flow",)
    assert sum(stage.share for stage in made.stages.values()) == pytest.approx(1.0 if len(stages) == 2 else 0.88)
    for name, stage in made.stages.items():
        labelled = {"patches": 8} if name == "flow" and len(stages) == 2 else {}
        assert stage.data == (data or {"source": "scenes", "levels": {"one": 1.0}}) | labelled
        find.family(stage.family)
    assert made.stages["flow"].init == ("reader" if "reader" in stages else None)


def test_the_readers_words_fit():
    stages = recipe().stages
    sizes = dict(vocab=50, max_len=16)
    reader = find.family("reader")(**sizes, **stages["reader"].model)
    flow = find.family("flow")(**sizes, **stages["flow"].model)
    lent, own = reader.state_dict(), flow.state_dict()
    words = [name for name in own if name.startswith(("text.", "questions."))]
    assert len(words) > 10 and all(lent[name].shape == own[name].shape for name in words)
