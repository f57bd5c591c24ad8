"""ROUGE-1 and ROUGE-L of texts in any script. It knows nothing of the service; the app scores answers by it too.

Source: Lin 2004, as rouge-score computes it, without stemming.
"""

import functools
import re
import unicodedata
from typing import Any

_WRITTEN_WITHOUT_SPACES = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f]"
)
"""Thai, Lao, Burmese, Khmer, Japanese kana and Chinese characters: each counts as a word."""


class ScriptTokenizer:
    """Words of any script; rouge-score's own tokenizer knows a to z and 0 to 9 alone."""

    def tokenize(self, text: str) -> list[str]:
        """Runs of letters, digits and the marks on them, in lower case; characters of unspaced scripts one by one."""
        kept = (character if unicodedata.category(character)[0] in "LNM" else " " for character in text.lower())
        return _WRITTEN_WITHOUT_SPACES.sub(r" \g<0> ", "".join(kept)).split()


@functools.cache
def _scorer(latin: bool) -> Any:
    import rouge_score.rouge_scorer
    import rouge_score.tokenizers

    # Left to find its own tokenizer it says so by absl, which puts every library's debugging on standard error.
    tokenizer = rouge_score.tokenizers.DefaultTokenizer() if latin else ScriptTokenizer()
    return rouge_score.rouge_scorer.RougeScorer(["rouge1", "rougeL"], use_stemmer=False, tokenizer=tokenizer)


def _is_latin(text: str) -> bool:
    """Whether at least half of the letters are Latin; so is a text without letters."""
    letters = [character for character in text if character.isalpha()]
    latin = sum(character.isascii() or unicodedata.name(character, "").startswith("LATIN") for character in letters)
    return 2 * latin >= len(letters)


def rouge(reference: str, text: str) -> dict[str, float]:
    """F1 of "rouge1" and "rougeL", 0 to 1.

    For texts in Latin script they are rouge-score's to the last digit. Its tokenizer finds next to nothing in other
    scripts, so there words are found by Unicode and the rest is rouge-score's still.
    """
    latin = _is_latin(reference) and _is_latin(text)
    return {name: float(score.fmeasure) for name, score in _scorer(latin).score(reference, text).items()}


def rouge_l(reference: str, text: str) -> float:
    """ROUGE-L F1, 0 to 1."""
    return rouge(reference, text)["rougeL"]
