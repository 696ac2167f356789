"""`acestep import`: somebody else's graph, or a request of another program, as a graph of this pack's nodes."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from acestep_core.commands.flags import examples
from acestep_core.host.server.host_options import add_place_options, folders_of, packs_of


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser(
        "import",
        help="turn a native ComfyUI graph or another program's request into ours",
        description=__doc__,
        **examples(
            "acestep import native_workflow.json",
            "acestep import ComfyUI_00001_.mp3 -o song.json",
            "acestep import request.json --json",
        ),
    )
    parser.add_argument(
        "source",
        type=Path,
        metavar="FILE",
        help="a graph of ComfyUI's ACE-Step nodes or of another pack (canvas or API file, or a song or picture that "
        "holds one); upstream's saved parameters or REST body; a request of acestep.cpp",
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="the canvas file; default: FILE's name with _acestep"
    )
    parser.add_argument("--json", action="store_true", help="print files, notes and errors as JSON, one a line")
    add_place_options(parser)


def run(options: argparse.Namespace) -> int:
    from acestep_core.host.graph.migrate.migration import migrated, read_foreign
    from acestep_core.io.atomic import atomic_write

    data = read_foreign(options.source)
    made = migrated(data, _definitions(options), options.source.name)
    canvas = options.output or options.source.with_name(f"{options.source.stem}_acestep.json")
    prompt = canvas.with_name(f"{canvas.stem}_api.json")
    for path, graph in ((canvas, made.canvas), (prompt, made.prompt)):
        with atomic_write(path) as staged:
            staged.write_text(json.dumps(graph, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if options.json:
        sys.stdout.write(json.dumps({"canvas": str(canvas), "prompt": str(prompt), "notes": made.notes}) + "\n")
        return 0
    sys.stdout.write(f"{canvas}\n{prompt}\n")
    sys.stderr.writelines(f"Note: {note}\n" for note in made.notes)
    return 0


def _definitions(options: argparse.Namespace) -> dict[str, Any]:
    """The nodes, with the models and recordings that are here."""
    from acestep_core.host.graph.context import hosting
    from acestep_core.host.server.host import load_registry

    with hosting(folders_of(options)):
        return load_registry(packs_of(options)).definitions()
