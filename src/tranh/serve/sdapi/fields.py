"""What clients of Stable Diffusion web UIs send and read, as models.

A field that means nothing here is accepted at the value these clients always send, and refused by name at any other.
It knows no route.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Off = Literal[False] | None
Empty = Literal[""] | None
Zero = Annotated[float, Field(ge=0, le=0)] | None
NoList = Annotated[list[Any], Field(max_length=0)] | None
NoTable = Annotated[dict[str, Any], Field(max_length=0)] | None
Text = Annotated[str, Field(max_length=32_000)]
Name = Annotated[str, Field(max_length=200)]
Side = Annotated[int, Field(ge=1, le=4096)]
Ours = Literal["", "None", "none", "Automatic", "automatic"] | None

SEED_LIMIT = 2**53 - 1
"""The largest whole number that JavaScript keeps."""


class Overrides(BaseModel):
    """Options for one call."""

    model_config = ConfigDict(extra="forbid")
    sd_model_checkpoint: Name | None = Field(None, description="a model of `sd-models`")
    sd_vae: Ours = None
    CLIP_stop_at_last_layers: Literal[1] | None = None


class Options(Overrides):
    """What this server can be told to keep."""

    samples_format: Literal["png"] | None = None


class Txt2Img(BaseModel):
    """What is asked for. What is null or left out is the model's own."""

    model_config = ConfigDict(extra="forbid")
    prompt: Text = Field("", examples=["a red circle"])
    negative_prompt: Text | None = ""
    seed: int | None = Field(-1, ge=-1, le=SEED_LIMIT, description="-1 for any")
    steps: int | None = Field(None, ge=1, le=1000)
    cfg_scale: float | None = Field(None, ge=0, le=100)
    width: Side | None = Field(None, description="the nearest size that the model makes is drawn")
    height: Side | None = None
    batch_size: int | None = Field(1, ge=1, le=100)
    n_iter: int | None = Field(1, ge=1, le=100)
    sampler_name: Name | None = Field(None, description="one of `samplers`")
    sampler_index: Name | None = Field(None, description="the same, by its old name")
    scheduler: Name | None = Field(None, description="`Automatic`")
    override_settings: Overrides | None = None
    override_settings_restore_afterwards: Literal[True] | None = True
    send_images: bool | None = Field(True, description="false: only `info` is sent")
    include_init_images: bool | None = Field(False, description="say in `parameters` what was sent to begin from")

    url: Text | None = Field(None, exclude=True, description="not read; SillyTavern sends where it sends to")
    auth: Text | None = Field(None, exclude=True, description="not read, and never told; SillyTavern sends it twice")
    save_images: bool | None = Field(None, description="either way pictures are kept in the gallery")
    do_not_save_samples: Off = None
    do_not_save_grid: bool | None = Field(None, description="no grids are made")
    force_task_id: Name | None = None

    styles: NoList = None
    tiling: Off = None
    restore_faces: Off = None
    clip_skip: Literal[1] | None = None
    subseed: int | None = Field(None, description="has no meaning while `subseed_strength` is 0")
    subseed_strength: Zero = None
    seed_resize_from_w: int | None = Field(None, ge=-1, le=0)
    seed_resize_from_h: int | None = Field(None, ge=-1, le=0)
    eta: Zero = None
    s_churn: Zero = None
    s_tmin: Zero = None
    s_tmax: Zero = None
    s_min_uncond: Zero = None
    s_noise: float | None = Field(None, ge=0, le=1, description="has no meaning while `s_churn` is 0")
    disable_extra_networks: bool | None = Field(None, description="there are none")
    refiner_checkpoint: Literal["", "None"] | None = None
    refiner_switch_at: float | None = Field(None, description="has no meaning without `refiner_checkpoint`")
    comments: NoTable = None
    script_name: Empty = None
    script_args: NoList = None
    alwayson_scripts: NoTable = None
    infotext: Empty = None

    enable_hr: Off = Field(None, description="pictures are enlarged by the tool `upscale`")
    hr_upscaler: Name | None = Field(None, description="like all of `hr_*`, has no meaning while `enable_hr` is false")
    hr_scale: float | None = None
    hr_second_pass_steps: int | None = None
    hr_resize_x: int | None = None
    hr_resize_y: int | None = None
    hr_checkpoint_name: Name | None = None
    hr_sampler_name: Name | None = None
    hr_scheduler: Name | None = None
    hr_prompt: Text | None = None
    hr_negative_prompt: Text | None = None
    hr_cfg: float | None = None
    hr_additional_modules: list[Any] | None = None
    denoising_strength: float | None = Field(
        None, ge=0, le=1, description="of img2img alone; elsewhere `info.notices` says so"
    )
    firstphase_width: Literal[0] | None = None
    firstphase_height: Literal[0] | None = None


class Img2Img(Txt2Img):
    """The same, beginning from a picture; with a mask, its white part is drawn anew and the rest stays."""

    init_images: list[str] = Field(min_length=1, max_length=1, description="base64 or a data URL; never an address")
    denoising_strength: float | None = Field(0.75, ge=0, le=1, description="0 keeps the picture; not with a mask")
    mask: str | None = Field(None, description="as `init_images`: white is drawn anew")
    inpainting_mask_invert: int | None = Field(0, ge=0, le=1, description="1: black is drawn anew")
    resize_mode: Literal[0, 1] | None = Field(0, description="how it is made square: 0 stretched, 1 cut")
    mask_blur: Literal[0, 4] | None = Field(None, description="masks have sharp edges here; 4 is what clients send")
    mask_blur_x: Literal[0, 4] | None = None
    mask_blur_y: Literal[0, 4] | None = None
    mask_round: Literal[True] | None = None
    inpainting_fill: Literal[0] | None = Field(None, description="what is drawn anew begins from noise")
    inpaint_full_res: bool | None = Field(None, description="the whole picture is looked at either way")
    inpaint_full_res_padding: int | None = Field(None, ge=0)
    initial_noise_multiplier: Annotated[float, Field(ge=1, le=1)] | None = None
    image_cfg_scale: None = None
    latent_mask: None = None


class Made(BaseModel):
    """Pictures."""

    images: list[str] = Field(description="PNG in base64")
    parameters: dict[str, Any] = Field(description="what was asked")
    info: str = Field(
        description="JSON as text: what was drawn", examples=['{"seed": 7, "width": 64, "height": 64, "infotexts": []}']
    )


class Failed(BaseModel):
    """Why there are none."""

    error: str = Field(examples=["invalid_value"])
    detail: str = Field(examples=["tiling: Input should be False"])
    body: str = ""
    errors: str


class Done(BaseModel):
    """Nothing more is to be said."""


class State(BaseModel):
    """Where the call stands."""

    skipped: bool = False
    interrupted: bool = False
    stopping_generation: bool = False
    job: str = Field(default="", description="its id among `/api/jobs`")
    job_count: int = Field(default=0, description="pictures it asks for; 0 where nothing is being drawn")
    job_timestamp: str = "0"
    job_no: int = Field(default=0, description="pictures that are finished")
    sampling_step: int = 0
    sampling_steps: int = 0


class Progress(BaseModel):
    """Of the oldest call that waits for its pictures."""

    progress: float = Field(default=0.0, ge=0, le=1)
    eta_relative: float = Field(default=0.0, description="seconds; 0 where nothing is known")
    state: State = State()
    current_image: str | None = Field(default=None, description="what it looks like so far, PNG in base64")
    textinfo: str | None = None


class ModelItem(BaseModel):
    """A model. ``title`` is what ``sd_model_checkpoint`` takes."""

    model_config = ConfigDict(protected_namespaces=())
    title: str
    model_name: str
    hash: None = None
    sha256: None = None
    filename: str
    config: None = None


class SamplerItem(BaseModel):
    """A way to walk from noise to a picture."""

    name: str
    aliases: list[str]
    options: dict[str, Any]


class SchedulerItem(BaseModel):
    """A grid of times: each model has its own."""

    name: str
    label: str
    aliases: list[str] | None = None
    default_rho: float | None = None
    need_inner_model: bool | None = None


class UpscalerItem(BaseModel):
    """What could enlarge pictures: nothing in these calls."""

    model_config = ConfigDict(protected_namespaces=())
    name: str
    model_name: str | None = None
    model_path: str | None = None
    model_url: str | None = None
    scale: float | None = None


class Named(BaseModel):
    """A name."""

    name: str


class VaeItem(BaseModel):
    """A decoder: each model has its own."""

    model_config = ConfigDict(protected_namespaces=())
    model_name: str
    filename: str


class PngAsked(BaseModel):
    """A picture whose settings are wanted."""

    model_config = ConfigDict(extra="forbid")
    image: str = Field(description="base64 or a data URL")


class PngInfo(BaseModel):
    """What it was made with."""

    info: str = Field(description="as text; empty where the file says nothing")
    items: dict[str, Any]
    parameters: dict[str, Any]
