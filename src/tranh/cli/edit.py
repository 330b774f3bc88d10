"""Verbs that change pictures, behind the word ``edit``: ``latent``, ``denoise``, ``fill``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tranh.cli.base import edit, last

if TYPE_CHECKING:
    from tranh.recipes.reconstruct import Coder


Model = Annotated[str, typer.Argument(metavar="MODEL", help="An exported folder that encodes and decodes pictures.")]
Picture = Annotated[Path, typer.Argument(metavar="PICTURE", help="The file to begin from.")]
Output = Annotated[Path, typer.Option("--output", "-o", metavar="FILE.png", help="The sheet to write.")]


def _coder(model: str) -> Coder:
    from tranh.recipes import models
    from tranh.recipes.reconstruct import coder

    return coder(models.load(model), Path(model).name)


@edit.command()
def latent(
    model: Model,
    picture: Picture,
    to: Annotated[Path | None, typer.Option(metavar="PICTURE", help="Walk to this one.", show_default=False)] = None,
    attribute: Annotated[
        str | None, typer.Option(metavar="WORD", help="Give it less and more of this.", show_default=False)
    ] = None,
    against: Annotated[
        str, typer.Option(metavar="WORD", help="The opposite of the attribute.", show_default="all without it")
    ] = "",
    data: Annotated[
        str | None, typer.Option(metavar="PATH", help="Where the attribute is learned.", show_default="Scenes")
    ] = None,
    level: Annotated[str, typer.Option(help="Of Scenes.")] = "one",
    steps: Annotated[int, typer.Option(min=2, max=64, help="Pictures of a walk.")] = 8,
    output: Output = Path("latent.png"),
) -> None:
    """Walk through the latent space: from one picture to another, or along an attribute.

    An attribute's direction is the difference of two means: of the latents of pictures that have it and of those that
    have not, or have its opposite. On Scenes any word of a fact or caption will do, on own pictures a label or a
    caption's word. A hierarchy (tranh-1) moves along it in the space of CLIP's embeddings, other models in their own.

    \b
    tranh edit latent my-vae a.png --to b.png -o walk.png
    tranh edit latent my-vae a.png --attribute red -o redder.png
    tranh edit latent tranh-1 a.png --attribute large --against small -o larger.png
    tranh edit latent my-digits-vae one.png --attribute 7 --data digits -o seven.png
    """
    from tranh.edits.latent import interpolate
    from tranh.recipes import latent_edits, models
    from tranh.types import TranhError

    if (to is None) == (attribute is None):
        raise TranhError("give either --to PICTURE or --attribute WORD")
    if to is not None:
        coder = _coder(model)
        image = latent_edits.load(picture, coder.size)
        made = interpolate(coder.part, image, latent_edits.load(to, coder.size), steps)
        names = [picture.stem, *[""] * (steps - 2), to.stem]
    else:
        from tranh.data.decode import read_picture

        source = {"source": "scenes", "levels": {level: 1.0}} if data is None else {"source": data}
        slide = latent_edits.slider(models.load(model), Path(model).name, source, str(attribute), against)
        made = last(slide(read_picture(picture)))
        names = [f"{strength:+g} {attribute}" for strength in latent_edits.STRENGTHS]
    typer.echo(latent_edits.strip(made, names, output))


@edit.command()
def denoise(
    model: Model,
    picture: Picture,
    noise: Annotated[float, typer.Option(min=0, max=2, help="Noise added first, to see it go; 0 for none.")] = 0.0,
    rounds: Annotated[int, typer.Option(min=1, max=100, help="How often it is rebuilt.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Of the noise.")] = 0,
    output: Output = Path("denoised.png"),
) -> None:
    """Take noise away: what does not fit through the latents is lost, and noise is the first to go.

    \b
    tranh edit denoise my-vae noisy.png -o clean.png
    tranh edit denoise my-vae clean.png --noise 0.5 -o shown.png
    """
    import torch

    from tranh.diffusion.sample import seeded
    from tranh.edits import latent
    from tranh.recipes import latent_edits

    coder = _coder(model)
    image = latent_edits.load(picture, coder.size)
    noisy = (image + noise * seeded([seed], image.shape[1:])()).clamp(-1, 1)
    made, names = [noisy, latent.denoise(coder.part, noisy, rounds)], ["given", "denoised"]
    if noise:
        made, names = [image, *made], ["original", f"noise {noise:g}", "denoised"]
    typer.echo(latent_edits.strip(torch.cat(made), names, output))


@edit.command()
def fill(
    model: Model,
    picture: Picture,
    mask: Annotated[
        Path | None,
        typer.Option(metavar="PICTURE", help="White where a part is missing.", show_default=False),
    ] = None,
    box: Annotated[str, typer.Option(help="Or the missing part: left,top,right,bottom from 0 to 1.")] = "0.5,0,1,1",
    rounds: Annotated[int, typer.Option(min=1, max=1000, help="How often it is rebuilt.")] = 30,
    output: Output = Path("filled.png"),
) -> None:
    """Fill in a missing part: the rest is kept, the part is what the model makes of the rest, again and again.

    \b
    tranh edit fill my-vae torn.png --box 0.5,0,1,1 -o whole.png
    tranh edit fill my-vae torn.png --mask hole.png -o whole.png
    """
    import torch

    from tranh.edits import latent
    from tranh.recipes import latent_edits
    from tranh.types import TranhError

    coder = _coder(model)
    image = latent_edits.load(picture, coder.size)
    try:
        edges = [float(edge) for edge in box.split(",")]
    except ValueError as error:
        raise TranhError(f"the box is {box!r}; it is left,top,right,bottom from 0 to 1, such as 0.5,0,1,1") from error
    known = latent_edits.load_mask(mask, coder.size) if mask else latent_edits.missing(coder.size, edges)
    torn = torch.where(known > 0, image, torch.zeros(()))
    made = latent.fill(coder.part, image, known, rounds)
    typer.echo(latent_edits.strip(torch.cat([image, torn, made]), ["original", "what is known", "filled in"], output))
