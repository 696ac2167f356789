"""`python -m acestep_core.commands` is `acestep`, where the package lies in a folder without being installed."""

from __future__ import annotations

import sys

from acestep_core.commands.main import main

sys.exit(main())
