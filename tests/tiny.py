"""Two-layer random models with a byte tokenizer: real for llama.cpp, transformers and NF4, and made in milliseconds.

`tiny_gguf` and `tiny_folder` write the same weights for the same architecture and seed. Nothing here imports torch.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

Architecture = Literal["llama", "qwen2"]
Weights = dict[str, np.ndarray[Any, np.dtype[np.float32]]]

HIDDEN = 64
"""A multiple of NF4's block of 64 weights."""
FEED_FORWARD = 128
LAYERS = 2
HEADS = 4
KEY_VALUE_HEADS = 2
CONTEXT = 2048
ROPE_BASE = 10_000.0
NORM_EPSILON = 1e-5

CONTROL_TOKENS = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def _byte_texts() -> list[str]:
    """How byte-level BPE writes each of the 256 bytes as one printable character (GPT-2's table)."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


TOKENS = (*_byte_texts(), "th", *CONTROL_TOKENS)
"""A token's id is its place. The one merge is there because an empty list of merges is no GGUF array."""
MERGES = (("t", "h"),)
IM_START, IM_END, END_OF_TEXT = (TOKENS.index(token) for token in CONTROL_TOKENS)


def _layer(generator: np.random.Generator, prefix: str, architecture: Architecture) -> Iterator[tuple[str, Any]]:
    key_value = HIDDEN // HEADS * KEY_VALUE_HEADS
    shapes = {
        "self_attn.q_proj": (HIDDEN, HIDDEN),
        "self_attn.k_proj": (key_value, HIDDEN),
        "self_attn.v_proj": (key_value, HIDDEN),
        "self_attn.o_proj": (HIDDEN, HIDDEN),
        "mlp.gate_proj": (FEED_FORWARD, HIDDEN),
        "mlp.up_proj": (FEED_FORWARD, HIDDEN),
        "mlp.down_proj": (HIDDEN, FEED_FORWARD),
    }
    for name, shape in shapes.items():
        yield f"{prefix}{name}.weight", generator.normal(0, shape[1] ** -0.5, shape)
        if architecture == "qwen2" and name.endswith(("q_proj", "k_proj", "v_proj")):
            yield f"{prefix}{name}.bias", generator.normal(0, 0.1, shape[:1])
    for name in ("input_layernorm", "post_attention_layernorm"):
        yield f"{prefix}{name}.weight", generator.normal(1, 0.1, HIDDEN)


def tiny_weights(architecture: Architecture = "llama", seed: int = 0) -> Weights:
    """The weights under transformers' names; the Qwen2 has biases and its head tied to its embeddings, as real ones."""
    generator = np.random.default_rng(seed)
    weights = {"model.embed_tokens.weight": generator.normal(0, 0.5, (len(TOKENS), HIDDEN))}
    for number in range(LAYERS):
        weights |= dict(_layer(generator, f"model.layers.{number}.", architecture))
    weights["model.norm.weight"] = generator.normal(1, 0.1, HIDDEN)
    if architecture == "llama":
        weights["lm_head.weight"] = generator.normal(0, HIDDEN**-0.5, (len(TOKENS), HIDDEN))
    return {name: value.astype(np.float32) for name, value in weights.items()}


def _rope_rows(weight: np.ndarray[Any, Any], heads: int) -> np.ndarray[Any, Any]:
    """Rows of q or k from transformers' rotary order (halves) to that of llama.cpp's llama (interleaved)."""
    return weight.reshape(heads, 2, -1, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)


def _gguf_tensors(weights: Weights, architecture: Architecture) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    import gguf

    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[architecture.upper()], LAYERS)
    for name, value in weights.items():
        if architecture == "llama" and "q_proj" in name:
            value = _rope_rows(value, HEADS)
        if architecture == "llama" and "k_proj" in name:
            value = _rope_rows(value, KEY_VALUE_HEADS)
        gguf_name = names.get_name(name, try_suffixes=(".weight", ".bias"))
        assert gguf_name is not None
        yield gguf_name, np.ascontiguousarray(value)


def _write_vocabulary(writer: Any, architecture: Architecture) -> None:
    import gguf

    kinds = [gguf.TokenType.CONTROL if token in CONTROL_TOKENS else gguf.TokenType.NORMAL for token in TOKENS]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2" if architecture == "qwen2" else "gpt-2")
    writer.add_token_list(list(TOKENS))
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(merge) for merge in MERGES])
    writer.add_bos_token_id(IM_START)
    writer.add_eos_token_id(IM_END)
    writer.add_pad_token_id(END_OF_TEXT)
    writer.add_add_bos_token(False)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(CHAT_TEMPLATE)


def _write_rope(writer: Any, scaling: Mapping[str, Any]) -> None:
    writer.add_rope_freq_base(ROPE_BASE)
    writer.add_rope_dimension_count(HIDDEN // HEADS)
    writers = {str: writer.add_string, bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32}
    for name, value in scaling.items():
        writers[type(value)](f"{writer.arch}.rope.{name}", value)


def tiny_gguf(
    folder: Path,
    architecture: Architecture = "llama",
    seed: int = 0,
    scaling: Mapping[str, Any] = {},
    divisors: Sequence[float] = (),
) -> Path:
    """Writes the model as an F32 GGUF file below the folder and gives its path.

    `scaling` are values by the name behind `ARCH.rope.`, `divisors` those of the rotary frequencies.
    """
    import gguf

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"tiny-{architecture}-{seed}.gguf"
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name(f"Tiny {architecture} {seed}")
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_VALUE_HEADS)
    _write_rope(writer, scaling)
    writer.add_layer_norm_rms_eps(NORM_EPSILON)
    writer.add_vocab_size(len(TOKENS))
    _write_vocabulary(writer, architecture)
    for name, value in _gguf_tensors(tiny_weights(architecture, seed), architecture):
        writer.add_tensor(name, value)
    if divisors:
        writer.add_tensor("rope_freqs.weight", np.array(divisors, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _config(architecture: Architecture) -> dict[str, Any]:
    return {
        "architectures": ["Qwen2ForCausalLM" if architecture == "qwen2" else "LlamaForCausalLM"],
        "model_type": architecture,
        "vocab_size": len(TOKENS),
        "hidden_size": HIDDEN,
        "intermediate_size": FEED_FORWARD,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KEY_VALUE_HEADS,
        "max_position_embeddings": CONTEXT,
        "rope_parameters": {"rope_type": "default", "rope_theta": ROPE_BASE},
        "rms_norm_eps": NORM_EPSILON,
        "hidden_act": "silu",
        "tie_word_embeddings": architecture == "qwen2",
        "bos_token_id": IM_START,
        "eos_token_id": IM_END,
        "pad_token_id": END_OF_TEXT,
        "dtype": "float32",
    }


def _tokenizer_config() -> dict[str, Any]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<|im_start|>",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "clean_up_tokenization_spaces": False,
        "model_max_length": CONTEXT,
        "chat_template": CHAT_TEMPLATE,
    }


def _write_tokenizer(path: Path) -> None:
    import tokenizers

    vocabulary = {token: number for number, token in enumerate(TOKENS)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, list(MERGES)))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    tokenizer.add_special_tokens(list(CONTROL_TOKENS))
    tokenizer.save(str(path))


def tiny_folder(folder: Path, architecture: Architecture = "llama", seed: int = 0) -> Path:
    """Writes the model as a safetensors folder with its tokenizer below the folder and gives its path."""
    from safetensors.numpy import save_file

    path = folder / f"tiny-{architecture}-{seed}"
    path.mkdir(parents=True, exist_ok=True)
    save_file(tiny_weights(architecture, seed), path / "model.safetensors", metadata={"format": "pt"})
    (path / "config.json").write_text(json.dumps(_config(architecture)), "utf-8")
    (path / "tokenizer_config.json").write_text(json.dumps(_tokenizer_config()), "utf-8")
    _write_tokenizer(path / "tokenizer.json")
    return path
