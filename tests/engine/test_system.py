import json
import sys
import types

import engine_toys as toys
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tranh.engine import find, system
from tranh.engine.contract import figures_of
from tranh.engine.rundir import RunDir
from tranh.engine.system import dequantize, export_system, load_system, quantize
from tranh.engine.train import train
from tranh.files import sha256, write_tensors
from tranh.types import TranhError

ASSEMBLER = "tranh.recipes.toy_for_tests:assemble"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run, stage = RunDir(tmp_path_factory.mktemp("run")), toys.stage(steps=3, model={"width": 32})
    list(train(stage, find.build(stage, toys.Toy), toys.Source(), run))
    return run


@pytest.fixture(autouse=True)
def recipe(monkeypatch):
    package = sys.modules.get("tranh.recipes") or types.ModuleType("tranh.recipes")
    module = types.ModuleType("tranh.recipes.toy_for_tests")
    exec(
        "import os\nfrom os import getcwd\ndef assemble(parts, assets, card): return parts, assets, card",
        module.__dict__,
    )
    monkeypatch.setitem(sys.modules, "tranh.recipes", package)
    monkeypatch.setitem(sys.modules, "tranh.recipes.toy_for_tests", module)


@pytest.fixture
def folder(run, tmp_path):
    return export(run, tmp_path / "system")


def export(run, path, dtype="bf16", assembler=ASSEMBLER):
    assets = {"tokenizer.json": b'{"words": []}'}
    card = {"name": "toy", "licence": "MIT"}
    return export_system({"toy": run}, card, assets, path, assembler=assembler, dtype=dtype, kinds={"toy": toys.Toy})


def load(folder):
    return load_system(folder, kinds={"toy": toys.Toy})


@pytest.mark.parametrize(("dtype", "tolerance"), [("fp32", 0.0), ("fp16", 1e-3), ("bf16", 8e-3), ("int8", 8e-3)])
def test_round_trip(run, tmp_path, dtype, tolerance):
    folder = export(run, tmp_path / "s", dtype)
    assert sorted(p.name for p in folder.rglob("*") if p.is_file()) == [
        "system.json",
        "tokenizer.json",
        "toy.safetensors",
    ]
    parts, assets, card = load(folder)
    assert assets == {"tokenizer.json": b'{"words": []}'} and card == {"name": "toy", "licence": "MIT"}
    from tranh.engine.frozen import load as frozen

    original, again = frozen(run, toys.Toy).family, parts["toy"]
    assert not again.training and not any(p.requires_grad for p in again.parameters())
    for (name, a), b in zip(original.state_dict().items(), again.state_dict().values(), strict=True):
        assert a.dtype == b.dtype, name
        assert (a.double() - b.double()).abs().max() <= tolerance * a.abs().max(), name
    assert torch.equal(original.mean, again.mean) and torch.equal(original.norm.running_var, again.norm.running_var)
    batch = toys.make_batch(0, 8)
    a, b = figures_of(original, batch)["train.loss"], figures_of(again, batch)["train.loss"]
    assert a == b if dtype == "fp32" else abs(a - b) < 0.01


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 1000), st.sampled_from([0.0, 1e-30, 1e-3, 1.0, 1e4]))
def test_int8_is_off_by_half_a_step(rows, columns, seed, size):
    weight = size * torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    q, scale = quantize(weight)
    back = dequantize({"w": q, "w#scale": scale})["w"]
    assert q.dtype == torch.int8 and scale.shape == (rows,)
    assert ((back - weight).abs() <= 0.501 * scale[:, None]).all()


def test_export_refuses(run, folder, tmp_path):
    with pytest.raises(TranhError, match="not empty"):
        export(run, folder)
    with pytest.raises(TranhError, match="dtype 'int4'"):
        export(run, tmp_path / "a", "int4")
    with pytest.raises(TranhError, match="allowed are functions in"):
        export(run, tmp_path / "b", assembler="os:system")
    with pytest.raises(TranhError, match="plain file names"):
        export_system({}, {}, {"../x": b""}, tmp_path / "c", assembler=ASSEMBLER)


def change(folder, path, value):
    """Set a value in system.json; keys are joined by dots."""
    file = folder / "system.json"
    content = json.loads(file.read_text())
    *way, last = path.split("/")
    place = content
    for key in way:
        place = place[key]
    place[last] = value
    file.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("assembler", "os:system", "allowed are functions in tranh.recipes"),
        ("assembler", "tranh.recipes.toy_for_tests:getcwd", "defines no function getcwd"),
        ("assembler", "tranh.recipes.toy_for_tests:os.system", "allowed are functions"),
        ("assembler", "tranh.recipes.toy_for_tests:missing", "defines no function missing"),
        ("assembler", "tranh.recipes_evil:assemble", "allowed are functions"),
        ("assembler", "tranh.recipes..toy_for_tests:assemble", "allowed are functions"),
        ("assembler", 7, "allowed are functions"),
        ("extra", 1, "unknown keys ['extra']"),
        ("format", 2, "not of format 1"),
        ("parts", [], "must be objects"),
        ("parts/toy", 3, "must be an object"),
        ("parts/toy/code", "x", "unknown keys ['code']"),
        ("parts/toy/file", "../../etc/passwd", "it must be parts/toy.safetensors"),
        ("parts/toy/file", "/etc/passwd", "it must be parts/toy.safetensors"),
        ("parts/toy/config", 3, "wrong type"),
        ("parts/toy/sha256", "0" * 64, "hash differs"),
        ("parts/toy/family", "../../os", "a family is called"),
        ("parts/toy/config", {"__class__": 1}, "cannot be built"),
        ("parts/toy/config", {"width": 8}, "does not fit"),
        ("parts/toy/dtype", "pickle", "has dtype"),
        ("parts/../evil", {}, "a part is called"),
        ("assets/..%2f", "0", "plain file names"),
        ("assets/tokenizer.json", "0" * 64, "hash differs"),
        ("assets/missing.json", "0" * 64, "is missing"),
        ("assets/system.json", "0" * 64, "plain file names"),
    ],
)
def test_malicious_description_is_refused(folder, path, value, message):
    if path == "parts/../evil":
        content = json.loads((folder / "system.json").read_text())
        content["parts"]["../evil"] = content["parts"]["toy"]
        (folder / "system.json").write_text(json.dumps(content))
    else:
        change(folder, path, value)
    with pytest.raises(TranhError) as found:
        load(folder)
    assert message in str(found.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x80\x04\x95 pickled", "a pickle"),
        (b"PK\x03\x04 zipped by torch.save", "a pickle"),
        ((2**40).to_bytes(8, "little") + b"{}", "announces a header"),
        ((10).to_bytes(8, "little") + b"{", "announces a header"),
        (b"", "not a safetensors file"),
        ((2).to_bytes(8, "little") + b"{]", "not a whole safetensors file"),
    ],
)
def test_malicious_weights_are_refused(folder, content, message):
    file = folder / "parts/toy.safetensors"
    file.write_bytes(content)
    change(folder, "parts/toy/sha256", sha256(file))
    with pytest.raises(TranhError, match=message):
        load(folder)


def test_bad_scale_is_refused(folder):
    file = folder / "parts/toy.safetensors"
    write_tensors(file, {"first.weight": torch.zeros(2, 2), "first.weight#scale": torch.zeros(3)})
    change(folder, "parts/toy/sha256", sha256(file))
    with pytest.raises(TranhError, match="the file is damaged"):
        load(folder)


def test_link_out_of_the_folder_is_refused(folder, tmp_path):
    (tmp_path / "secret").write_bytes(b"secret")
    (folder / "link.json").symlink_to(tmp_path / "secret")
    change(folder, "assets/link.json", sha256(tmp_path / "secret"))
    with pytest.raises(TranhError, match="leads outside"):
        load(folder)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "null", '{"format": NaN}'])
def test_broken_json_is_refused(folder, text):
    (folder / "system.json").write_text(text)
    with pytest.raises(TranhError):
        load(folder)


def test_huge_json_is_refused(folder):
    (folder / "system.json").write_bytes(b" " * (2**20 + 1))
    with pytest.raises(TranhError, match="at most"):
        load(folder)


def test_loading_leaves_the_random_state_alone(folder):
    state = torch.random.get_rng_state()
    load(folder)
    assert torch.equal(state, torch.random.get_rng_state()) and system.FORMAT == 1


def test_all_parts_in_one_file(run, tmp_path):
    kinds = {"toy": toys.Toy, "other": toys.Toy}
    apart = export_system(dict.fromkeys(kinds, run), {}, {}, tmp_path / "a", assembler=ASSEMBLER, kinds=kinds)
    together = export_system(
        dict.fromkeys(kinds, run), {}, {}, tmp_path / "t", assembler=ASSEMBLER, kinds=kinds, together=True, dtype="int8"
    )
    assert [p.name for p in together.rglob("*.safetensors")] == ["parts.safetensors"]
    found, _, _ = load_system(together, kinds=kinds)
    asked, _, _ = load_system(apart, kinds=kinds)
    assert found.keys() == kinds.keys()
    for name in kinds:
        for key, tensor in asked[name].state_dict().items():
            assert torch.allclose(tensor.float(), found[name].state_dict()[key].float(), atol=0.02), key
    stage = toys.stage(steps=1, model={"width": 32}, init=f"{together / 'parts.safetensors'}#other")
    begun = RunDir(tmp_path / "begun")
    list(train(stage, find.build(stage, toys.Toy), toys.Source(), begun))
    with pytest.raises(TranhError, match="no run with weights"):
        wrong = toys.stage(steps=1, model={"width": 32}, init=str(together / "parts.safetensors"))
        list(train(wrong, find.build(wrong, toys.Toy), toys.Source(), RunDir(tmp_path / "wrong")))
