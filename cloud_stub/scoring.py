"""The four scores of a synthetic input: both entailments, ROUGE-L and the length ratio. It judges nothing.

Source: CDCDA-PLM, the three selection filters.
"""

from collections.abc import Sequence

from cloud_stub.nli import NliScorer
from cloud_stub.pieces import pieces
from cloud_stub.rouge import ScriptTokenizer, rouge_l
from cloud_stub.schemas import PairScores


def _words(text: str) -> set[str]:
    return set(ScriptTokenizer().tokenize(text))


def _grounds(piece: str, premises: Sequence[str], premise_words: Sequence[set[str]]) -> list[str]:
    """Where a piece may follow from: the premise's piece that shares most words with it, alone and with its
    neighbours."""
    words = _words(piece)
    best = max(range(len(premises)), key=lambda place: len(words & premise_words[place]))
    around = " ".join(premises[max(0, best - 1) : best + 2])
    return [premises[best]] if around == premises[best] else [premises[best], around]


def _questions(premise: str, hypothesis: str) -> list[list[tuple[str, str]]]:
    """For each piece of the hypothesis the pairs of which one has to hold."""
    premises = pieces(premise) or [premise]
    words = list(map(_words, premises))
    hypotheses = pieces(hypothesis) or [hypothesis]
    return [[(ground, piece) for ground in _grounds(piece, premises, words)] for piece in hypotheses]


def _stands_in(piece: str, ground: str) -> bool:
    """Whether every sentence of the piece is one of the ground's, word for word."""
    return set(pieces(piece, 0)) <= set(pieces(ground, 0))


def _least(asked: Sequence[Sequence[Sequence[tuple[str, str]]]], nli: NliScorer) -> list[float]:
    """Of each text the least supported piece, of each piece the best of its questions; all in one pass."""
    flat = [question for pieces_asked in asked for grounds in pieces_asked for question in grounds]
    # What stands in the premise word for word follows from it; small models are not sure of that in long sentences.
    known = {(ground, piece): 1.0 for ground, piece in flat if _stands_in(piece, ground)}
    open_questions = [question for question in dict.fromkeys(flat) if question not in known]
    known.update(zip(open_questions, nli.entailment(open_questions), strict=True))
    return [min(max(known[question] for question in grounds) for grounds in pieces_asked) for pieces_asked in asked]


def entailments(pairs: Sequence[tuple[str, str]], nli: NliScorer) -> list[float]:
    """P(premise entails hypothesis) of each pair, 0 to 1: that of its least supported piece.

    Texts of a sentence or two are put to the model whole. A longer hypothesis follows as far as each of its pieces
    follows from the part of the premise that it is closest to; small models trained on sentences say little of whole
    paragraphs. Source: the sentence-level scores of SummaC (Laban et al. 2022), with the least in place of the mean.
    """
    return _least([_questions(premise, hypothesis) for premise, hypothesis in pairs], nli)


Pieces = Sequence[tuple[str, str]]
"""Pieces of an original and what each became."""


def score_inputs(
    original: str, synthetics: Sequence[str], nli: NliScorer, made_of: Sequence[Pieces] | None = None
) -> list[PairScores]:
    """The scores of synthetic inputs against the record's input, both entailments of all of them in one pass.

    `made_of` says of each how its pieces came about, where that is known: then each is held against the very piece that
    it was written from. Else, or where it is empty, pieces are sought as `entailments` does.
    """
    known = made_of or [()] * len(synthetics)
    there = [
        [[pair] for pair in pairs] if pairs else _questions(original, synthetic)
        for synthetic, pairs in zip(synthetics, known, strict=True)
    ]
    back = [
        [[(after, before)] for before, after in pairs] if pairs else _questions(synthetic, original)
        for synthetic, pairs in zip(synthetics, known, strict=True)
    ]
    found = _least([*there, *back], nli)
    return [
        PairScores(
            entails=min(1.0, max(0.0, entails)),
            entailed=min(1.0, max(0.0, entailed)),
            rouge_l=rouge_l(original, synthetic),
            length_ratio=len(synthetic) / len(original),
        )
        for synthetic, entails, entailed in zip(synthetics, found, found[len(synthetics) :], strict=False)
    ]
