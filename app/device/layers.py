"""A network's layers, computed for training: each is one function of autograd with its backward pass by hand.

For llama and qwen2 networks of transformers, with PEFT's LoRA in their linear layers or without, whose own weights are
frozen. What is gained over running their modules: sequences lie end to end without padding, an adapter costs four thin
products, and of each layer eight activations are kept; the rest is made anew. Knows no loss.
"""

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from typing import Any

from app.device.attention import attend, attend_backward
from app.device.precision import computed_in

_ADAPTER = "default"
"""PEFT's name for an adapter that got none."""


@dataclasses.dataclass(frozen=True)
class _Linear:
    """A frozen linear layer and the thin product beside it: y = x W^T + b + scale (x A^T) B^T."""

    base: Any
    """transformers' module, its weight in NF4 or not."""
    down: Any
    """A, [rank, inputs]; rank 0 where there is no adapter."""
    up: Any
    """B, [outputs, rank]."""
    scale: float

    def weight(self, dtype: Any) -> Any:
        """[outputs, inputs], unpacked if it is in NF4."""
        state = getattr(self.base.weight, "quant_state", None)
        if state is None:
            return self.base.weight.to(dtype)
        import bitsandbytes

        return bitsandbytes.functional.dequantize_4bit(self.base.weight, state).to(dtype)


def _linear(module: Any) -> _Linear:
    base = getattr(module, "base_layer", module)
    if base is not module:
        return _Linear(
            base, module.lora_A[_ADAPTER].weight, module.lora_B[_ADAPTER].weight, float(module.scaling[_ADAPTER])
        )
    import torch

    nothing = torch.empty(0, device=base.weight.device)
    return _Linear(
        base, nothing.view(0, base.in_features).to(base.weight.device), nothing.view(base.out_features, 0), 1.0
    )


@dataclasses.dataclass(frozen=True)
class _Group:
    """Linear layers that read the same input, so that their A are one product."""

    linears: tuple[_Linear, ...]

    def down(self, dtype: Any) -> Any:
        """All A, one below the other."""
        import torch

        return torch.cat([linear.down for linear in self.linears]).to(dtype)

    def split(self, narrow: Any) -> Iterator[tuple[_Linear, Any]]:
        """Each layer with its part of the columns of x A^T."""
        parts = narrow.split([linear.down.shape[0] for linear in self.linears], 1)
        return zip(self.linears, parts, strict=True)

    def forward(self, x: Any) -> tuple[list[Any], Any]:
        """Each layer's output, and x A^T, [tokens, ranks]."""
        import torch

        narrow = x @ self.down(x.dtype).T
        outputs = []
        for linear, part in self.split(narrow):
            bias = None if linear.base.bias is None else linear.base.bias.to(x.dtype)
            output = torch.nn.functional.linear(x, linear.weight(x.dtype), bias)
            outputs.append(output.addmm_(part, linear.up.T.to(x.dtype), alpha=linear.scale))
        return outputs, narrow

    def backward(self, gradients: Sequence[Any], x: Any, narrow: Any) -> tuple[Any, list[Any]]:
        """The gradient of x, and of each layer's A and B in turn."""
        import torch

        of_narrow = torch.cat(
            [
                gradient @ linear.up.to(x.dtype) * linear.scale
                for linear, gradient in zip(self.linears, gradients, strict=True)
            ],
            1,
        )
        of_downs = (of_narrow.T @ x).split([linear.down.shape[0] for linear in self.linears])
        of_adapters: list[Any] = []
        of_x = of_narrow @ self.down(x.dtype)
        for (linear, part), gradient, of_down in zip(self.split(narrow), gradients, of_downs, strict=True):
            of_x.addmm_(gradient, linear.weight(x.dtype))
            of_up = (gradient.T @ part).to(linear.up.dtype) * linear.scale
            of_adapters += [of_down.to(linear.down.dtype), of_up]
        return of_x, of_adapters


def _normalise(x: Any, norm: Any) -> tuple[Any, Any]:
    """x by its root mean square, times the norm's weight; and one over that root, [tokens, 1]."""
    import torch

    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    inverse = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True).add_(norm.variance_epsilon))
    return (wide * inverse).to(x.dtype).mul_(norm.weight), inverse


def _normalise_backward(gradient: Any, x: Any, inverse: Any, norm: Any) -> Any:
    unit = x * inverse
    of_unit = (gradient * norm.weight).to(unit.dtype)
    mean = (of_unit * unit).mean(-1, keepdim=True)
    return of_unit.sub_(unit.mul_(mean)).mul_(inverse).to(x.dtype)


def _rotate(x: Any, cosine: Any, sine: Any) -> Any:
    """Rotary position embedding of [tokens, heads, size]; with -sine it turns back, which is its backward pass."""
    import torch

    first, second = x.chunk(2, -1)
    return torch.cat([(first * cosine).sub_(second * sine), (second * cosine).add_(first * sine)], -1)


@dataclasses.dataclass(frozen=True)
class _Layer:
    """A decoder layer's parts."""

    module: Any
    into_attention: _Group
    out_of_attention: _Group
    into_mlp: _Group
    out_of_mlp: _Group

    @property
    def adapters(self) -> list[Any]:
        """Every A and B, in the order of `_Group.backward`."""
        groups = (self.into_attention, self.out_of_attention, self.into_mlp, self.out_of_mlp)
        return [tensor for group in groups for linear in group.linears for tensor in (linear.down, linear.up)]


def _layer(module: Any) -> _Layer:
    attention, mlp = module.self_attn, module.mlp
    return _Layer(
        module,
        _Group((_linear(attention.q_proj), _linear(attention.k_proj), _linear(attention.v_proj))),
        _Group((_linear(attention.o_proj),)),
        _Group((_linear(mlp.gate_proj), _linear(mlp.up_proj))),
        _Group((_linear(mlp.down_proj),)),
    )


@dataclasses.dataclass(frozen=True)
class _Place:
    """Where each token stands."""

    lengths: Sequence[int]
    """Of the sequences that lie end to end."""
    cosine: Any
    """[tokens, 1, half a head's size]."""
    sine: Any


def _heads(flat: Any, size: int) -> Any:
    return flat.view(flat.shape[0], -1, size)


@functools.cache
def _layer_function() -> Any:
    """The autograd function of a layer; made when torch is there."""
    import torch

    class LayerFunction(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, layer: _Layer, place: _Place, *adapters: Any) -> Any:
            module, size = layer.module, layer.module.self_attn.head_dim
            normed, inverse = _normalise(x, module.input_layernorm)
            (q, k, v), narrow_in = layer.into_attention.forward(normed)
            q, k = (_rotate(_heads(flat, size), place.cosine, place.sine) for flat in (q, k))
            gathered = attend(q, k, _heads(v, size), place.lengths)
            (output,), narrow_out = layer.out_of_attention.forward(gathered.view(x.shape[0], -1))
            middle = output.add_(x)
            normed, middle_inverse = _normalise(middle, module.post_attention_layernorm)
            (gate, up), narrow_up = layer.into_mlp.forward(normed)
            (output,), narrow_down = layer.out_of_mlp.forward(torch.nn.functional.silu(gate).mul_(up))
            ctx.layer, ctx.place = layer, place
            ctx.save_for_backward(
                *(x, inverse, q, k, v, gathered, middle, middle_inverse, gate, up),
                *(narrow_in, narrow_out, narrow_up, narrow_down),
            )
            return output.add_(middle)

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            layer, place = ctx.layer, ctx.place
            module, size = layer.module, layer.module.self_attn.head_dim
            (x, inverse, q, k, v, gathered, middle, middle_inverse, gate, up, *narrows) = ctx.saved_tensors

            active = torch.nn.functional.silu(gate)
            of_product, of_down = layer.out_of_mlp.backward([gradient], active * up, narrows[3])
            of_up = active.mul_(of_product)
            of_gate = torch.ops.aten.silu_backward(of_product.mul_(up), gate)
            normed, _ = _normalise(middle, module.post_attention_layernorm)
            of_normed, of_into_mlp = layer.into_mlp.backward([of_gate, of_up], normed, narrows[2])
            del of_gate, of_up, of_product, active, normed
            of_middle = _normalise_backward(of_normed, middle, middle_inverse, module.post_attention_layernorm)
            of_middle.add_(gradient)

            flat = gathered.view(x.shape[0], -1)
            of_gathered, of_out = layer.out_of_attention.backward([of_middle], flat, narrows[1])
            of_q, of_k, of_v = attend_backward(
                _heads(of_gathered, size), q, k, _heads(v, size), gathered, place.lengths
            )
            of_q, of_k = (_rotate(turned, place.cosine, -place.sine) for turned in (of_q, of_k))
            normed, _ = _normalise(x, module.input_layernorm)
            flats = [part.reshape(x.shape[0], -1) for part in (of_q, of_k, of_v)]
            of_normed, of_in = layer.into_attention.backward(flats, normed, narrows[0])
            of_x = _normalise_backward(of_normed, x, inverse, module.input_layernorm).add_(of_middle)
            return of_x, None, None, *of_in, *of_out, *of_into_mlp, *of_down

    return LayerFunction


def _place(network: Any, embedded: Any, lengths: Sequence[int]) -> _Place:
    import torch

    positions = torch.cat([torch.arange(length, device=embedded.device) for length in lengths])
    cosine, sine = network.base_model.rotary_emb(embedded, positions[None])
    half = cosine.shape[-1] // 2
    return _Place(lengths, cosine[0, :, None, :half], sine[0, :, None, :half])


def hidden_states(network: Any, ids: Any, lengths: Sequence[int], chosen: Any) -> Any:
    """The last hidden states, normalised, of the chosen places, [chosen, size].

    `network` is a causal language model of transformers, llama or qwen2; `ids` [tokens] are sequences end to end of
    these lengths. Gradients reach the adapters' weights alone. Computed as `precision.computing` around it says.
    """
    import torch

    inner = network.base_model
    x = inner.embed_tokens(ids)
    x = x.to(computed_in(x))
    with torch.autocast(x.device.type, enabled=False):
        place, function = _place(network, x, lengths), _layer_function()
        for module in inner.layers:
            layer = _layer(module)
            x = function.apply(x, layer, place, *layer.adapters)
        return inner.norm(x.index_select(0, chosen))
