"""The language model's prompts. A changed character is another prompt; the reference data pins every one."""

from __future__ import annotations

from acestep_core.vocabulary import LM_INSTRUCTIONS, NO_USER_INPUT

"""How the codes prompt ends. `corrected` leaves the assistant's turn open, as in training. `legacy` closes it first,
as the first release and the ports made from it did; it repeats results of that time."""

EMPTY_COT = "<think>\n\n</think>"


def chat(task: str, user: str) -> str:
    """The Qwen3 chat layout with an open assistant turn."""
    system = f"# Instruction\n{LM_INSTRUCTIONS[task]}\n\n"
    return f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n"


def is_meaningful(negative: str) -> bool:
    """Whether a negative prompt says anything."""
    return negative.strip() not in ("", NO_USER_INPUT)


def plan_prompt(caption: str, lyrics: str) -> str:
    """Asks for a plan (`<think>` ... `</think>`)."""
    return chat("generate", f"# Caption\n{caption}\n\n# Lyric\n{lyrics}\n")


def codes_prompt(caption: str, lyrics: str, cot: str, form: str = "corrected") -> str:
    """Asks for audio codes after a finished plan `cot`, `<think>` tags included."""
    return plan_prompt(caption, lyrics) + cot + _after_cot(form)


def codes_prompt_unconditional(
    caption: str, lyrics: str, negative: str = NO_USER_INPUT, form: str = "corrected"
) -> str:
    """The unconditional twin of `codes_prompt`, with an empty plan.

    The corrected form gives the model nothing but the negative prompt (or `NO USER INPUT`). The legacy form keeps the
    lyrics, and the caption where there is no negative prompt, so that guidance strengthens the plan alone.
    """
    if form == "legacy":
        prompt = plan_prompt(negative if is_meaningful(negative) else caption, lyrics)
    else:
        prompt = chat("generate", negative if is_meaningful(negative) else NO_USER_INPUT)
    return prompt + EMPTY_COT + _after_cot(form)


def understand_prompt(codes: str) -> str:
    """Asks what music the codes (`<|audio_code_N|>`...) are; for `NO USER INPUT` the model invents some."""
    return chat("understand", codes)


def create_prompt(query: str, instrumental: bool = False) -> str:
    """Asks for a whole song from a description in plain words, or from `NO USER INPUT`."""
    return chat("create", f"{query}\n\ninstrumental: {'true' if instrumental else 'false'}")


def format_prompt(caption: str, lyrics: str) -> str:
    """Asks for a better written caption and lyrics."""
    return chat("format", f"# Caption\n{caption}\n\n# Lyric\n{lyrics}")


def _after_cot(form: str) -> str:
    return "\n\n<|im_end|>\n" if form == "legacy" else "\n\n"
