"""The charsets that CSV may come in, as a `Content-Type` names them."""

import codecs
import io
from encodings import __path__ as codec_path
from encodings import normalize_encoding
from encodings.aliases import aliases
from pkgutil import iter_modules

from werkzeug.http import parse_options_header

from schemas.errors import InvalidField
from schemas.media_types import CSV

UTF_8 = "utf-8"
CONTENT_TYPE = "Content-Type"

_KNOWN = {*aliases, *aliases.values(), *(module.name for module in iter_modules(codec_path))}
"""Names that Python knows; to look up any other would keep it in memory for good."""
_NO_CHARSETS = {"utf-7", "idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined"}
"""Codecs that take texts which are none, such as half of a surrogate pair, or code for domains."""
_SUPERSETS = {"ascii": UTF_8, "euc_kr": "cp949", "gb2312": "gbk", "shift_jis": "cp932"}
"""Charsets that files name where they are in a larger one; browsers read them in that, too."""


def charset_of(content_type: str, media_type: str) -> str:
    """
    Give Python's name of the charset that a `Content-Type` names; UTF-8 where it names none.

    Raises: InvalidField where there is none of that name, or the media type has no choice.
    """
    name = parse_options_header(content_type)[1].get("charset", "").strip()
    if not name:
        return UTF_8
    charset = _codec(name)
    if charset is None:
        detail = f"the charset {name[:64]!r} is unknown: utf-8, cp949 and utf-16 are some of those"
        raise InvalidField(detail, parameter=CONTENT_TYPE)
    if media_type != CSV and charset != UTF_8:
        raise InvalidField(
            f"only {CSV} may be in another charset than UTF-8", parameter=CONTENT_TYPE
        )
    return charset


def _codec(name: str) -> str | None:
    """Find Python's codec for texts; None where there is none."""
    known = normalize_encoding(name).lower() if name.isascii() else ""
    if known not in _KNOWN:
        return None
    try:
        codec = codecs.lookup(known)
        io.TextIOWrapper(io.BytesIO(), codec.name)
    except LookupError:  # unknown to this system, or from bytes to bytes
        return None
    return (
        None
        if codec.name.replace("_", "-") in _NO_CHARSETS
        else _SUPERSETS.get(codec.name, codec.name)
    )
