"""Faults of one line each that the tests beside the code must notice: `python -m tests.mutations`.

A line is found by its text, so that the list survives whatever moves around it.
"""

from __future__ import annotations

from typing import NamedTuple


class Mutation(NamedTuple):
    """In `file` of `acestep_core`, `old` (part of exactly one line) becomes `new`; `tests` must then fail."""

    file: str
    old: str
    new: str
    tests: str


MUTATIONS = (
    # seeds
    Mutation("seeds.py", "(seed + i) % (MAX_SEED + 1)", "(seed + i) % MAX_SEED", "tests/test_seeds.py"),
    Mutation("seeds.py", "not 0 <= seed <= MAX_SEED", "not 0 <= seed < MAX_SEED", "tests/test_seeds.py"),
    Mutation("seeds.py", "if isinstance(seed, bool) or not", "if not", "tests/test_seeds.py"),
    Mutation("seeds.py", "angle = variance * math.pi / 2", "angle = variance * math.pi", "tests/test_seeds.py"),
    Mutation("seeds.py", "1 <= batch <= MAX_BATCH", "1 <= batch", "tests/test_seeds.py"),
    # song
    Mutation("song/codes.py", "min(code, CODEBOOK_SIZE - 1)", "min(code, CODEBOOK_SIZE)", "tests/song"),
    Mutation("song/codes.py", "round(seconds * CODE_RATE, 6)", "seconds * CODE_RATE", "tests/song"),
    Mutation("song/codes.py", "or not 0 <= code < CODEBOOK_SIZE", "or not 0 <= code <= CODEBOOK_SIZE", "tests/song"),
    Mutation("song/description.py", "if not math.isfinite(number):", "if False:", "tests/song"),
    Mutation("song/description.py", "if number != int(number) or not BPM_MIN <=", "if not BPM_MIN <=", "tests/song"),
    Mutation("song/description.py", "UNKNOWN_LANGUAGE if self.instrumental else language", "language", "tests/song"),
    # io
    Mutation("io/files.py", "temporary.touch(exist_ok=False)", "pass", "tests/io"),
    Mutation("io/files.py", "number = max((int(match[1])", "number = min((int(match[1])", "tests/io"),
    Mutation("io/files.py", "return existing[0] if existing else inside[0]", "return inside[0]", "tests/io"),
    Mutation("io/files.py", "temporary.unlink(missing_ok=True)", "pass", "tests/io"),
    Mutation("io/audio.py", 'wanted, quality="HQ")).T', 'wanted, quality="QQ")).T', "tests/io"),
    Mutation("io/audio.py", "SAMPLE_RATE).clamp(-1.0, 1.0)", "SAMPLE_RATE)", "tests/io"),
    Mutation("io/audio.py", "if samples.shape[0] == 0:", "if False:", "tests/io"),
    # planner
    Mutation("planner/metas.py", 'str(value).removesuffix("/4")', "str(value)", "tests/parity/test_prompts.py"),
    Mutation("planner/metas.py", '.removesuffix("<|im_end|>")', "", "tests/parity/test_parsing.py"),
    Mutation("planner/plan.py", "return replace(other, **self.fields())", "return other", "tests/planner/test_plan.py"),
    Mutation("planner/plan.py", 'decided.pop("language", None)', "pass", "tests/planner/test_plan.py"),
    Mutation(
        "planner/sampling.py", "masked_fill(before > p", "masked_fill(before >= 2 * p", "tests/planner/test_sampling.py"
    ),
    Mutation(
        "planner/sampling.py",
        "logits < 0, logits * penalty",
        "logits < 0, logits / penalty",
        "tests/parity/test_parsing.py",
    ),
    Mutation(
        "planner/decode.py", "self.seen.scatter_(1, chosen[:, None], True)", "pass", "tests/planner/test_decode.py"
    ),
    Mutation(
        "planner/decode.py", "chosen = chosen.masked_fill(self.ended, self.end)", "pass", "tests/planner/test_decode.py"
    ),
    # judge
    Mutation("judge/alignment.py", "upper if size % 2 else", "upper if True else", "tests/judge/test_alignment.py"),
    Mutation(
        "judge/alignment.py",
        "take_above = (above < diagonal)",
        "take_above = (above <= diagonal)",
        "tests/judge/test_alignment.py",
    ),
    Mutation("judge/alignment.py", "centres[:-1] - overlap_frames", "centres[:-1]", "tests/judge/test_alignment.py"),
    Mutation("judge/alignment.py", "row >= row.max() / 2", "row >= row.max()", "tests/judge/test_alignment.py"),
    Mutation("judge/lm_score.py", ") or top_k < 1:", ") or top_k < 0:", "tests/judge/test_lm_score.py"),
    Mutation("judge/lm_score.py", "end > chars.start]", "end >= chars.start]", "tests/judge/test_lm_score.py"),
    Mutation(
        "judge/subtitles.py",
        "limit = following[0].start if following else math.inf",
        "limit = math.inf",
        "tests/judge/test_subtitles.py",
    ),
    # host
    Mutation("host/queue/prompt_queue.py", "heapq.heapify(self._pending)", "pass", "tests/host/test_server.py"),
    Mutation(
        "host/queue/prompt_queue.py", "self._bytes -= len(self._running.text)", "pass", "tests/host/test_security.py"
    ),
    Mutation(
        "host/queue/prompt_queue.py",
        "(job_id is not None and self._running.job.id != job_id)",
        "False",
        "tests/host/test_conformance.py",
    ),
    Mutation("host/queue/history.py", "self._bytes += item.size", "pass", "tests/host/test_load.py"),
    Mutation("host/queue/history.py", "else max(0, len(ids) - max_items)", "else 0", "tests/host/test_server.py"),
    Mutation("host/server/security.py", 'if scheme.lower() == "bearer":', "if True:", "tests/host/test_security.py"),
    Mutation(
        "host/server/security.py",
        'name = name.lower().rstrip(".")',
        "name = name.lower()",
        "tests/host/test_security.py",
    ),
)
