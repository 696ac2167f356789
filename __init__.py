"""The folder as a ComfyUI node pack. Imports neither torch nor ComfyUI."""

import importlib.util
import sys
from pathlib import Path

if __package__:  # a test runner may import this file on its own, where nothing relative works

    def _use_own_library() -> None:
        """Makes `acestep_core` importable where only this folder was copied and nothing was installed."""
        folder = Path(__file__).parent / "acestep_core"
        if "acestep_core" in sys.modules or not folder.is_dir():
            return
        spec = importlib.util.spec_from_file_location(
            "acestep_core", folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        module = importlib.util.module_from_spec(spec)
        sys.modules["acestep_core"] = module
        spec.loader.exec_module(module)

    _use_own_library()

    from .nodes.host import register
    from .nodes.registry import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

    register()

WEB_DIRECTORY = "./web"

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS", "WEB_DIRECTORY"]
