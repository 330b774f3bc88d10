"""The verb that puts a server under load: ``stress``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tranh.cli.base import app, words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tranh.serve.stress import Load


@app.command()
def stress(
    url: Annotated[str, typer.Option(help="Where the server is.")] = "http://127.0.0.1:8000",
    rate: Annotated[float, typer.Option(help="Requests a second, on average.")] = 1.0,
    rates: Annotated[str, typer.Option(help="Several rates, one after another, with commas.", show_default=False)] = "",
    find: Annotated[
        bool, typer.Option("--find", help="Look for the highest rate it keeps up with, from --rate on.")
    ] = False,
    seconds: Annotated[float, typer.Option(help="How long each rate is measured.")] = 60.0,
    warm: Annotated[float, typer.Option(min=0.0, help="Seconds before that which do not count.")] = 10.0,
    mix: Annotated[
        str, typer.Option(help="Kinds of requests and their shares: STEPS:SHARE or STEPS@GUIDANCE:SHARE.")
    ] = "4:0.5,25:0.5",
    api: Annotated[str, typer.Option(help="What the server speaks: native or openai.")] = "native",
    key: Annotated[
        str, typer.Option(envvar="TRANH_API_KEY", help="Its API key.", show_default=False, show_envvar=True)
    ] = "",
    model: Annotated[str, typer.Option(help="The model to ask for.", show_default=False)] = "",
    size: Annotated[str, typer.Option(help="Side of the pictures in pixels.", show_default=False)] = "",
    prompts: Annotated[
        Path | None,
        typer.Option(metavar="FILE", exists=True, dir_okay=False, help="One prompt a line, in the place of Scenes."),
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds after which a request is given up.")] = 60.0,
    seed: Annotated[int, typer.Option(min=0, help="Of arrivals, kinds, prompts and pictures.")] = 0,
    out: Annotated[Path, typer.Option("--out", "-o", help="The page; the requests lie beside it as JSON.")] = Path(
        "stress.html"
    ),
) -> None:
    """Put a server under load and say how it stands it.

    Requests come as from many people who do not know of each other (Poisson), with prompts that are never repeated, and
    none waits for another's answer. Latency counts from the time a request was due. Ctrl-C ends it with what was had.

    \b
    tranh stress --rate 2 --mix 4:0.5,25:0.5
    tranh stress --rates 0.5,1,2,4 --seconds 120 -o load.html
    tranh stress --find
    tranh stress --url http://127.0.0.1:9000 --api openai --size 64
    """
    from tranh.engine.picture import check_folder
    from tranh.engine.progress import show
    from tranh.engine.stop import Stop
    from tranh.serve import stress_page, stress_report
    from tranh.serve.ask import Address
    from tranh.serve.stress import run
    from tranh.serve.stress_apis import Target
    from tranh.serve.stress_plan import mix_of, plan, read_prompts, scenes
    from tranh.types import TranhError

    check_folder(out)
    kinds = mix_of(mix)
    if find and rates:
        raise TranhError("--find looks for the rate itself: leave --rates out, or --find")
    words_left: Iterable[str] = iter(read_prompts(prompts)) if prompts else scenes(seed)
    target = Target(Address.of(url), api, key, model, size)
    loads: list[Load] = []
    with Stop() as stop:
        for asked in _rates(rates, rate, find, loads):
            planned = plan(asked, warm + seconds, kinds, words_left, seed)
            timing = {"rate": asked, "seconds": seconds, "warm": warm, "timeout": timeout}
            for event in show(run(target, planned, **timing, stop=lambda: stop.asked)):
                if event.result is not None:
                    loads.append(event.result)
            if stop.asked:
                break
    settings = {
        "url": url, "api": api, "model": model, "size": size, "mix": mix, "seed": seed, "seconds": seconds,
        "warm": warm, "timeout": timeout, "prompts": str(prompts or "Scenes"),
    }  # fmt: skip
    typer.echo(stress_report.as_text(loads))
    for path in stress_page.write(loads, settings, out):
        typer.echo(path)


def _rates(rates: str, rate: float, find: bool, loads: list[Load]) -> Iterator[float]:
    """The rates to try; what was had of the earlier ones is in ``loads`` by the time the next is asked for."""
    from tranh.serve.stress_report import following
    from tranh.types import TranhError

    if find:
        while (asked := following(loads, rate)) is not None:
            yield asked
        return
    try:
        yield from [float(word) for word in words(rates)] or [rate]
    except ValueError as error:
        raise TranhError(f"--rates is {rates!r}: write numbers with commas, as 0.5,1,2") from error
