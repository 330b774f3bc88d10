import torch

from tranh.diffusion.loss import corrupt, simple_loss, velocity_loss, x_to_v


def example():
    g = torch.Generator().manual_seed(0)
    x0, eps, x0_hat = (torch.randn(4, 3, 2, 2, generator=g) for _ in range(3))
    return x0, eps, x0_hat, torch.tensor([0.01, 0.05, 0.5, 1.0])


def test_corrupt_goes_from_picture_to_noise():
    x0, eps, _, _ = example()
    assert torch.equal(corrupt(x0, eps, torch.zeros(4)), x0)
    assert torch.equal(corrupt(x0, eps, torch.ones(4)), eps)


def test_velocity_of_the_path_is_eps_minus_x0():
    x0, eps, _, t = example()
    torch.testing.assert_close(x_to_v(x0, corrupt(x0, eps, t), t, floor=0), eps - x0, rtol=1e-4, atol=1e-4)


def test_loss_is_the_squared_error_of_the_velocity():
    x0, eps, x0_hat, t = example()
    xt = corrupt(x0, eps, t)
    expected = (x_to_v(x0_hat, xt, t) - x_to_v(x0, xt, t)).pow(2).mean((1, 2, 3))
    torch.testing.assert_close(velocity_loss(x0_hat, x0, t), expected, rtol=1e-4, atol=1e-4)


def test_losses_are_per_example_and_float32():
    x0, eps, x0_hat, t = example()
    assert velocity_loss(x0_hat.bfloat16(), x0.bfloat16(), t).dtype == torch.float32
    torch.testing.assert_close(simple_loss(x0_hat, eps), (x0_hat - eps).pow(2).mean((1, 2, 3)))
