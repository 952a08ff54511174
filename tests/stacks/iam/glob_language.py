"""Inclusion of languages given by patterns with ``*`` and ``?``: exact, with a shortest counterexample.

A pattern is a word of symbols. A symbol is a character, an opaque token (``${AWS::Region}``: some text that only
CloudFormation or IAM knows), or one of three marks. ``*`` stands for any characters and tokens, ``?`` for one
character (a token's length is unknown, so ``?`` never stands for it), and neither for a ``SEPARATOR``. Words with
separators are tuples of patterns, so that the union of products "these actions on those resources" is a language
like any other, and its inclusion is decided exactly too.

The decision walks the product of both patterns' automata, made deterministic on the way (subset construction),
breadth first. Of the infinitely many characters it tries those that either side asks for next, and one that
neither does: the automata cannot tell the others apart.
"""

import itertools
import re
from collections.abc import Iterable, Iterator

Word = tuple[str, ...]

ANY, ONE, SEPARATOR = "\0*", "\0?", "\0|"
SYMBOL = re.compile(r"\$\{[^}]*\}|.", re.DOTALL)
UNASKED = "xyzabcdefghijklmnopqrstuvw0123456789-_"
RARE = [chr(code) for code in range(0x100, 0x2000)]

Position = tuple[int, int]
Positions = frozenset[Position]


def parse(text: str, *, wildcards: bool = True, fold: bool = False) -> Word:
    """Return the word of a pattern; ``fold`` ignores the case of characters, as IAM does of actions."""
    marks = {"*": ANY, "?": ONE} if wildcards else {}
    symbols = SYMBOL.findall(text)
    return tuple(marks.get(symbol, symbol.lower() if fold and len(symbol) == 1 else symbol) for symbol in symbols)


def shortest_outside(left: Iterable[Word], right: Iterable[Word]) -> Word | None:
    """Return a shortest word that a pattern of ``left`` stands for and none of ``right`` does, or None."""
    allowed = sorted(set(right))
    missing = [
        _outside(word, [other for other in allowed if _may_meet(word, other)])
        for word in sorted(set(left).difference(allowed))
    ]
    return min((word for word in missing if word is not None), key=len, default=None)


def _may_meet(one: Word, other: Word) -> bool:
    """Tell whether two patterns agree up to the first mark of either; else they have no word in common."""
    for mine, theirs in zip(one, other, strict=False):
        if mine in (ANY, ONE) or theirs in (ANY, ONE):
            return True
        if mine != theirs:
            return False
    return True


def _outside(word: Word, allowed: list[Word]) -> Word | None:
    mine = _close([word], [(0, 0)])
    theirs = _close(allowed, [(index, 0) for index in range(len(allowed))])
    seen = {(mine, theirs)}
    front: list[tuple[Positions, Positions, Word]] = [(mine, theirs, ())]
    while front:
        following = []
        for mine, theirs, path in front:
            if _accepts([word], mine) and not _accepts(allowed, theirs):
                return path
            for symbol in _alphabet(_next([word], mine), _next(allowed, theirs)):
                state = (_step([word], mine, symbol), _step(allowed, theirs, symbol))
                if state[0] and state not in seen:
                    seen.add(state)
                    following.append((*state, (*path, symbol)))
        front = following
    return None


def _alphabet(mine: set[str], theirs: set[str]) -> list[str]:
    asked = sorted((mine | theirs) - {ANY, ONE})
    if not mine & {ANY, ONE}:
        return [symbol for symbol in asked if symbol in mine]
    return [next(symbol for symbol in itertools.chain(UNASKED, RARE) if symbol not in asked), *asked]


def _next(words: list[Word], positions: Positions) -> set[str]:
    return {words[index][place] for index, place in positions if place < len(words[index])}


def _accepts(words: list[Word], positions: Positions) -> bool:
    return any(place == len(words[index]) for index, place in positions)


def _step(words: list[Word], positions: Positions, symbol: str) -> Positions:
    return _close(words, _moves(words, positions, symbol))


def _moves(words: list[Word], positions: Positions, symbol: str) -> Iterator[Position]:
    for index, place in positions:
        if place == len(words[index]):
            continue
        asked = words[index][place]
        if asked == ANY and symbol != SEPARATOR:
            yield index, place
        elif asked == symbol or (asked == ONE and len(symbol) == 1):
            yield index, place + 1


def _close(words: list[Word], positions: Iterable[Position]) -> Positions:
    closed = set()
    for index, place in positions:
        closed.add((index, place))
        while place < len(words[index]) and words[index][place] == ANY:
            place += 1
            closed.add((index, place))
    return frozenset(closed)
