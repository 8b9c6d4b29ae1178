"""Octets as text, whatever their label says.

Labels are often wrong, or name less than what senders put there, and some are known to nobody: as labelled, if that is
possible, else UTF-8, else what Windows wrote in western Europe, which is a character for nearly every octet. The two
charsets that Vietnamese was written in before UTF-8 and that Python does not know stand here.
"""

from __future__ import annotations

from typing import Final

_BETTER: Final = {
    "us-ascii": "utf-8",
    "ascii": "utf-8",
    "unknown-8bit": "utf-8",
    "iso-8859-1": "cp1252",
    "latin-1": "cp1252",
    "latin1": "cp1252",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "ks_c_5601-1987": "cp949",
    "euc-kr": "cp949",
    "iso-8859-8-i": "iso-8859-8",
}
"""All of them are supersets, and browsers read them so too."""

_NONE: Final = frozenset({"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined"})
"""Codecs of Python's own that no letter means, and that warn or are slow on hostile input."""

_SAME: Final = "".join(map(chr, range(128)))
_VISCII: Final = str.maketrans("\x02\x05\x06\x14\x19\x1e", "ẲẴẪỶỸỴ")
_TCVN: Final = str.maketrans("\x01\x02\x04\x05\x06\x11\x12\x13\x14\x15\x16\x17", "ÚỤỪỬỮỨỰỲỶỸÝỴ")
_TABLES: Final = {
    "viscii": _SAME.translate(_VISCII)
    + "ẠẮẰẶẤẦẨẬẼẸẾỀỂỄỆỐỒỔỖỘỢỚỜỞỊỎỌỈỦŨỤỲÕắằặấầẩậẽẹếềểễệốồổỗỠƠộờởịỰỨỪỬơớƯ"
    + "ÀÁÂÃẢĂẳẵÈÉÊẺÌÍĨỳĐứÒÓÔạỷừửÙÚỹỵÝỡưàáâãảăữẫèéêẻìíĩỉđựòóôõỏọụùúũủýợỮ",
    "tcvn": _SAME.translate(_TCVN)
    + "ÀẢÃÁẠẶẬÈẺẼÉẸỆÌỈĨÍỊÒỎÕÓỌỘỜỞỠỚỢÙỦŨ\xa0ĂÂÊÔƠƯĐăâêôơưđẰ\u0300\u0309\u0303\u0301\u0323àảãáạẲằẳẵắẴ"
    + "ẮẦẨẪẤỀặầẩẫấậèỂẻẽéẹềểễếệìỉỄẾỒĩíịòỔỏõóọồổỗốộờởỡớợùỖủũúụừửữứựỳỷỹýỵỐ",
}
"""RFC 1456 §2; TCVN 5712:1993. A character for each octet."""

_OLD_VIETNAMESE: Final = {
    "viscii": "viscii",
    "viscii1.1-1": "viscii",
    "csviscii": "viscii",
    "tcvn": "tcvn",
    "tcvn3": "tcvn",
    "tcvn-5712": "tcvn",
    "tcvn5712-1": "tcvn",
    "tcvn5712-1:1993": "tcvn",
    "x-viet-tcvn": "tcvn",
    "x-viet-tcvn5712": "tcvn",
}


def text_of(octets: bytes, charset: str) -> str:
    """Octets as text, whatever the label says: as labelled, else UTF-8, else one character for each octet."""
    charset = charset.lower()
    if octets.isascii() and b"\x1b" not in octets and charset in ("", "utf-8", "us-ascii", "iso-8859-1"):
        return octets.decode("ascii")
    if table := _OLD_VIETNAMESE.get(charset):
        return octets.decode("latin-1").translate(_TABLES[table])
    charset = _BETTER.get(charset, charset)
    if charset.replace("-", "_") not in _NONE and charset not in ("", "utf-8", "utf8"):
        try:
            return octets.decode(charset, "replace")
        except (LookupError, ValueError):
            pass
    return _utf8(octets)


def _utf8(octets: bytes) -> str:
    """UTF-8, also where it was cut inside of a character or some of it is spoilt; if most of it is none, another."""
    octets = octets.removeprefix(b"\xef\xbb\xbf")
    try:
        return octets.decode()
    except UnicodeDecodeError as error:
        is_cut = error.start >= len(octets) - 3 and error.reason == "unexpected end of data"
        if is_cut and not octets[: error.start].isascii():
            return octets[: error.start].decode()
    text = octets.decode("utf-8", "replace")
    spoilt = text.count("\N{REPLACEMENT CHARACTER}")
    foreign = len(text) - len(text.encode("ascii", "ignore"))
    if foreign - spoilt > 4 * spoilt:
        return text
    return octets.decode("cp1252", "replace")
