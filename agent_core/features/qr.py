"""A QR code (ISO/IEC 18004): byte mode, versions 1 to 10, error correction level M. Imported only where one is drawn.

Steps: the text with mode and length, padded; Reed-Solomon words for each block; blocks interleaved; modules laid along
the two-column zigzag; the mask with the fewest penalties; format and version bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

_BLOCKS = (  # for each version, level M: error correction words a block, then (blocks, data words in each)
    (10, ((1, 16),)),
    (16, ((1, 28),)),
    (26, ((1, 44),)),
    (18, ((2, 32),)),
    (24, ((2, 43),)),
    (16, ((4, 27),)),
    (18, ((4, 31),)),
    (22, ((2, 38), (2, 39))),
    (22, ((3, 36), (2, 37))),
    (26, ((4, 43), (1, 44))),
)
_ALIGNMENT: tuple[tuple[int, ...], ...] = (
    (), (6, 18), (6, 22), (6, 26), (6, 30), (6, 34), (6, 22, 38), (6, 24, 42), (6, 26, 46), (6, 28, 50),
)  # fmt: skip

MOST_BYTES = 213
"""What version 10 holds."""

QUIET = 4
"""Light modules around it (ISO/IEC 18004, 6.3.8)."""

Matrix = tuple[tuple[bool, ...], ...]
"""Rows of modules, True is dark."""


def encode(text: str) -> Matrix:
    """The smallest code that holds the text. Raises ValueError for more than MOST_BYTES bytes of UTF-8."""
    data = text.encode()
    if len(data) > MOST_BYTES:
        raise ValueError(f"a QR code here holds {MOST_BYTES} bytes, not {len(data)}")
    version = next(number for number in range(1, 11) if len(data) + (2 if number < 10 else 3) <= _capacity(number))
    bits = _interleaved(version, _words(data, version))
    canvas = _Canvas(version)
    canvas.lay(bits)
    return min((canvas.masked(mask) for mask in range(8)), key=_penalty)


def terminal(matrix: Matrix) -> str:
    """For a terminal of light letters on dark ground, and for the other kind: two rows a line, quiet zone drawn."""
    size = len(matrix)

    def light(row: int, column: int) -> bool:
        return not (0 <= row < size and 0 <= column < size and matrix[row][column])

    shapes = {(True, True): "█", (True, False): "▀", (False, True): "▄", (False, False): " "}
    # Black on white, said aloud, so that it does not come out as a negative, which many telephones do not read.
    return "\n".join(
        "\x1b[37;40m"
        + "".join(shapes[light(row, column), light(row + 1, column)] for column in range(-QUIET, size + QUIET))
        + "\x1b[0m"
        for row in range(-QUIET, size + QUIET, 2)
    )


def svg(matrix: Matrix, scale: int = 4) -> str:
    """A drawing of its own, to be put into a page. Holds no text of anybody."""
    size = len(matrix) + 2 * QUIET
    path = "".join(
        f"M{column + QUIET} {row + QUIET}h1v1h-1z"
        for row, line in enumerate(matrix)
        for column, dark in enumerate(line)
        if dark
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{size * scale}" height="{size * scale}" '
        f'viewBox="0 0 {size} {size}" shape-rendering="crispEdges" role="img" aria-label="QR code">'
        f'<rect width="{size}" height="{size}" fill="#fff"/><path d="{path}" fill="#000"/></svg>'
    )


# --- words ------------------------------------------------------------------------------------------------------------


def _capacity(version: int) -> int:
    """Data words."""
    return sum(count * words for count, words in _BLOCKS[version - 1][1])


def _words(data: bytes, version: int) -> list[int]:
    """Mode, length, data, end, padding."""
    length = 8 if version < 10 else 16
    bits = f"0100{len(data):0{length}b}" + "".join(f"{byte:08b}" for byte in data)
    most = _capacity(version) * 8
    bits += "0" * min(4, most - len(bits))
    bits += "0" * (-len(bits) % 8)
    words = [int(bits[at : at + 8], 2) for at in range(0, len(bits), 8)]
    words += [0xEC if number % 2 == 0 else 0x11 for number in range(most // 8 - len(words))]
    return words


def _interleaved(version: int, words: list[int]) -> Iterator[bool]:
    count, groups = _BLOCKS[version - 1]
    generator = _generator(count)
    blocks: list[list[int]] = []
    at = 0
    for number, size in groups:
        for _ in range(number):
            blocks.append(words[at : at + size])
            at += size
    corrections = [_remainder(block, generator) for block in blocks]
    order = [block[i] for i in range(max(map(len, blocks))) for block in blocks if i < len(block)]
    order += [block[i] for i in range(count) for block in corrections]
    for word in order:
        for shift in range(7, -1, -1):
            yield bool(word >> shift & 1)


def _times(a: int, b: int) -> int:
    """In GF(256) with x^8 + x^4 + x^3 + x^2 + 1."""
    product = 0
    while b:
        if b & 1:
            product ^= a
        a = a << 1 ^ (0x11D if a & 0x80 else 0)
        b >>= 1
    return product


def _generator(degree: int) -> list[int]:
    """The coefficients after the leading 1."""
    found = [1]
    root = 1
    for _ in range(degree):
        shifted = [*found, 0]
        for i, coefficient in enumerate(found):
            shifted[i + 1] ^= _times(coefficient, root)
        found, root = shifted, _times(root, 2)
    return found[1:]


def _remainder(data: list[int], generator: list[int]) -> list[int]:
    rest = [0] * len(generator)
    for word in data:
        factor = word ^ rest[0]
        rest = [*rest[1:], 0]
        for i, coefficient in enumerate(generator):
            rest[i] ^= _times(coefficient, factor)
    return rest


# --- modules ----------------------------------------------------------------------------------------------------------


class _Canvas:
    """Modules of one version; those of `_fixed` are no data."""

    def __init__(self, version: int) -> None:
        self._version = version
        self._size = size = 17 + 4 * version
        self._dark = [[False] * size for _ in range(size)]
        self._fixed = [[False] * size for _ in range(size)]
        for row, column in ((0, 0), (0, size - 7), (size - 7, 0)):
            self._square(row + 3, column + 3, 3, border=True)
        for i in range(8, size - 8):
            self._set(6, i, i % 2 == 0)
            self._set(i, 6, i % 2 == 0)
        places = _ALIGNMENT[version - 1]
        for row in places:
            for column in places:
                if (row, column) not in {(6, 6), (6, size - 7), (size - 7, 6)}:
                    self._square(row, column, 2)
        self._format(0)
        self._version_bits()

    def _set(self, row: int, column: int, dark: bool) -> None:
        self._dark[row][column] = dark
        self._fixed[row][column] = True

    def _square(self, row: int, column: int, reach: int, *, border: bool = False) -> None:
        """Rings around a middle: dark, but the one next to the outermost; with a light border."""
        outer = reach + 1 if border else reach
        for y in range(-outer, outer + 1):
            for x in range(-outer, outer + 1):
                if 0 <= row + y < self._size and 0 <= column + x < self._size:
                    ring = max(abs(y), abs(x))
                    self._set(row + y, column + x, ring not in {reach - 1, reach + 1})

    def _format(self, mask: int) -> None:
        value = mask  # level M is 00
        rest = value << 10
        for shift in range(14, 9, -1):
            if rest >> shift & 1:
                rest ^= 0x537 << (shift - 10)
        bits = (value << 10 | rest) ^ 0x5412
        size = self._size
        for i in range(15):
            dark = bool(bits >> i & 1)
            # Beside the upper left finder: down its right side, then to the left below it.
            if i < 8:
                self._set(i if i < 6 else i + 1, 8, dark)
                self._set(8, size - 1 - i, dark)
            else:
                self._set(8, 7 if i == 8 else 14 - i, dark)
                self._set(size - 15 + i, 8, dark)
        self._set(size - 8, 8, True)

    def _version_bits(self) -> None:
        if self._version < 7:
            return
        rest = self._version << 12
        for shift in range(17, 11, -1):
            if rest >> shift & 1:
                rest ^= 0x1F25 << (shift - 12)
        bits = self._version << 12 | rest
        for i in range(18):
            row, column = self._size - 11 + i % 3, i // 3
            self._set(row, column, bool(bits >> i & 1))
            self._set(column, row, bool(bits >> i & 1))

    def lay(self, bits: Iterator[bool]) -> None:
        """Two columns at a time from the right, up and down in turn, around what is fixed."""
        upward = True
        for right in range(self._size - 1, 0, -2):
            pair = right - 1 if right <= 6 else right  # the vertical timing column is skipped
            rows = range(self._size - 1, -1, -1) if upward else range(self._size)
            for row in rows:
                for column in (pair, pair - 1):
                    if not self._fixed[row][column]:
                        self._dark[row][column] = next(bits, False)
            upward = not upward

    def masked(self, mask: int) -> Matrix:
        self._format(mask)
        return tuple(
            tuple(
                dark != (not fixed and _turns(mask, row, column))
                for column, (dark, fixed) in enumerate(zip(line, fixed_line, strict=True))
            )
            for row, (line, fixed_line) in enumerate(zip(self._dark, self._fixed, strict=True))
        )


def _turns(mask: int, r: int, c: int) -> bool:
    """Whether a mask turns the module in that row and column over (ISO/IEC 18004, table 10)."""
    value = (
        (r + c) % 2, r % 2, c % 3, (r + c) % 3, (r // 2 + c // 3) % 2, r * c % 2 + r * c % 3,
        (r * c % 2 + r * c % 3) % 2, ((r + c) % 2 + r * c % 3) % 2,
    )[mask]  # fmt: skip
    return value == 0


_LIKE_A_FINDER = ("10111010000", "00001011101")


def _penalty(matrix: Matrix) -> int:
    """How hard to read (ISO/IEC 18004, 7.8.3): long runs, blocks, what looks like a finder, too much of one colour."""
    size = len(matrix)
    rows = ["".join("1" if dark else "0" for dark in line) for line in matrix]
    columns = ["".join(line) for line in zip(*rows, strict=True)]
    points = 0
    for line in (*rows, *columns):
        run = 1
        for before, here in zip(line, line[1:] + "x", strict=True):
            if before == here:
                run += 1
                continue
            points += run - 2 if run >= 5 else 0
            run = 1
        for pattern in _LIKE_A_FINDER:
            at = line.find(pattern)
            while at >= 0:
                points += 40
                at = line.find(pattern, at + 1)
    for above, below in pairwise(rows):
        points += 3 * sum(above[i] == above[i + 1] == below[i] == below[i + 1] for i in range(size - 1))
    dark = sum(map(sum, matrix))
    return points + 10 * (abs(dark * 20 - size * size * 10) // (size * size))
