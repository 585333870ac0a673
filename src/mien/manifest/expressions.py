"""The canonical expressions. A corpus maps its own codes to these once, in its own file."""

NEUTRAL, HAPPY, SAD, SURPRISE = "neutral", "happy", "sad", "surprise"
FEAR, DISGUST, ANGER, CONTEMPT = "fear", "disgust", "anger", "contempt"

EXPRESSIONS: tuple[str, ...] = (NEUTRAL, HAPPY, SAD, SURPRISE, FEAR, DISGUST, ANGER, CONTEMPT)
"""In this order everywhere: class k of a method is the k-th of these that its corpus has."""

RAF_DB = {"1": SURPRISE, "2": FEAR, "3": DISGUST, "4": HAPPY, "5": SAD, "6": ANGER, "7": NEUTRAL}
"""The codes of RAF-DB, here because published lists of wrong labels bear them too."""


def classes_of(expressions: set[str]) -> tuple[str, ...]:
    """Put a corpus's expressions into canonical order; ValueError names what is not canonical."""
    unknown = sorted(expressions - set(EXPRESSIONS))
    if unknown:
        raise ValueError(f"not a canonical expression: {', '.join(unknown)}")
    return tuple(e for e in EXPRESSIONS if e in expressions)
