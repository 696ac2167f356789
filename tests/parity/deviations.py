"""Reference cases that upstream computes wrongly, with the reason and what we do instead.

Keys are case ids without their group. A case listed here is still run; the test checks that our result differs and
that it is finite, so that an entry cannot outlive its reason.
"""

from __future__ import annotations

OURS = "we use the schedule's own next time"

GENERATE = {
    "base_sde_apg_shift3": f"re-noises to 1-(i+1)/steps although the schedule is shifted; {OURS}",
    "base_sde_no_cfg": f"re-noises to 1-(i+1)/steps although the schedule is shifted; {OURS}",
    "base_cover_noise_sde": f"counts the re-noise level from the shortened schedule; {OURS}",
}
