"""The file: what it is, which model wrote it, how many images of which size, the code, a checksum. Some twenty-five bytes beside the code.

4 bytes   89 49 42 5A: a byte that no text begins with, and IBZ
1 byte    the version of the format, 1
8 bytes   the first of the model's SHA-256: its spec, sizes and every learned number
varints   images, height, width, words of code (LEB128: seven bits a byte, the lowest first)
words     the code, 32 bits each, lowest byte first
4 bytes   the CRC-32 of all before it, lowest byte first

A file has at most 1024 images, and as many more for every word: a few bytes that announce a million images cannot keep a reader busy.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

from ibsym.errors import IbsymError

MAGIC, VERSION, DIGEST = b"\x89IBZ", 1, 8
MOST_IMAGES, MOST_PIXELS, MOST_BYTES = 1_000_000, 1 << 28, 1 << 28
IMAGES_A_WORD = 1024
LONGEST = 4  # bytes of a varint: below 2^28


class CodeError(IbsymError):
    """A file that cannot be read back: says what is wrong with it."""


def damaged(why: str) -> CodeError:
    """A file of ours that is not whole."""
    return CodeError(f"the file is damaged: {why}\n  write: a whole copy of what ibsym compress wrote")


@dataclass(frozen=True)
class Contents:
    """What a file says."""

    digest: bytes
    images: int
    height: int
    width: int
    words: bytes

    def packed(self) -> bytes:
        """The file's bytes."""
        head = MAGIC + bytes([VERSION]) + self.digest
        sizes = (self.images, self.height, self.width, len(self.words) // 4)
        body = head + b"".join(map(varint, sizes)) + self.words
        return body + struct.pack("<I", zlib.crc32(body))

    def check(self) -> Contents:
        """Raises where the sizes are none, or more than fit."""
        if (
            not (self.height and self.width)
            or self.images > MOST_IMAGES
            or self.images * self.height * self.width > MOST_PIXELS
        ):
            raise CodeError(
                f"{self.images} images of {self.height} x {self.width}, and a file may hold {MOST_IMAGES} images "
                f"and {MOST_PIXELS} pixels\n  write: fewer images a file"
            )
        return self

    def check_code(self) -> Contents:
        """Raises where so little code cannot be that of so many images."""
        words = len(self.words) // 4
        if self.images > IMAGES_A_WORD * (1 + words):
            raise CodeError(
                f"{self.images} images in {words} words of code, and a file may hold {IMAGES_A_WORD} images, and as many more for "
                "every word\n  write: fewer images a file"
            )
        return self


def varint(number: int) -> bytes:
    r"""Seven bits a byte, the lowest first; the last byte's high bit is clear.

    >>> varint(5), varint(300)
    (b'\x05', b'\xac\x02')
    """
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


def read_varint(data: bytes, start: int) -> tuple[int, int]:
    """The number that starts there, and where the next one does; written as short as it can be."""
    number = 0
    for place in range(LONGEST):
        if start + place >= len(data):
            raise damaged("it ends within its sizes")
        byte = data[start + place]
        number |= (byte & 127) << 7 * place
        if byte < 128:
            if place and not byte:
                break
            return number, start + place + 1
    raise damaged("its sizes are none")


def unpacked(data: bytes) -> Contents:
    """What the bytes say, if they are whole; nothing in them is executed, and no more memory is used than they take."""
    begin = len(MAGIC) + 1
    if data[: len(MAGIC)] != MAGIC:
        raise CodeError("not a file of ibsym compress\n  write: one that ibsym compress wrote")
    if len(data) < begin + DIGEST + 4 + 4:
        raise damaged("it ends within its header")
    if data[len(MAGIC)] != VERSION:
        raise CodeError(
            f"of version {data[len(MAGIC)]}, and this ibsym reads version {VERSION}\n  write: the ibsym that wrote it"
        )
    numbers, place = [], begin + DIGEST
    for _ in range(4):
        number, place = read_varint(data, place)
        numbers.append(number)
    end = place + 4 * numbers[3]
    if len(data) != end + 4:
        raise damaged(f"it announces {end + 4} bytes, and has {len(data)}")
    if zlib.crc32(data[:end]) != struct.unpack("<I", data[end:])[0]:
        raise damaged("its checksum does not fit")
    images, height, width, _ = numbers
    return Contents(data[begin : begin + DIGEST], images, height, width, data[place:end]).check().check_code()


def read(path: Path) -> bytes:
    """The bytes of a file that begins as ours do and is not too long."""
    with path.open("rb") as stream:
        head = stream.read(len(MAGIC))
        if head != MAGIC:
            return head
        data = head + stream.read(MOST_BYTES)
    if len(data) >= MOST_BYTES:
        raise CodeError(f"{path}: has more than {MOST_BYTES} bytes\n  write: fewer images a file")
    return data
