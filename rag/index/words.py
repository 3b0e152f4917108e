"""How a text is cut into words, for the lexical index and for whoever asks it."""

from __future__ import annotations

import re

_NON = re.compile(r"\bnon[-\u2010-\u2013 ](?=\w)", re.IGNORECASE)


def joined(text: str) -> str:
    """The text with "non" joined to the word that it denies.

    "Non-small cell" becomes "Nonsmall cell", so that it is another word than "small cell", and the same
    as "nonsmall cell" where a page spells it so.
    """
    if "non" not in text.lower():
        return text  # nearly all are, and this tells it many times faster
    return _NON.sub(lambda found: found[0][:3], text)
