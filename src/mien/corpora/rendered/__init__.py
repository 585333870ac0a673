"""The embedded corpus: rendered 3D faces of people who do not exist."""

from mien.corpora.rendered.corpus import render_corpus

__all__ = ["render_corpus"]
