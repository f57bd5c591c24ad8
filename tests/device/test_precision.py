"""What a network is trained in on which processor."""

import pytest

from app.device.precision import Precision, best_precision, computed_in, computing


@pytest.mark.parametrize(
    ("words", "precision"),
    [
        ("GenuineIntel avx2 f16c", "float32"),
        ("GenuineIntel avx2 avx512f avx512_bf16", "float32"),
        ("GenuineIntel avx2 avx512f avx512_bf16 amx_bf16 amx_tile", "bfloat16"),
        ("AuthenticAMD avx2 avx512f", "float32"),
        ("AuthenticAMD avx2 avx512f avx512_bf16", "bfloat16"),
        ("asimd fp", "float32"),
        ("asimd fp bf16", "bfloat16"),
        ("", "float32"),
    ],
)
def test_bfloat16_is_computed_where_the_processor_is_fast_at_it(words: str, precision: Precision) -> None:
    assert best_precision("cpu", frozenset(words.split())) == precision


def test_graphics_processors_compute_in_bfloat16_whatever_the_computers_own_is() -> None:
    assert {best_precision(device, frozenset()) for device in ("cuda", "mps")} == {"bfloat16"}


def test_without_bfloat16_nothing_is_narrower_than_float32() -> None:
    import torch

    for dtype, expected in ((torch.bfloat16, torch.float32), (torch.float32, torch.float32)):
        with computing("cpu", "float32"):
            assert computed_in(torch.zeros(1, dtype=dtype)) == expected
        with computing("cpu", "bfloat16"):
            assert computed_in(torch.zeros(1, dtype=dtype)) == torch.bfloat16
    assert computed_in(torch.zeros(1, dtype=torch.float64)) == torch.float64
