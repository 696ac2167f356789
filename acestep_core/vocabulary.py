"""The words the models know: languages, keys, time signatures, tracks, instructions, limits and rates.

Values and exact strings are those of ACE-Step 1.5 (`constants.py`); a changed character is another prompt.
"""

from __future__ import annotations

from typing import Final

SAMPLE_RATE: Final = 48_000
"""Samples per second of all audio inside the library."""
LATENT_RATE: Final = 25
"""Latent frames per second."""
CODE_RATE: Final = 5
"""Semantic codes per second."""
HOP: Final = 1920
"""Samples per latent frame: `SAMPLE_RATE / LATENT_RATE`."""
FRAMES_PER_CODE: Final = 5
"""Latent frames per semantic code: `LATENT_RATE / CODE_RATE`."""
LATENT_CHANNELS: Final = 64
CODEBOOK_SIZE: Final = 64_000
"""Legal semantic codes are `0 … CODEBOOK_SIZE - 1` (finite scalar quantiser with levels 8, 8, 8, 5, 5, 5)."""

BPM_MIN: Final = 30
BPM_MAX: Final = 300
DURATION_MIN: Final = 10.0
"""Seconds."""
DURATION_MAX: Final = 600.0
"""Seconds."""
CAPTION_TOKENS: Final = 256
"""Tokens that are read of the prompt with instruction, caption and metadata; what follows is cut."""
LYRIC_TOKENS: Final = 2048
"""Tokens that are read of the prompt with language and lyrics."""
PROMPT_TOKENS: Final = 64
"""About what a prompt takes itself."""
BYTES_PER_TOKEN: Final = 3
"""Of UTF-8, at least, in most languages: a token is a Chinese character, or four letters of English."""

UNKNOWN_LANGUAGE: Final = "unknown"
LANGUAGES: Final[dict[str, str]] = {
    "ar": "Arabic",
    "az": "Azerbaijani",
    "bg": "Bulgarian",
    "bn": "Bengali",
    "ca": "Catalan",
    "cs": "Czech",
    "da": "Danish",
    "de": "German",
    "el": "Greek",
    "en": "English",
    "es": "Spanish",
    "fa": "Persian",
    "fi": "Finnish",
    "fr": "French",
    "he": "Hebrew",
    "hi": "Hindi",
    "hr": "Croatian",
    "ht": "Haitian Creole",
    "hu": "Hungarian",
    "id": "Indonesian",
    "is": "Icelandic",
    "it": "Italian",
    "ja": "Japanese",
    "ko": "Korean",
    "la": "Latin",
    "lt": "Lithuanian",
    "ms": "Malay",
    "ne": "Nepali",
    "nl": "Dutch",
    "no": "Norwegian",
    "pa": "Punjabi",
    "pl": "Polish",
    "pt": "Portuguese",
    "ro": "Romanian",
    "ru": "Russian",
    "sa": "Sanskrit",
    "sk": "Slovak",
    "sr": "Serbian",
    "sv": "Swedish",
    "sw": "Swahili",
    "ta": "Tamil",
    "te": "Telugu",
    "th": "Thai",
    "tl": "Tagalog",
    "tr": "Turkish",
    "uk": "Ukrainian",
    "ur": "Urdu",
    "vi": "Vietnamese",
    "yue": "Cantonese",
    "zh": "Chinese",
    "unknown": "Unknown",
}
"""Language code -> English name, in the models' order."""

OWN_NAMES: Final[dict[str, str]] = {
    "ar": "العربية",
    "az": "azərbaycanca, azərbaycan dili",
    "bg": "български",
    "bn": "বাংলা",
    "ca": "català",
    "cs": "čeština",
    "da": "dansk",
    "de": "Deutsch",
    "el": "ελληνικά",
    "es": "español, castellano",
    "fa": "فارسی",
    "fi": "suomi",
    "fr": "français",
    "he": "עברית",
    "hi": "हिन्दी, हिंदी",
    "hr": "hrvatski",
    "ht": "kreyòl ayisyen, kreyòl",
    "hu": "magyar",
    "id": "Bahasa Indonesia",
    "is": "íslenska",
    "it": "italiano",
    "ja": "日本語, 日语",
    "ko": "한국어, 한국말, 韓国語, 韩语",
    "la": "latina",
    "lt": "lietuvių",
    "ms": "Bahasa Melayu, Melayu",
    "ne": "नेपाली",
    "nl": "Nederlands",
    "no": "norsk, bokmål, nynorsk",
    "pa": "ਪੰਜਾਬੀ",
    "pl": "polski",
    "pt": "português",
    "ro": "română",
    "ru": "русский",
    "sa": "संस्कृतम्, संस्कृत",
    "sk": "slovenčina",
    "sr": "српски, srpski",
    "sv": "svenska",
    "sw": "Kiswahili",
    "ta": "தமிழ்",
    "te": "తెలుగు",
    "th": "ไทย, ภาษาไทย",
    "tr": "Türkçe",
    "uk": "українська",
    "ur": "اردو",
    "vi": "Tiếng Việt",
    "yue": "粵語, 粤语, 廣東話, 广东话",
    "zh": "中文, 汉语, 漢語, 普通话, 國語, 国语, 華語",
}
"""What languages are called by those who speak them."""

THREE_LETTERS: Final = """
    ara:ar aze:az bul:bg ben:bn cat:ca ces:cs cze:cs dan:da deu:de ger:de ell:el gre:el eng:en spa:es fas:fa per:fa
    fin:fi fra:fr fre:fr heb:he hin:hi hrv:hr hat:ht hun:hu ind:id isl:is ice:is ita:it jpn:ja kor:ko lat:la lit:lt
    msa:ms may:ms nep:ne nld:nl dut:nl nor:no nob:no nno:no pan:pa pol:pl por:pt ron:ro rum:ro rus:ru san:sa slk:sk
    slo:sk srp:sr swe:sv swa:sw tam:ta tel:te tha:th tgl:tl tur:tr ukr:uk urd:ur vie:vi zho:zh chi:zh cmn:zh und:unknown
"""
"""ISO 639-2 and -3, as the tags of recordings have them -> language code."""

LANGUAGE_ALIASES: Final[dict[str, str]] = {
    "cn": "zh",
    "jp": "ja",
    "kr": "ko",
    "farsi": "fa",
    "filipino": "tl",
    "fil": "tl",
    "haitian": "ht",
    "iw": "he",
    "in": "id",
    "mandarin": "zh",
    "chinese (cantonese)": "yue",
    "nb": "no",
    "nn": "no",
    "auto": "unknown",
    "none": "unknown",
    "n/a": "unknown",
    "": "unknown",
}
"""Other words people use, lower case -> language code."""

NOTES: Final = ("A", "B", "C", "D", "E", "F", "G")
ACCIDENTALS: Final = ("", "#", "b", "♯", "♭")
MODES: Final = ("major", "minor")
KEYSCALES: Final[tuple[str, ...]] = tuple(
    f"{note}{accidental} {mode}" for note in NOTES for accidental in ACCIDENTALS for mode in MODES
)
"""The 70 key names the language model may write."""
PLAIN_KEYSCALES: Final[tuple[str, ...]] = tuple(key for key in KEYSCALES if key.isascii())
"""The 42 of them a `Song` holds: a unicode accidental becomes `#` or `b`."""

TIME_SIGNATURES: Final[tuple[str, ...]] = ("2", "3", "4", "6")
"""Beats per bar, as the models write them (4 for 4/4, 6 for 6/8)."""

TRACKS: Final[tuple[str, ...]] = (
    "woodwinds",
    "brass",
    "fx",
    "synth",
    "strings",
    "percussion",
    "keyboard",
    "guitar",
    "bass",
    "drums",
    "backing_vocals",
    "vocals",
)

INSTRUMENTS: Final[dict[str, str]] = {
    "saxophone": "woodwinds",
    "sax": "woodwinds",
    "flute": "woodwinds",
    "clarinet": "woodwinds",
    "oboe": "woodwinds",
    "trumpet": "brass",
    "trombone": "brass",
    "horn": "brass",
    "violin": "strings",
    "viola": "strings",
    "cello": "strings",
    "piano": "keyboard",
    "organ": "keyboard",
    "synthesizer": "synth",
    "voice": "vocals",
    "choir": "backing_vocals",
    "effects": "fx",
}
"""Instruments people name -> the track of the models that they belong to."""

TURBO_TASKS: Final[tuple[str, ...]] = ("text2music", "repaint", "cover")
"""Tasks every checkpoint was trained for."""
BASE_TASKS: Final[tuple[str, ...]] = (*TURBO_TASKS, "extract", "lego", "complete")
"""Tasks of the base checkpoints."""

TASK_INSTRUCTIONS: Final[dict[str, str]] = {
    "text2music": "Fill the audio semantic mask based on the given conditions:",
    "repaint": "Repaint the mask area based on the given conditions:",
    "cover": "Generate audio semantic tokens based on the given conditions:",
    "extract": "Extract the {TRACK_NAME} track from the audio:",
    "extract_default": "Extract the track from the audio:",
    "lego": "Generate the {TRACK_NAME} track based on the audio context:",
    "lego_default": "Generate the track based on the audio context:",
    "complete": "Complete the input track with {TRACK_CLASSES}:",
    "complete_default": "Complete the input track:",
}
"""Instructions of the DiT's text prompt. `{TRACK_NAME}` is upper case; `{TRACK_CLASSES}` are joined with ` | `."""

LM_INSTRUCTIONS: Final[dict[str, str]] = {
    "generate": "Generate audio semantic tokens based on the given conditions:",
    "understand": "Understand the given musical conditions and describe the audio semantics accordingly:",
    "create": "Expand the user's input into a more detailed and specific musical description:",
    "format": "Format the user's input into a more detailed and specific musical description:",
}
"""System instructions of the language model."""

NO_USER_INPUT: Final = "NO USER INPUT"
"""What the language model was trained to read as "nothing was given"."""
INSTRUMENTAL_LYRICS: Final = "[Instrumental]"
