"""Learning from a larger model's probabilities: reverse Kullback-Leibler divergence beside the cross-entropy.

Gu et al. 2024 (MiniLLM) minimise KL(q || p), q being the student's distribution and p the teacher's, so that the
student keeps to what the teacher finds probable. Here at the tokens of the examples themselves, the teacher being asked
once for each. Knows token ids and engines, neither texts nor records.
"""

from collections.abc import Callable, Sequence
from typing import Any

from app.device import losses
from app.device.losses import Loss
from app.device.rendering import Example
from app.device.tokenising import Tokeniser
from app.errors import BadInput

PROBE = "The quick brown fox, 1984: naïve façade — привет 你好!\n\tdef f(x): return x"
PROBED = 97
"""Every so many-th token of the vocabulary is compared, and all that occur in the examples."""


def reverse_divergence(student: Any, teacher: Any) -> Any:
    """KL(q || p) in nats, summed over rows, from logits [rows, vocabulary] of student and teacher.

    Models of a family pad their vocabulary to different sizes; both are sliced to the shorter one.
    """
    size = min(student.shape[-1], teacher.shape[-1])
    log_q = student[..., :size].log_softmax(-1)
    log_p = teacher[..., :size].to(student.dtype).log_softmax(-1)
    return (log_q.exp() * (log_q - log_p)).sum()


def require_same_vocabulary(teacher: Tokeniser, student: Tokeniser, size: int, examples: Sequence[Example]) -> None:
    """Raise BadInput unless a token means the same to both models, so far as `size` tokens are compared."""
    used = {token for example in examples for token in (*example.prompt_ids, *example.completion_ids)}
    for token in sorted({*range(0, size, PROBED), *used}):
        if teacher.decode([token]) != student.decode([token]):
            raise BadInput(
                "Distilling needs two models with the same vocabulary, but these two differ at token"
                f" {token}; name a cloud model of the device model's family, or leave the method rkd out."
            )


def require_same_tokens(teacher: Tokeniser, student: Tokeniser) -> None:
    """Raise BadInput where the two cut a text differently: a first look, before anything is loaded."""
    if teacher.encode(PROBE) != student.encode(PROBE):
        raise BadInput(
            "Distilling (rkd) needs two models with the same vocabulary, but these two cut text into different tokens;"
            " name a cloud model of the device model's family, or leave it out with `--methods all,-rkd`."
        )


class _Teacher:
    """Asks the large model for its logits when the first step needs them."""

    def __init__(
        self, engine: Callable[[], Any], vocabularies: tuple[Tokeniser, Tokeniser], taught: Sequence[Example]
    ) -> None:
        self._engine = engine
        self._vocabularies = vocabularies
        self._taught = tuple(taught)
        self._logits: dict[Example, Any] | None = None

    def _ask(self) -> dict[Example, Any]:
        engine = self._engine()
        found = {
            example: engine.completion_logits(example.prompt_ids, example.completion_ids) for example in self._taught
        }
        sizes = [logits.shape[-1] for logits in found.values()]
        require_same_vocabulary(*self._vocabularies, min(sizes, default=0), self._taught)
        return found

    def logits(self, example: Example) -> Any:
        """[completion tokens, vocabulary] as a float16 array; None for an example that is not taught."""
        if self._logits is None:
            self._logits = self._ask()
        return self._logits.get(example)


def lazy_loss(engine: Callable[[], Any], teacher: Tokeniser, student: Tokeniser, taught: Sequence[Example]) -> Loss:
    """Cross-entropy of every example, and beside it the reverse divergence at the completions of those taught.

    `engine` loads the large model; it is called in the first step.
    """
    asked = _Teacher(engine, (teacher, student), taught)

    def loss(network: Any, examples: Sequence[Example], device: str) -> Any:
        import torch

        logits, targets = losses.completion_logits(network, examples, device)
        total = torch.nn.functional.cross_entropy(logits, targets, reduction="sum")
        start = 0
        for example in examples:
            rows = slice(start, start + len(example.completion_ids))
            start = rows.stop
            if (known := asked.logits(example)) is not None:
                total = total + reverse_divergence(logits[rows], torch.from_numpy(known).to(device))
        return total

    return loss
