"""Invent words, and now and then those that break what was only tried with words."""

from acsync.simulator.chance import draw

FIRST_NAMES = (
    "Ada",
    "Béla",
    "Chidi",
    "Dörte",
    "Esmé",
    "Farid",
    "Guðrún",
    "Hiroshi",
    "Ines",
    "Jörg",
)
LAST_NAMES = (
    "Abendroth",
    "Brontë",
    "da Silva",
    "Eßer",
    "Fujimoto",
    "Grünwald",
    "Håkansson",
    "Ibn-Sina",
)
COMPANIES = ("Acme", "Borealis", "Cobalt & Co.", "Duna Kft.", "Elm Street Ltd", "Fjord AS")
WORDS = (
    "autumn", "brochure", "callback", "demo", "expansion", "forecast", "gateway", "harbour",
    "invoice", "journey", "keystone", "licence", "migration", "newsletter", "onboarding", "pilot",
)  # fmt: skip
ODD_TEXTS = (
    "🦄 emoji 👩‍👩‍👧‍👦 and 𝄞",
    "she said \"yes\", he said 'no'",
    "100 % of %s and %(name)s",
    "<p>Hello&nbsp;<b>you</b></p><script>alert(1)</script>",
    "'); DROP TABLE ac_contacts; --",
    "C:\\new\\table\\u0000 \\\\server",
    "a NUL \u0000 inside",
    "line one\nline two\r\n\ttabbed",
    "مرحبا بالعالم",
    "日本語テキスト",
    "   spaces around   ",
    "null",
    "NaN",
    "0",
    "1e5",
    "0123",
    "||",
    "{{ template }} {curly} ${dollar}",
    "zero width \u200b and no-break\u00a0space",
)
"""Each was a bug somewhere; the backslash one only looks like a NUL."""

PHONES = ("", "007", "+1 555 0100", "+44 20 7946 0000", "0049-30-1234", "555.0199", "00000")


def text(bits: int) -> str:
    """Give two words and a number, or in one of 25 cases an odd text."""
    if bits % 25 == 0:
        return ODD_TEXTS[draw(bits) % len(ODD_TEXTS)]
    return f"{WORDS[bits % 16]} {WORDS[(bits >> 8) % 16]} {bits % 9973}"


def name(bits: int, names: tuple[str, ...]) -> str:
    """Give one of `names`, sometimes an odd one or none."""
    case = bits % 60
    if case < 3:
        return "" if case else ODD_TEXTS[draw(bits) % len(ODD_TEXTS)]
    return names[(bits >> 8) % len(names)]
