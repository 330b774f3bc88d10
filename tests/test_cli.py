"""The command, with systems and recipes that are only pretended: what is parsed, called, printed and refused."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner, Result

import tranh
from tranh import cli
from tranh.data.scenes import world
from tranh.engine.doctor.finding import Diagnosis, Finding
from tranh.engine.picture import read_settings
from tranh.text.lexicon import Lexicon
from tranh.types import Event, Recipe, Request, TranhError

ROOT = Path(__file__).parent.parent
VERBS = (
    "generate", "models", "train", "plan", "doctor", "export", "evaluate", "import-inception", "compare",
    "reconstruct", "anomalies", "augment", "search", "classify", "retrieve", "attention",
    "forward", "likelihood", "rate", "personalise", "subjects", "data", "edit",
)  # fmt: skip
EDIT = (
    "latent", "denoise", "fill", "complete", "inpaint", "outpaint", "img2img", "instruct", "restyle", "upscale",
    "enhance", "animate", "motion", "turn", "variation", "interpolate", "textdiff", "sweep", "reconstruct",
)  # fmt: skip
DATA = ("inspect", "prepare", "doctor", "preview", "recaption", "statistics")
GROUPS = {"data": DATA, "edit": EDIT}


def call(*args: str) -> Result:
    return CliRunner().invoke(cli.app, list(args), prog_name="tranh")


@dataclass
class Fake:
    """A system that draws its seed; everything asked of it is written down."""

    name: str = "toy"
    hash: str = "abc123"
    asked: list[Request] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)
    error: BaseException | None = None
    copies: tuple[int, ...] = ()

    def load(self, name: str) -> Fake:
        self.loaded.append(name)
        return self

    def generate_events(self, request: Request) -> Iterator[Event]:
        self.asked.append(request)
        yield Event("draw", 1, 2)
        if self.error:
            raise self.error
        seeds = [k for k in range(request.seed, request.seed + request.count) if k not in self.copies]
        yield Event("draw", 2, 2, result=types.SimpleNamespace(
            images=[Image.new("RGB", (8, 8), (seed % 256, 0, 0)) for seed in seeds],
            notices=["read as 'đỏ'"] if request.prompt == "do" else [],
            settings=[{"prompt": request.prompt, "seed": s, "model": self.name, "hash": self.hash} for s in seeds],
            refused=[f"seed {k} is refused: a near copy of dog.jpg" for k in self.copies],
        ))  # fmt: skip


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Fake:
    fake = Fake()
    monkeypatch.chdir(tmp_path)
    pretend(monkeypatch, "models", load=fake.load, verifier=lambda: "verifier")
    return fake


def pretend(monkeypatch: pytest.MonkeyPatch, name: str, **functions: Any) -> None:
    """Put functions in the place of a module of ``tranh.recipes``, whether it exists or not."""
    import tranh.recipes

    module = types.ModuleType(f"tranh.recipes.{name}")
    vars(module).update(functions)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(tranh.recipes, name, module, raising=False)


# The rule of the first word


@pytest.mark.parametrize(
    ("line", "prompt"),
    [
        ("'a red circle'", "a red circle"),
        ("star", "star"),
        ("generate train", "train"),
        ("generate 'a red circle'", "a red circle"),
        ("'a red circle' -o x.png --seed 3", "a red circle"),
        ("-o x.png 'a red circle' --seed 3", "a red circle"),
        ("--seed 3 'a red circle'", "a red circle"),
        ("--output=x.png -- train", "train"),
        ("-- train", "train"),
        ("-- trian", "trian"),
        ("-- --help", "--help"),
        ("-- -o", "-o"),
        ("a red circle", "a red circle"),
        ("một hình tròn đỏ", "một hình tròn đỏ"),
        ("trian unclip", "trian unclip"),
        ("'training a dog'", "training a dog"),
        ("''", ""),
    ],
)
def test_anything_else_is_a_prompt(system: Fake, line: str, prompt: str) -> None:
    result = call(*shlex.split(line))
    assert result.exit_code == 0, result.output
    assert [request.prompt for request in system.asked] == [prompt]


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("trian", "tranh train"),
        ("Train", "tranh train"),
        ("modles", "tranh models"),
        ("model", "tranh models"),
        ("generat", "tranh generate"),
        ("eval", "tranh evaluate"),
        ("docter", "tranh doctor"),
        ("help", "tranh --help"),
        ("trian -o x.png", "tranh train"),
        ("-o x.png trian", "tranh train"),
        ("--seed 3 train", "tranh train ..."),
    ],
)
def test_a_slip_is_refused_with_what_was_meant(system: Fake, line: str, meant: str) -> None:
    result = call(*line.split())
    assert result.exit_code == 2 and not system.asked
    assert meant in result.stderr and "To draw it" in result.stderr
    assert result.stdout == "" and not list(Path.cwd().iterdir())


def test_no_word_of_the_world_is_a_slip(system: Fake) -> None:
    words = {word for group in world.FACT_GROUPS.values() for value in group for word in value.split("_")}
    for language in ("en", "vi"):
        words |= {w for w in Lexicon.load(language).vocabulary if w.isalpha()}
    group = typer.main.get_command(cli.app)
    refused = []
    for word in sorted(words - {"tranh"}):  # `tranh tranh` is a slip if ever there was one
        try:
            group.make_context("tranh", [word])  # parses the group; the verb is not called
        except Exception as error:
            refused.append((word, str(error)))
    assert not refused


def test_every_verb_is_one() -> None:
    verbs = typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]
    assert tuple(name for name, verb in verbs.items() if not verb.hidden) == VERBS


# generate


def test_options_reach_the_request(system: Fake) -> None:
    result = call(
        "a red circle", "--count", "2", "--seed", "5", "--steps", "9", "--guidance", "2.5", "--size", "128",
        "--model", "my", "--negative", "a dog", "--prior", "autoregressive",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert system.loaded == ["my"]
    assert system.asked == [
        Request(
            "a red circle", negative_prompt="a dog", count=2, seed=5, steps=9, guidance=2.5, size=128,
            prior="autoregressive",
        )
    ]  # fmt: skip


def test_unknown_words_are_allowed_only_when_asked(system: Fake) -> None:
    assert call("a red giraffe").exit_code == call("a red giraffe", "--allow-unknown").exit_code == 0
    assert [request.allow_unknown for request in system.asked] == [False, True]


def test_a_near_copy_is_not_written_and_the_others_keep_their_names(system: Fake) -> None:
    system.copies = (7,)
    result = call("a dog", "--refuse-copies", "--count", "3", "--seed", "6")
    assert result.exit_code == 1 and [request.refuse_copies for request in system.asked] == [True]
    assert result.stdout.split() == ["out-6.png", "out-8.png"] == sorted(os.listdir())
    assert read_settings(Path("out-8.png"))["seed"] == 8
    assert "seed 7 is refused: a near copy of dog.jpg" in result.stderr
    alone = call("a dog", "--refuse-copies", "--seed", "7", "-o", "alone.png")
    assert alone.exit_code == 1 and alone.stdout == "" and not Path("alone.png").exists()


def test_one_picture_with_its_settings(system: Fake) -> None:
    result = call("một hình tròn đỏ", "-o", "tranh.png")
    assert result.stdout == "tranh.png\n" and "draw 2/2" in result.stderr
    assert read_settings(Path("tranh.png"))["prompt"] == "một hình tròn đỏ"
    assert os.listdir() == ["tranh.png"]


@pytest.mark.parametrize(
    ("options", "files"),
    [
        ("", ["out.png"]),
        ("--count 3 --seed 7", ["out-7.png", "out-8.png", "out-9.png"]),
        ("--format webp", ["out.webp"]),
        ("--format jpeg", ["out.jpeg"]),
        ("-o a.jpg --format jpeg", ["a.jpg"]),
        ("-o a --format webp", ["a.webp"]),
        ("-o a.b.webp --count 2", ["a.b-0.webp", "a.b-1.webp"]),
    ],
)
def test_names_of_files(system: Fake, options: str, files: list[str]) -> None:
    result = call("star", *options.split())
    assert result.exit_code == 0, result.output
    assert result.stdout.split() == files == sorted(os.listdir())


def test_notices_go_to_standard_error(system: Fake) -> None:
    result = call("do")
    assert result.stdout == "out.png\n" and "note: read as 'đỏ'" in result.stderr


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["star", "-o", "missing/out.png"], 1, "the folder missing does not exist: make it first"),
        (["star", "-o", "out.gif"], 1, "allowed: .png, .webp, .jpg, .jpeg"),
        (["star", "-o", "."], 1, "is a folder: name a file in it"),
        (["star", "-o", "out.png", "--format", "webp"], 2, "leave one of them out"),
        (["star", "--format", "gif"], 2, "'gif'"),
        (["star", "--count", "0"], 2, "count"),
        (["star", "--seed", "-1"], 2, "seed"),
        (["star", "--sed", "1"], 2, "--seed"),
        (["a star", "a moon"], 2, "2 prompts were given"),
        (["generate"], 2, "PROMPT"),
    ],
)
def test_what_cannot_be_is_refused_before_work(system: Fake, args: list[str], code: int, words: str) -> None:
    result = call(*args)
    assert result.exit_code == code, result.output
    assert words in result.stderr and "Traceback" not in result.stderr
    assert not system.loaded and result.stdout == "" and not os.listdir()


def test_an_error_of_ours_is_said_as_it_is(system: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    system.error = TranhError("'giraffe' is unknown to this model; it knows: circle")
    result = call("giraffe")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == "'giraffe' is unknown to this model; it knows: circle"
    assert result.stdout == "" and not os.listdir()
    monkeypatch.setenv("TRANH_DEBUG", "1")
    assert isinstance(call("giraffe").exception, TranhError)


def test_a_full_disk_is_said_in_a_line(system: Fake) -> None:
    system.error = OSError(28, "No space left on device", "out.png")
    result = call("star")
    assert result.exit_code == 1 and result.stderr.splitlines()[-1] == "out.png: No space left on device"


def test_a_fault_of_the_program_keeps_its_traceback(system: Fake) -> None:
    system.error = ZeroDivisionError("bug")
    assert isinstance(call("star").exception, ZeroDivisionError)


def test_stopping_leaves_nothing(system: Fake) -> None:
    system.error = KeyboardInterrupt()
    result = call("a red star", "--seed", "3")
    assert result.exit_code == 130 and "tranh 'a red star' --seed 3" in result.stderr
    assert not os.listdir()


# The other verbs


def test_models(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [types.SimpleNamespace(name="tranh-1", path=Path("/models/tranh-1"), card={"summary": "small and quick"})]
    pretend(monkeypatch, "models", available=lambda: found)
    assert call("models").stdout == "tranh-1  /models/tranh-1  small and quick\n"
    pretend(monkeypatch, "models", available=list)
    none = call("models")
    assert none.exit_code == 0 and none.stdout == "" and "tranh train" in none.stderr


@pytest.fixture
def recipes(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Pretended recipes; what was asked of them."""
    asked: dict[str, Any] = {"finished": True}

    def configured(name: str, settings: list[str]) -> Recipe:
        if name != "quick":
            raise TranhError(f"no recipe is called {name!r}; there are: quick")
        asked["settings"] = settings
        return Recipe(name, {})

    def train(
        recipe: Recipe, root: Path, minutes: float | None = None, only: str | None = None, force: bool = False
    ) -> Iterator[Event]:
        asked.update(root=root, minutes=minutes, only=only, force=force)
        yield Event("clip", 1, 2)
        yield Event("clip", 2, 2, result=types.SimpleNamespace(finished=asked["finished"]))
        if asked["finished"]:
            yield Event("decoder", 2, 2, result=types.SimpleNamespace(finished=True))

    def export(root: Path, out: Path, dtype: str, card: dict[str, Any], others: Sequence[Path], together: bool) -> Path:
        asked.update(root=root, dtype=dtype, card=card, others=list(others), together=together)
        return out

    pretend(monkeypatch, "settings", configured=configured)
    pretend(monkeypatch, "run", train=train, describe=lambda r, root: f"{root}")
    pretend(monkeypatch, "exported", export=export)
    return asked


def test_train(recipes: dict[str, Any]) -> None:
    result = call("train", "quick", "decoder.batch=8", "lr=1e-3", "--minutes", "5", "--only", "clip", "--force")
    assert result.exit_code == 0, result.output
    assert recipes["force"]
    assert recipes["settings"] == ["decoder.batch=8", "lr=1e-3"]
    assert (recipes["root"], recipes["minutes"], recipes["only"]) == (Path("runs/quick"), 5.0, "clip")
    assert result.stdout == "runs/quick\n" and "decoder 2/2" in result.stderr


def test_train_says_how_to_go_on(recipes: dict[str, Any]) -> None:
    recipes["finished"] = False
    result = call("train", "quick", "lr=1e-3", "--run", "my runs/a")
    assert result.exit_code == 130 and result.stdout == ""
    assert result.stderr.splitlines()[-1].strip() == "tranh train quick lr=1e-3 --run 'my runs/a'"


def test_dry_run_trains_nothing(recipes: dict[str, Any]) -> None:
    result = call("train", "quick", "--dry-run")
    assert result.stdout == "runs/quick\n" and "root" not in recipes


def test_unknown_recipe(recipes: dict[str, Any]) -> None:
    result = call("train", "quik")
    assert result.exit_code == 1 and result.stderr == "no recipe is called 'quik'; there are: quick\n"


def test_export_with_a_card(recipes: dict[str, Any], tmp_path: Path) -> None:
    card = tmp_path / "card.json"
    card.write_text('{"name": "mine", "guidance": 3}')
    assert call("export", "runs/quick", "mine", "--card", str(card)).exit_code == 0
    assert recipes["card"] == {"name": "mine", "guidance": 3}
    result = call("export", "runs/quick", "mine", "--card", str(tmp_path / "none.json"))
    assert result.exit_code == 1 and "none.json" in result.stderr
    result = call("export", "runs/quick", "mine", "--card", str(card), "--to", "diffusers")
    assert result.exit_code == 1 and "--to diffusers" in result.stderr


def test_export_with_others_in_one_file(recipes: dict[str, Any]) -> None:
    told = ["export", "runs/editor", "mine", "--with", "runs/motion", "--with", "runs/depth", "--one-file"]
    assert call(*told).exit_code == 0
    assert recipes["others"] == [Path("runs/motion"), Path("runs/depth")] and recipes["together"]
    assert "leave --with and --one-file out" in call(*told, "--to", "diffusers").stderr


def test_export(recipes: dict[str, Any]) -> None:
    assert call("export", "runs/quick", "mine", "--dtype", "int8").stdout == "mine\n"
    assert (recipes["root"], recipes["dtype"]) == (Path("runs/quick"), "int8")
    assert call("export", "runs/quick", "mine", "--dtype", "int4").exit_code == 2


def test_evaluate(system: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def measure(model: Any, verifier: Any, folder: Path, **options: Any) -> Iterator[Event]:
        asked.update(options, model=model, verifier=verifier, folder=folder)
        (folder / "pictures").mkdir(parents=True)
        (folder / "report.md").write_text("| một | 97 % |", "utf-8")
        yield Event("report", 1, 1, result={})

    pretend(monkeypatch, "evaluate", evaluate=measure)
    said = "--levels 'one, two' --count 10 --languages vi --prior none"
    result = call("evaluate", "models/mine", *shlex.split(said))
    assert result.exit_code == 0, result.output
    assert result.stdout == "| một | 97 % |\nevaluation/mine/report.html\n"
    assert asked["folder"] == Path("evaluation/mine")
    assert (asked["model"], asked["verifier"]) == (system, "verifier") and system.loaded == ["models/mine"]
    assert (asked["levels"], asked["languages"], asked["splits"]) == (("one", "two"), ("vi",), ("test", "unseen"))
    assert (asked["count"], asked["size"], asked["steps"], asked["guidance"]) == (10, 64, None, None)
    assert asked["prior"] == "none"
    system.sizes, system.size, system.parts = (32,), 32, {}
    result = call("evaluate", "models/small", "--languages", "vi")
    assert result.exit_code == 0 and "models/small draws at 32 px; its pictures are brought to 64 px" in result.stderr
    assert (asked["model"].system, asked["model"].own, asked["size"]) == (system, 32, 64)


@pytest.mark.parametrize(
    ("finding", "code", "said"),
    [
        (Finding("caption", True, "0.31 against 0.52"), 0, "ok      caption: 0.31 against 0.52\n"),
        (
            Finding("caption", False, "0.31 against 0.31", "wire the tokens", stage="decoder"),
            1,
            "FAULT   decoder: caption: 0.31 against 0.31\n        remedy: wire the tokens\n",
        ),
        (
            Finding("rate", False, "slow", "raise lr", sure=False),
            0,
            "warning rate: slow\n        remedy: raise lr\n",
        ),
    ],
    ids=["ok", "fault", "warning"],
)
def test_doctor(monkeypatch: pytest.MonkeyPatch, finding: Finding, code: int, said: str) -> None:
    asked = []

    def examine(run: Path) -> Iterator[Event]:
        asked.append(run)
        yield Event("doctor", 1, 1, result=Diagnosis((finding,), ("no curve: too short",)))

    pretend(monkeypatch, "doctor", examine=examine)
    result = call("doctor", "runs/quick/decoder")
    assert (result.exit_code, asked) == (code, [Path("runs/quick/decoder")])
    assert result.stdout == f"{said}?       no curve: too short\n"


def test_preview(tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    result = call("data", "preview", "scenes", "--level", "one", "-o", str(sheet), "--count", "3", "--size", "64")
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{sheet}\n" and read_settings(sheet)["level"] == "one"
    with Image.open(sheet) as image:
        assert image.width > 3 * 64 and image.height > 64 and len(image.getcolors(2**24) or ()) > 50


@pytest.mark.parametrize(("what", "columns"), [("pairs", 6), ("frames", 6), ("depth", 4), ("emblems", 3)])
def test_preview_of_what_else_scenes_gives(tmp_path: Path, what: str, columns: int) -> None:
    sheet = tmp_path / "sheet.png"
    result = call("data", "preview", "scenes", "--what", what, "-o", str(sheet), "--count", "3", "--size", "32")
    assert result.exit_code == 0, result.output
    assert read_settings(sheet)["what"] == what
    with Image.open(sheet) as image:
        assert image.width == columns * (32 + 8) + 8 and len(image.getcolors(2**24) or ()) > 50


def test_preview_of_own_pictures(tmp_path: Path) -> None:
    for name in ("a red ball", "một quả bóng"):
        Image.new("RGB", (50, 40), "red" if "red" in name else "blue").save(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.txt").write_text(name, "utf-8")
    result = call("data", "preview", str(tmp_path), "-o", str(tmp_path / "sheet.png"), "--size", "64")
    assert result.exit_code == 0, result.output
    with Image.open(tmp_path / "sheet.png") as image:
        colours = {colour for _, colour in image.convert("RGB").getcolors(2**24) or ()}
        assert {(255, 0, 0), (0, 0, 255)} <= colours


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["coco"], "coco: there is nothing. Give a folder"),
        (["scenes", "--level", "three"], "there is no level 'three'; allowed: one, two, full"),
        (["scenes", "--split", "dev"], "allowed: train, validation, test, unseen"),
        (["scenes", "--what", "films"], "allowed: pictures, pairs, frames, depth, emblems"),
        (["digits", "--what", "pairs"], "only scenes has pairs; digits has pictures"),
        (["scenes", "-o", "missing/sheet.png"], "does not exist: make it first"),
    ],
)
def test_preview_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: list[str], words: str) -> None:
    monkeypatch.chdir(tmp_path)
    result = call("data", "preview", *args)
    assert result.exit_code == 1 and words in result.stderr and not os.listdir()


# The command as a process


def python(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *args], capture_output=True, text=True, timeout=60)


def test_help_does_not_wait_for_torch() -> None:
    heavy = ("torch", "numpy", "PIL", "accelerate", "matplotlib", "tokenizers")
    code = (
        "import sys\nsys.argv = ['tranh', '--help']\nimport tranh.cli\n"
        "try:\n    tranh.cli.main()\nexcept SystemExit as end:\n    assert end.code == 0\n"
        f"print('heavy:', [name for name in {heavy!r} if name in sys.modules])"
    )
    ran = python("-c", code)
    assert ran.returncode == 0 and ran.stdout.endswith("heavy: []\n"), ran.stdout + ran.stderr
    assert all(f"  {verb}" in ran.stdout for verb in VERBS) and "một hình tròn đỏ" in ran.stdout


def test_importing_the_package_is_quick() -> None:
    assert python("-c", "import sys, tranh; assert 'torch' not in sys.modules").returncode == 0


def test_version_and_module() -> None:
    ran = python("-m", "tranh", "--version")
    assert ran.stdout == f"tranh {tranh.__version__}\n" and ran.returncode == 0


@pytest.mark.parametrize("verb", [(v,) for v in VERBS] + [(g, v) for g, vs in GROUPS.items() for v in vs], ids=" ".join)
def test_every_verb_has_help_with_an_example(verb: tuple[str, ...]) -> None:
    result = call(*verb, "--help")
    assert result.exit_code == 0 and f"Usage: tranh {' '.join(verb)}" in result.stdout
    assert verb in (("data",), ("edit",), ("models",)) or result.stdout.count("  tranh ") >= 1


def test_no_words_at_all_show_the_help() -> None:
    assert "Usage: tranh" in call().output


def test_load_is_the_loader_of_models(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Fake()
    pretend(monkeypatch, "models", load=fake.load)
    assert tranh.load("tranh-1") is fake and fake.loaded == ["tranh-1"]
