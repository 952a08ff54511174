"""The artifact, ``model.tar.gz``: what serves and nothing else; its manifest, and the proof that it serves."""
