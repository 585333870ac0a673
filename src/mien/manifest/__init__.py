"""The tables that stages hand to each other, the canonical expressions, and how a picture is read."""
