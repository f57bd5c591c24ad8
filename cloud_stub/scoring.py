"""The four scores of a synthetic input: both entailments, ROUGE-L and the length ratio. It judges nothing.

Source: CDCDA-PLM, the three selection filters; ROUGE-L is rouge-score's F1 (Lin 2004).
"""

import functools
import re
import unicodedata
from collections.abc import Sequence
from typing import Any

from cloud_stub.nli import NliScorer
from cloud_stub.schemas import PairScores

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
def _rouge(latin: bool) -> Any:
    import rouge_score.rouge_scorer

    tokenizer = None if latin else ScriptTokenizer()
    return rouge_score.rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False, tokenizer=tokenizer)


def _is_latin(text: str) -> bool:
    """Whether at least half of the letters are Latin; so is a text without letters."""
    letters = [character for character in text if character.isalpha()]
    latin = sum(character.isascii() or unicodedata.name(character, "").startswith("LATIN") for character in letters)
    return 2 * latin >= len(letters)


def rouge_l(original: str, synthetic: str) -> float:
    """ROUGE-L F1, 0 to 1.

    For texts in Latin script it is rouge-score's to the last digit. Its tokenizer finds next to nothing in other
    scripts, so there words are found by Unicode and the rest is rouge-score's still.
    """
    latin = _is_latin(original) and _is_latin(synthetic)
    return float(_rouge(latin).score(original, synthetic)["rougeL"].fmeasure)


def score_inputs(original: str, synthetics: Sequence[str], nli: NliScorer) -> list[PairScores]:
    """The scores of synthetic inputs against the record's input, both entailments of all of them in one pass."""
    there = [(original, synthetic) for synthetic in synthetics]
    back = [(synthetic, original) for synthetic in synthetics]
    found = nli.entailment(there + back)
    return [
        PairScores(
            entails=min(1.0, max(0.0, entails)),
            entailed=min(1.0, max(0.0, entailed)),
            rouge_l=rouge_l(original, synthetic),
            length_ratio=len(synthetic) / len(original),
        )
        for synthetic, entails, entailed in zip(synthetics, found, found[len(synthetics) :], strict=False)
    ]
