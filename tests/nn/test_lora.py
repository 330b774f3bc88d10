"""LoRA: what it changes, and that peft computes the same from the same tensors."""

import peft
import torch
from peft.utils import set_peft_model_state_dict

from tranh.nn.lora import Lora, linear_layers
from tranh.nn.transformer import ImageTransformer

ENDINGS = ("img_qkv_proj", "to_out.0", "down_proj")


def network():
    torch.manual_seed(0)
    made = ImageTransformer(patch_size=4, context_dim=8, hidden_size=32, depth=2, num_heads=2)
    for p in made.parameters():
        torch.nn.init.normal_(p, std=0.2)
    return made.requires_grad_(False).eval()


def inputs():
    g = torch.Generator().manual_seed(1)
    return torch.randn(2, 3, 8, 8, generator=g), torch.tensor([0.3, 0.8]), torch.randn(2, 3, 8, generator=g)


def trained(net):
    torch.manual_seed(2)
    lora = Lora(linear_layers(net, ENDINGS), rank=4, alpha=8.0)
    for b in lora.B:
        torch.nn.init.normal_(b, std=0.1)
    return lora


def test_it_stands_beside_the_layers_that_were_named():
    assert sorted(linear_layers(network(), ENDINGS)) == sorted(
        f"blocks.{i}.{name}" for i in range(2) for name in ("attention.img_qkv_proj", "attention.to_out.0", "down_proj")
    )


def test_at_first_nothing_is_changed_and_afterwards_nothing_is_left():
    net, x = network(), inputs()
    plain = net(*x)
    lora = Lora(linear_layers(net, ENDINGS), rank=4, alpha=8.0)
    with lora.worn(net):
        assert torch.equal(net(*x), plain)
    with trained(net).worn(net):
        assert (net(*x) - plain).abs().mean() > 1e-3
    assert torch.equal(net(*x), plain)


def test_worn_and_poured_in_are_the_same_and_two_add_up():
    net, x = network(), inputs()
    one, two = trained(net), trained(net)
    with torch.no_grad():
        two.A[0].neg_()
    with one.worn(net), two.worn(net):
        worn = net(*x)
    one.pour(net)
    two.pour(net)
    torch.testing.assert_close(net(*x), worn, rtol=1e-4, atol=1e-4)


def test_peft_computes_the_same_from_the_same_names():
    net, x = network(), inputs()
    lora = trained(net)
    with lora.worn(net):
        ours = net(*x)
    config = peft.LoraConfig(r=lora.rank, lora_alpha=lora.alpha, target_modules=lora.names)
    theirs = peft.inject_adapter_in_model(config, network())
    set_peft_model_state_dict(theirs, lora.tensors())
    torch.testing.assert_close(theirs(*x), ours, rtol=1e-5, atol=1e-5)


def test_it_comes_back_from_its_tensors():
    net, x = network(), inputs()
    lora = trained(net)
    again = Lora.of(lora.tensors("unet."), lora.alpha, "unet.")
    with lora.worn(net):
        before = net(*x)
    with again.worn(net):
        assert torch.equal(net(*x), before)
