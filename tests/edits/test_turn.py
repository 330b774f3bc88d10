"""A turn against a world whose layers are known: what was hidden is what the filler says, and views are composites."""

import torch

from tranh.edits.turn import grown, moved, plates, view


class Known:
    """Depth by colour: red lies two layers up, green one, anything else is the setting."""

    def depth(self, images):
        red, green = images[:, :1] > 0.5, images[:, 1:2] > 0.5
        return torch.where(red, 2, torch.where(green, 1, 0))


def world(things):
    """A blue setting with boxes of colours: (rows, columns, channel)."""
    picture = torch.full((3, 32, 32), -1.0)
    picture[2] = 1.0
    for rows, columns, channel in things:
        picture[:, rows, columns] = -1.0
        picture[channel, rows, columns] = 1.0
    return picture


GREEN = (slice(8, 24), slice(6, 20), 1)
RED = (slice(12, 18), slice(14, 24), 0)


def fill(picture, hole):
    """Knows what is behind: green behind red where the green box is, else the setting."""
    behind = world([GREEN] if (picture[:, :1] > 0.5).any() else [])
    return torch.where(hole, behind[None], picture)


def test_layers_are_whole_and_in_order():
    found = plates(Known(), world([GREEN, RED]), fill)
    assert [plate.rank for plate in found] == [0, 1, 2]
    assert torch.equal(found[0].image, world([])) and torch.equal(found[1].image, world([GREEN]))
    assert found[1].cover[0, 14, 17] == 1  # behind the red box


def test_not_turned_it_is_the_picture_and_turned_the_nearer_layers_go_further():
    picture = world([GREEN, RED])
    found = plates(Known(), picture, fill)
    same = view(found, 0.0)
    inside = ~grown((same - picture).abs().amax(0)[None, None] > 1e-6, 0)[0, 0]
    assert inside.float().mean() > 0.9  # but for edges of one pixel
    turned = view(found, 2 / 32)
    for rows, columns, channel in (GREEN, RED):
        by = 2 if channel == 1 else 4
        row, middle = (rows.start + rows.stop) // 2, columns.start + by + 1
        if channel == 1:
            row = rows.stop - 3  # below the red box
        assert turned[channel, row, middle] > 0.9
    assert turned[1, 14, 14] > 0.9  # green, hidden by red before


def test_moving_by_whole_pixels_moves_pixels():
    x = torch.arange(2 * 8 * 8.0).view(2, 8, 8)
    torch.testing.assert_close(moved(x, 3 / 8)[..., 3:], x[..., :5])
    torch.testing.assert_close(moved(x, 3 / 8)[..., :3], x[..., :1].expand(2, 8, 3))
    assert not moved(x + 1, 3 / 8, outside="zeros")[..., :2].any()
