from functools import partial

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    HeunDiscreteScheduler,
)

from tranh.diffusion import sample, schedule
from tranh.diffusion.ideal import gaussian, points
from tranh.diffusion.loss import PREDICTIONS, rows, v_to_x, x_to_v
from tranh.types import TranhError

SHAPE = (3, 4, 4)
VP = schedule.VariancePreserving.linear_betas()


def bent(x, n):
    """An eps_theta (or v) that no scheduler can have been made for: not linear in x, and it depends on time."""
    return torch.tanh(x) * (0.5 + rows(n, x) / 2000) + 0.1 * torch.sin(3 * x)


def start(batch: int = 2) -> torch.Tensor:
    return sample.seeded(range(batch), SHAPE)()


def by_velocity(x, t):
    """A denoiser whose unclamped velocity is ``bent``."""
    return v_to_x(bent(x, 1000 * t), x, t)


def theirs_by_velocity(scheduler, x, steps):
    scheduler.set_timesteps(steps)
    for t in scheduler.timesteps:
        x = scheduler.step(bent(x, t.expand(len(x))), t, x).prev_sample
    return x


def theirs_by_eps(scheduler, x, timesteps, **options):
    for n in timesteps:
        x = scheduler.step(bent(x, torch.full((len(x),), float(n))), n, x, **options).prev_sample
    return x


@pytest.mark.parametrize("steps", [1, 2, 10, 30])
@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_euler_is_diffusers(steps, shift):
    theirs = theirs_by_velocity(FlowMatchEulerDiscreteScheduler(shift=shift), start(), steps)
    ours = sample.run(sample.euler(by_velocity, start(), schedule.shifted(steps, shift), floor=0))
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=2e-6)


def test_euler_with_its_floor_is_the_loop_of_prx_pixel_pipeline():
    x, denoiser = start(), gaussian(0.2, 0.5)
    scheduler = FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(40)
    for t in scheduler.timesteps:
        t_x = t.float() / 1000
        v = (x - denoiser(x, t_x.expand(2))) / t_x.clamp(min=0.05)
        x = scheduler.step(v, t, x).prev_sample
    ours = sample.run(sample.euler(denoiser, start(), schedule.linear(40)))
    torch.testing.assert_close(ours, x, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("steps", [2, 10, 30])
def test_heun_is_diffusers(steps):
    theirs = theirs_by_velocity(FlowMatchHeunDiscreteScheduler(shift=2.0), start(), steps)
    ours = sample.run(sample.heun(by_velocity, start(), schedule.shifted(steps, 2.0), floor=0))
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def vp_start(grid):
    """The same noise for both: theirs in variance-preserving units y, ours in linear units x."""
    a, s = schedule.vp_coefficients(grid[0].item())
    return start(), start() / (a + s)


@pytest.mark.parametrize("spacing", ["leading", "trailing"])
@pytest.mark.parametrize("steps", [10, 50])
def test_ddim_is_diffusers(steps, spacing):
    scheduler = DDIMScheduler(clip_sample=False, timestep_spacing=spacing)
    scheduler.set_timesteps(steps)
    grid = VP.grid(steps, spacing)
    y, x = vp_start(grid)
    theirs = theirs_by_eps(scheduler, y, scheduler.timesteps)
    ours = sample.run(sample.ddim(VP.denoiser(bent), x, grid))
    torch.testing.assert_close(ours, theirs, rtol=2e-5, atol=2e-5)
    torch.testing.assert_close(
        sample.run(sample.euler(VP.denoiser(bent), x, grid, floor=0)), ours, rtol=1e-5, atol=1e-5
    )


def test_ddim_with_noise_is_diffusers():
    scheduler = DDIMScheduler(clip_sample=False)
    scheduler.set_timesteps(20)
    grid = VP.grid(20)
    y, x = vp_start(grid)
    drawn = sample.seeded([5, 6], SHAPE)
    for n in scheduler.timesteps:
        eps = bent(y, torch.full((2,), float(n)))
        noise = drawn() if n > 0 else torch.zeros_like(y)
        y = scheduler.step(eps, n, y, eta=0.7, variance_noise=noise).prev_sample
    ours = sample.run(sample.ddim(VP.denoiser(bent), x, grid, sample.seeded([5, 6], SHAPE), eta=0.7))
    torch.testing.assert_close(ours, y, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("variance", ["small", "large"])
@pytest.mark.parametrize("betas", ["linear", "squaredcos_cap_v2"])
def test_ddpm_is_diffusers(variance, betas, monkeypatch):
    vp = VP if betas == "linear" else schedule.VariancePreserving.cosine_betas()
    scheduler = DDPMScheduler(clip_sample=False, variance_type=f"fixed_{variance}", beta_schedule=betas)
    steps = 50
    scheduler.set_timesteps(steps)
    grid = vp.grid(steps)
    y, x = vp_start(grid)
    drawn = sample.seeded([5, 6], SHAPE)
    monkeypatch.setattr("diffusers.schedulers.scheduling_ddpm.randn_tensor", lambda *_, **__: drawn())
    theirs = theirs_by_eps(scheduler, y, scheduler.timesteps)
    ours = sample.run(sample.ddpm(vp.denoiser(bent), x, grid, sample.seeded([5, 6], SHAPE), variance=variance))
    torch.testing.assert_close(ours, theirs, rtol=5e-5, atol=5e-5)


@pytest.mark.parametrize("steps", [1, 2, 5, 20])
def test_dpmpp_2m_is_diffusers_on_a_vp_schedule(steps):
    scheduler = DPMSolverMultistepScheduler(beta_schedule="linear")
    scheduler.set_timesteps(steps)
    grid = VP.grid(steps, "linspace")
    y, x = vp_start(grid)
    theirs = theirs_by_eps(scheduler, y, scheduler.timesteps)
    ours = sample.run(sample.dpmpp_2m(VP.denoiser(bent), x, grid))
    torch.testing.assert_close(ours, theirs, rtol=2e-5, atol=2e-5)


PATHS = {"linear": VP, "squaredcos_cap_v2": schedule.VariancePreserving.cosine_betas()}
STOCK = {  # by the names users know: the stock scheduler, and what it must be told
    "ddpm": (DDPMScheduler, {"clip_sample": False}),
    "ddim": (DDIMScheduler, {"clip_sample": False}),
    "euler": (EulerDiscreteScheduler, {}),
    "heun": (HeunDiscreteScheduler, {"beta_start": 1e-4, "beta_end": 0.02}),
    "dpm++": (DPMSolverMultistepScheduler, {}),
}
TOLD = {"eps": "epsilon", "v": "v_prediction", "x0": "sample"}


ASKED = [(name, told) for name in sample.SAMPLERS for told in PREDICTIONS]
ASKED.remove(("heun", "x0"))  # diffusers' Heun refuses a network that predicts the picture


@pytest.mark.parametrize("name, prediction", ASKED)
@pytest.mark.parametrize("betas", PATHS)
def test_every_named_sampler_is_the_stock_scheduler(name, betas, prediction, monkeypatch):
    """Asked for as users ask, on the grid that families draw on."""
    kind, told = STOCK[name]
    spacing = sample.SPACINGS[name]
    theirs = kind(beta_schedule=betas, prediction_type=TOLD[prediction], timestep_spacing=spacing, **told)
    vp, steps = PATHS[betas], 10
    theirs.set_timesteps(steps)
    grid = vp.grid(steps, spacing)
    y, x = vp_start(grid)
    if name in ("euler", "heun"):  # theirs begins at y / a
        y = start() / schedule.vp_coefficients(grid[0].item())[0]
    drawn = sample.seeded([5, 6], SHAPE)
    monkeypatch.setattr("diffusers.schedulers.scheduling_ddpm.randn_tensor", lambda *_, **__: drawn())
    for n in theirs.timesteps:
        seen = theirs.scale_model_input(y, n)
        y = theirs.step(bent(seen, torch.full((2,), float(n))), n, y).prev_sample
    denoiser = vp.denoiser(bent, prediction)
    ours = sample.run(sample.named(name, "ddim")(denoiser, x, grid, sample.seeded([5, 6], SHAPE)))
    torch.testing.assert_close(ours, y, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("betas", PATHS)
def test_ddpm_with_a_learned_variance_is_diffusers(betas, monkeypatch):
    theirs = DDPMScheduler(
        beta_schedule=betas, clip_sample=False, variance_type="learned_range", prediction_type="v_prediction"
    )
    theirs.set_timesteps(20)
    vp = PATHS[betas]
    grid = vp.grid(20)
    y, x = vp_start(grid)
    drawn = sample.seeded([5, 6], SHAPE)
    monkeypatch.setattr("diffusers.schedulers.scheduling_ddpm.randn_tensor", lambda *_, **__: drawn())
    share, told = torch.rand(2, *SHAPE, generator=torch.Generator().manual_seed(3)), []
    for n in theirs.timesteps:
        out = torch.cat([bent(y, torch.full((2,), float(n))), 2 * share - 1], dim=1)
        y = theirs.step(out, n, y).prev_sample

    def watched(x, t):
        told.append(share)
        return vp.denoiser(bent, "v")(x, t)

    noise = sample.seeded([5, 6], SHAPE)
    ours = sample.run(sample.ddpm(watched, x, grid, noise, variance=lambda: told[-1]))
    torch.testing.assert_close(ours, y, rtol=1e-3, atol=1e-3)


def test_both_ways_of_heun_go_the_same_way():
    """In fine steps they agree with each other, whatever units they step in."""
    vp, x = PATHS["squaredcos_cap_v2"], start()
    grid = vp.grid(250)
    fine = [sample.run(walk(gaussian(0.3, 0.5), x, grid)) for walk in (partial(sample.heun, floor=0), sample.heun_vp)]
    torch.testing.assert_close(*fine, rtol=1e-3, atol=1e-3)


def test_a_sampler_that_is_not_there_is_refused():
    with pytest.raises(TranhError, match="choose one of ddpm, ddim, euler, heun"):
        sample.named("plms", "ddim")
    with pytest.raises(ValueError, match="infinite"):
        sample.run(sample.heun_vp(gaussian(0, 1), start(), schedule.linear(3)))


def test_dpmpp_2m_is_diffusers_on_the_linear_path():
    scheduler = DPMSolverMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)
    scheduler.set_timesteps(12)
    ours = sample.run(sample.dpmpp_2m(by_velocity, start(), scheduler.sigmas.double()))
    x = start()
    for t, sigma in zip(scheduler.timesteps, scheduler.sigmas, strict=False):
        x = scheduler.step(bent(x, 1000 * sigma.expand(2)), t, x).prev_sample
    torch.testing.assert_close(ours, x, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("sampler", [sample.euler, sample.heun, sample.dpmpp_2m, sample.ddim, sample.ddpm])
def test_every_sampler_lands_on_the_points(sampler):
    x0 = torch.tensor([[1.0, 1.0], [-1.0, 0.5], [0.0, -1.0]])
    noise = sample.seeded(range(64), (2,))
    x = sample.run(sampler(points(x0), noise(), schedule.linear(20, last=1 / 20), noise))
    distance, which = torch.cdist(x, x0).min(dim=1)
    assert distance.max() < 1e-3
    assert which.unique().numel() == 3


@pytest.mark.parametrize(
    "sampler, tolerance", [(sample.heun, 0.02), (sample.dpmpp_2m, 0.02), (sample.ddim, 0.03), (sample.ddpm, 0.06)]
)
def test_samples_of_a_gaussian_have_its_mean_and_std(sampler, tolerance):
    noise = sample.seeded([0], (20_000,))
    x = sample.run(sampler(gaussian(0.5, 0.3), noise(), schedule.linear(60, last=1 / 60), noise))
    assert abs(x.mean() - 0.5) < tolerance and abs(x.std() - 0.3) < tolerance


@pytest.mark.parametrize("sampler", [partial(sample.heun, floor=0), sample.dpmpp_2m])
def test_second_order(sampler):
    z = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    exact = 0.5 + 0.3 * z  # the flow of a Gaussian is affine: noise z goes to mean + std z

    def error(n):
        return (sample.run(sampler(gaussian(0.5, 0.3), z, schedule.linear(n, last=1 / n).double())) - exact).abs().max()

    assert error(256) < error(64) / 8  # first order: / 4, second: / 16


def test_a_floor_leaves_noise_only_where_the_grid_goes_below_it():
    below = sample.run(sample.euler(points(torch.zeros(1, 2)), torch.ones(1, 2), schedule.linear(50)))
    above = sample.run(sample.euler(points(torch.zeros(1, 2)), torch.ones(1, 2), schedule.linear(20, last=1 / 20)))
    assert 0.01 < below.abs().max() < 0.03
    assert above.abs().max() < 1e-6


def test_a_row_does_not_depend_on_its_company():
    def one(seeds):
        noise = sample.seeded(seeds, SHAPE)
        return sample.run(sample.ddpm(gaussian(0.1, 0.4), noise(), schedule.linear(6), noise))

    assert torch.equal(one([3, 4, 5])[1:2], one([4]))


def test_steps_are_yielded_and_can_be_stopped():
    steps = sample.euler(gaussian(0, 1), start(), schedule.linear(5))
    first = next(steps)
    assert (first.index, first.steps) == (1, 5) and first.x.shape == first.x0.shape == (2, *SHAPE)
    assert [step.index for step in steps] == [2, 3, 4, 5]


def test_faults_say_what_to_do():
    with pytest.raises(ValueError, match="pass noise=seeded"):
        sample.run(sample.ddpm(gaussian(0, 1), start(), schedule.linear(3)))
    with pytest.raises(ValueError, match="must fall"):
        sample.run(sample.euler(gaussian(0, 1), start(), torch.tensor([0.0, 1.0])))
    with pytest.raises(ValueError, match="at least two"):
        sample.run(sample.euler(gaussian(0, 1), start(), torch.tensor([1.0])))


def test_velocity_and_estimate_are_inverse():
    x, x0, t = start(), start().flip(0), torch.tensor([0.2, 0.9])
    torch.testing.assert_close(v_to_x(x_to_v(x0, x, t), x, t), x0)
