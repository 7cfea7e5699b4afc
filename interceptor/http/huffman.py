"""Huffman code of HPACK (RFC 7541, appendix B); `hpack` calls `decode` for string literals.

The code is canonical: symbols in the order of (length, symbol) get consecutive codes, so the lengths say everything.
Decoding walks a table of states four bits at a time; it is built at the first use.
"""

from __future__ import annotations

from functools import lru_cache

from interceptor.http.exchange import Unreadable

END = 256  # the symbol that must not occur: its first bits are the padding
# Length of the code of each symbol 0 ... 256: A is 5, B is 6, ... Z is 30.
_LENGTHS = (
    "ISXXXXXXXTZXXZXXXXXXXXZXXXXXXXXXBFFHIBDGFFDGDBBBAAABBBBBBBCDKBHFIBCCCCCCCCCCCCCCCCCCCCCCDCDIOIJB"
    "KABABABBBACCBBBABCBAABCCCCCKGJIXPRPPRRRSRSSSSSTSTTRSTSSSSQRSRSSTRQPRRSSQSRRTQRSSQQRQSRSSPRRRSRRSVVPO"
    "RSRUVVVWWVTUOQVWWVWTQQVVXWWWPTPQRQQSRRUUTTVSVWVVWWWWWXWWWWWVZ"
)
LONGEST_KEPT = 256  # strings whose decoding is remembered

Step = tuple[int, int]  # next state, and the symbol it completes or -1
_INVALID = -1


def codes() -> dict[tuple[int, int], int]:
    """Symbol by (length, code)."""
    lengths = [ord(letter) - ord("A") + 5 for letter in _LENGTHS]
    found: dict[tuple[int, int], int] = {}
    code, before = 0, 0
    for symbol in sorted(range(len(lengths)), key=lambda symbol: (lengths[symbol], symbol)):
        code <<= lengths[symbol] - before
        before = lengths[symbol]
        found[before, code] = symbol
        code += 1
    return found


@lru_cache(maxsize=1)
def _machine() -> tuple[list[list[Step]], frozenset[int]]:
    """For each state the 16 steps, and the states in which a string may end."""
    symbols = codes()
    inner = {(0, 0)} | {(length - cut, code >> cut) for length, code in symbols for cut in range(1, length)}
    number = {node: index for index, node in enumerate(sorted(inner))}
    steps = [[_walk(node, nibble, symbols, number) for nibble in range(16)] for node in sorted(inner)]
    # Padding is at most 7 bits, all ones: the beginning of END's code.
    ends = frozenset(number[length, (1 << length) - 1] for length in range(8))
    return steps, ends


def _walk(
    node: tuple[int, int], nibble: int, symbols: dict[tuple[int, int], int], number: dict[tuple[int, int], int]
) -> Step:
    length, code = node
    emitted = -1  # the shortest code has 5 bits: four complete one symbol at most
    for bit in (3, 2, 1, 0):
        length, code = length + 1, code << 1 | nibble >> bit & 1
        symbol = symbols.get((length, code))
        if symbol == END:
            return _INVALID, -1
        if symbol is not None:
            emitted, length, code = symbol, 0, 0
    return number[length, code], emitted


def decode(data: bytes) -> bytes:
    """The string that `data` stands for. Raises Unreadable for a code that is none."""
    return _remembered(data) if len(data) <= LONGEST_KEPT else _decode(data)


def _decode(data: bytes) -> bytes:
    steps, ends = _machine()
    state = 0
    found = bytearray()
    for byte in data:
        state, symbol = steps[state][byte >> 4]
        if symbol >= 0:
            found.append(symbol)
        if state >= 0:
            state, symbol = steps[state][byte & 15]
            if symbol >= 0:
                found.append(symbol)
        if state < 0:
            raise Unreadable("a header with the Huffman code's end in it")
    if state not in ends:
        raise Unreadable("a header whose Huffman code breaks off")
    return bytes(found)


_remembered = lru_cache(maxsize=1024)(_decode)
