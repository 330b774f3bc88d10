"""Schedules, losses, samplers and guidance: pure functions over a denoiser, whatever it denoises."""
