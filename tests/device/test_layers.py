"""The layers' own forward and backward pass beside those of transformers and PEFT."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.device import layers, losses, weights
from app.device.attention import attend, attend_backward
from app.device.lora import adapter_parameters, add_adapter
from app.device.precision import Precision, computing
from app.device.rendering import Example
from app.device.training import FineTuning
from tests.tiny import IM_END, IM_START, Architecture, tiny_folder

TEXTS = ["say a", "say b, and then c, " * 10, "d"]
EXAMPLES = [Example((IM_START, *text.encode()), (*text.upper().encode()[:7], IM_END)) for text in TEXTS]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def adapted(folder: Path, architecture: Architecture, quantisation: weights.Quantisation) -> tuple[Any, dict[str, Any]]:
    """A tiny network with an adapter whose B is no longer zero, so that A has a gradient; and the adapter's weights."""
    import torch

    network = weights.load_for_training(tiny_folder(folder, architecture), quantisation, "cpu")
    parameters = adapter_parameters(add_adapter(network, FineTuning(rank=4)).train())
    generator = torch.Generator().manual_seed(1)
    for name, parameter in parameters.items():
        if "lora_B" in name:
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.1
    return network, parameters


def reference_loss(network: Any, examples: list[Example]) -> Any:
    """Summed cross-entropy of the completions by transformers' forward pass, one example at a time."""
    import torch

    total: Any = 0.0
    for example in examples:
        ids = torch.tensor([[*example.prompt_ids, *example.completion_ids]])
        logits = network(input_ids=ids[:, :-1]).logits[0, len(example.prompt_ids) - 1 :]
        total += torch.nn.functional.cross_entropy(logits, torch.tensor(example.completion_ids), reduction="sum")
    return total


def gradients(loss: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    loss.backward()
    found = {name: parameter.grad.clone() for name, parameter in parameters.items()}
    for parameter in parameters.values():
        parameter.grad = None
    return found


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_loss_and_gradients_are_those_of_transformers_and_peft(tmp_path: Path, architecture: Architecture) -> None:
    import torch

    network, parameters = adapted(tmp_path, architecture, "none")
    network.double()
    expected = reference_loss(network, EXAMPLES)
    loss = losses.completion_loss(network, EXAMPLES, "cpu")
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    ours, theirs = gradients(loss, parameters), gradients(expected, parameters)
    assert len(ours) == 28
    # The reference takes norms and softmax in float32, whatever the network's type.
    for name, gradient in ours.items():
        assert torch.allclose(gradient, theirs[name], rtol=1e-4, atol=1e-5 * theirs[name].abs().max().item()), name


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_over_nf4_weights_the_gradients_are_as_near_as_bfloat16_is(tmp_path: Path, precision: Precision) -> None:
    import torch

    network, parameters = adapted(tmp_path, "llama", "nf4")
    with computing("cpu", precision):
        expected, loss = reference_loss(network, EXAMPLES), losses.completion_loss(network, EXAMPLES, "cpu")
    assert loss.item() == pytest.approx(expected.item(), rel=5e-3)
    ours, theirs = (
        torch.cat([gradient.flatten() for gradient in gradients(total, parameters).values()])
        for total in (loss, expected)
    )
    assert torch.nn.functional.cosine_similarity(ours, theirs, dim=0) > 0.999
    assert ours.norm() == pytest.approx(theirs.norm().item(), rel=1e-2)


def test_an_example_is_computed_alike_alone_and_among_others(tmp_path: Path) -> None:
    network, _ = adapted(tmp_path, "llama", "none")
    network.float()
    alone = [losses.completion_loss(network, [example], "cpu").item() for example in EXAMPLES]
    assert losses.completion_loss(network, EXAMPLES, "cpu").item() == pytest.approx(sum(alone), rel=1e-5)


def test_the_gradient_of_the_first_layers_input_is_that_of_autograd(tmp_path: Path) -> None:
    import torch

    network, _ = adapted(tmp_path, "llama", "none")
    network.double()
    inner, embedded = network.base_model, torch.randn(9, 64, dtype=torch.float64, requires_grad=True)
    place, layer = layers._place(network, embedded, [9]), layers._layer(inner.layers[0])
    output = layers._layer_function().apply(embedded, layer, place, *layer.adapters)
    direction = torch.randn_like(output)
    (ours,) = torch.autograd.grad(output, embedded, direction)
    angles = inner.rotary_emb(embedded[None], torch.arange(9)[None])
    expected = inner.layers[0](embedded[None], position_embeddings=angles)[0]
    (theirs,) = torch.autograd.grad(expected, embedded, direction)
    assert torch.allclose(output, expected, rtol=1e-5, atol=1e-6)
    assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("lengths", [[1], [5, 3], [128, 129, 300]])
def test_attention_and_its_gradients_are_torchs_own(lengths: list[int]) -> None:
    import torch

    generator = torch.Generator().manual_seed(0)
    tokens = sum(lengths)
    shapes = [(tokens, 6, 8), (tokens, 2, 8), (tokens, 2, 8)]
    inputs = [torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True) for shape in shapes]
    direction = torch.randn(shapes[0], generator=generator, dtype=torch.float64)
    alone: list[Any] = []
    for start, length in zip(itertools.accumulate(lengths, initial=0), lengths, strict=False):
        q, k, v = (tensor[start : start + length].transpose(0, 1) for tensor in inputs)
        attended = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        alone.append(attended.transpose(0, 1))
    expected = torch.cat(alone)
    theirs = torch.autograd.grad(expected, inputs, direction)
    with torch.no_grad():
        queries, keys, values = inputs
        gathered = attend(queries, keys, values, lengths)
        ours = attend_backward(direction, queries, keys, values, gathered, lengths)
    assert torch.allclose(gathered, expected)
    assert all(torch.allclose(a, b) for a, b in zip(ours, theirs, strict=True))
