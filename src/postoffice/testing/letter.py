"""A letter to try the road with: words outside of ASCII in header and body, a line that begins with a dot, a picture.

It is what an ordinary mail program sends: seven bits, quoted-printable text, a PNG in base64, lines ending with CRLF.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid

SUBJECT = "Thư đầu tiên: từ Hà Nội đi khắp nơi"
BODY = """\
Chào Bob,

Đây là lá thư thật, đi trọn con đường: viết, gửi, chuyển tiếp, cất giữ, lấy về.
...và dòng này bắt đầu bằng dấu chấm.

Hẹn gặp lại,
Alice
"""
PICTURE_NAME = "bì thư.png"

_PAPER = (250, 244, 226)
_INK = (150, 60, 50)


@dataclass(frozen=True, slots=True)
class WrittenLetter:
    """`octets` is the letter exactly as its writer made it."""

    sender: str
    recipient: str
    octets: bytes
    picture: bytes


def write_letter(sender: str, recipient: str, now: float) -> WrittenLetter:
    """A new one; no two are alike, because each has its own Message-ID."""
    picture = draw_envelope()
    message = EmailMessage(policy=SMTP)
    message["From"] = f"Alice <{sender}>"
    message["To"] = f"Bob <{recipient}>"
    message["Date"] = format_datetime(datetime.fromtimestamp(int(now), UTC))
    message["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2])
    message["Subject"] = SUBJECT
    message.set_content(BODY, cte="quoted-printable")
    message.add_attachment(picture, "image", "png", filename=PICTURE_NAME)
    return WrittenLetter(sender, recipient, message.as_bytes(), picture)


def draw_envelope(width: int = 96, height: int = 64) -> bytes:
    """A closed envelope as PNG (ISO 15948): signature, header, one compressed image, end."""
    rows = []
    for y in range(height):
        flap = min(2 * y, height) * width // (2 * height)
        row = bytearray(b"\0")  # this row is not filtered
        for x in range(width):
            is_edge = x in (0, width - 1) or y in (0, height - 1)
            is_flap = 2 * y < height and min(abs(x - flap), abs(width - 1 - x - flap)) <= 1
            row += bytes(_INK if is_edge or is_flap else _PAPER)
        rows.append(bytes(row))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # eight bits each of red, green, blue
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"".join(rows), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
