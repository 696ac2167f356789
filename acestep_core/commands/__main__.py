"""`python -m acestep_core.commands` is `acestep`, where the package lies in a folder without being installed.

So is `python FOLDER/acestep_core/commands`, from any folder, and for Pythons that look in their own places only, as
that of ComfyUI's portable build does.
"""

from __future__ import annotations

import sys
from pathlib import Path

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from acestep_core.commands.main import main

sys.exit(main())
