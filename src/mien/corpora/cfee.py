"""CFEE, Compound Facial Expressions of Emotion (Du et al. 2014): 230 people, 22 categories, one picture each.

Layout of certainty C: nobody here has seen it, so how a path tells person and category is a setting.
"""

import re

from mien.config import MienError
from mien.config.corpora import CfeeCorpus
from mien.corpora.listed import Listed
from mien.corpora.official import Listing, Tree

MARKERS = ("",)
LAYOUT = "one picture a person and category, whose path corpora.NAME.pattern understands"
PEOPLE = 230


def official(config: CfeeCorpus) -> dict[str, int]:
    """230 people; of each category that is read, one picture each."""
    return {"people": PEOPLE} | {e: PEOPLE for e in config.categories.values() if e in config.expressions}


def listing(tree: Tree, config: CfeeCorpus) -> Listing:
    """All pictures of the categories in the settings; the others (compound ones) stay unlabelled rows.

    MienError: the pattern is wrong, or two pictures show one person in one category.
    """
    pattern = _pattern(tree, config)
    rows = Listed()
    seen: dict[tuple[str, str], str] = {}
    for path in tree.files:
        match = pattern.search(path)
        if match is None:
            continue
        subject, category = match["subject"], match["category"]
        kept = seen.setdefault((subject, category), path)
        reason = None if kept == path else f"second picture of {subject} in {category}, after {kept}"
        expression = config.categories.get(category)
        rows.append({"path": path, "expression": expression, "subject": subject, "reject": reason})
    if rows and not rows.has("expression"):
        found = ", ".join(sorted({category for _, category in seen})[:10])
        raise MienError(
            f"corpora.{tree.name}.categories names none of the categories that are there: {found}; add them."
        )
    return Listing(rows)


def _pattern(tree: Tree, config: CfeeCorpus) -> re.Pattern[str]:
    try:
        pattern = re.compile(config.pattern)
    except re.error as error:
        raise MienError(f"corpora.{tree.name}.pattern is not a regular expression: {error}.") from error
    if lacking := {"subject", "category"} - set(pattern.groupindex):
        raise MienError(f"corpora.{tree.name}.pattern lacks the group (?P<{sorted(lacking)[0]}>...); add it.")
    return pattern
