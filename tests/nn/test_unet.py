"""The U-Net: every place knows where it is."""

import math

import torch

from tranh.nn.unet import OCTAVES, UNet, positions


def test_positions_are_the_middles_of_the_places_and_their_waves():
    told = positions(4)
    assert told.shape == (1, 2 * (1 + 2 * OCTAVES), 4, 4)
    middles = torch.tensor([-0.75, -0.25, 0.25, 0.75])
    torch.testing.assert_close(told[0, 0], middles.expand(4, 4))  # x grows to the right
    torch.testing.assert_close(told[0, 1], middles[:, None].expand(4, 4))  # y downwards
    torch.testing.assert_close(told[0, 2:4], (math.pi / 2 * told[0, :2]).sin())
    assert len({tuple(place.tolist()) for place in told[0].flatten(1).T}) == 16


def test_a_place_far_from_the_border_knows_where_it_is():
    torch.manual_seed(0)
    net = UNet(image_size=32, fold=1, in_channels=3, out_channels=3, widths=[32], attention=[False])
    torch.nn.init.normal_(net.net.conv_out.weight, std=0.1)
    with torch.no_grad():
        told = net(torch.zeros(1, 3, 32, 32), torch.tensor([500]))[0, :, 12:20, 12:20]
        net.where.zero_()
        blind = net(torch.zeros(1, 3, 32, 32), torch.tensor([500]))[0, :, 14:18, 14:18]
    assert told.flatten(1).std(1).min() > 1e-3
    assert blind.flatten(1).std(1).max() < 0.1 * told.flatten(1).std(1).min()
