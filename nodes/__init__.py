"""The graph layer: one class per node. It names the library's stages and draws their wires; it does no maths."""
