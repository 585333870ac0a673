"""mien: photographs of faces into reproducible facial-expression research."""

__version__ = "0.1.0"
