"""What IDFERM prints (Liu et al., Pattern Recognition 88, 2019): Tables 1 to 6, on its own corpora."""

from mien.evaluation.markdown import Grid

IDENTITY_ERRORS = {
    0.0: 2.13, 0.001: 1.77, 0.005: 1.06, 0.01: 0.32, 0.015: 0.13, 0.02: 0.11, 0.025: 0.1, 0.03: 0.1,
}  # fmt: skip
"""Table 1: identity weight -> % of generated faces beyond 1.242; .1 from .025 to .05."""

TABLES = (
    Grid(
        ("Table 2: time of metric learning", "CK+ 7", "CK+ 8", "MMI", "Oulu-CASIA"),
        (
            ("triplet", "5 h 24", "–", "3 h 14", "–"),
            ("2B(N+M)", "1 h 47", "–", "54 min", "–"),
            ("data augmentation", "3 h 11", "–", "2 h 08", "–"),
            ("IDFERM", "42 min", "1 h 04", "30 min", "56 min"),
        ),
        "On a Titan X.",
    ),
    Grid(
        ("Table 3: accuracy, %", "CK+ 7", "MMI"),
        (
            ("MSR", "91.4", "–"),
            ("BNBN", "96.7", "–"),
            ("IBCNN", "95.1", "–"),
            ("STM", "96.3", "–"),
            ("CER", "92.34", "70.12"),
            ("CDMML", "96.6", "–"),
            ("STM-ExpLet", "94.19", "75.12"),
            ("DTAGN", "97.25", "70.2"),
            ("IACNN", "95.37", "71.55"),
            ("2B(N+M)", "97.1", "78.53"),
            ("data augmentation", "97.49", "80.26"),
            ("IDFERM", "98.35", "81.13"),
        ),
        "MMI by sequence; these are accuracies over all faces or sequences, not means over classes.",
    ),
    Grid(
        ("Tables 4 and 6: accuracy, %", "CK+ 8", "Oulu-CASIA"),
        (
            ("AUDB", "93.70", "–"),
            ("CNN+AD", "96.4", "–"),
            ("STM-ExpLet", "–", "74.59"),
            ("DTAGN", "–", "81.46"),
            ("PPDN", "–", "84.59"),
            ("FN2EN", "96.8", "87.1"),
            ("IDFERM", "97.76", "88.25"),
        ),
        "",
    ),
    Grid(
        ("Table 5: accuracy without, with Multi-PIE, %", "CK+ 7", "MMI"),
        (("2B(N+M)", "97.03, 97.10", "78.46, 78.53"), ("IDFERM", "98.32, 98.35", "81.11, 81.13")),
        "",
    ),
)
ERRATA = (
    "The paper calls 1.242 a threshold of L2 between VGG-Face features; it stems from FaceNet, where it "
    "bounds the squared distance of unit vectors. Both readings are given above, and a threshold of the "
    "network's own.",
    'Its text says that "all" generated faces pass the check with the identity loss; its Table 1 says that '
    "0.1 % fail.",
    "Its H = S - D with A positive and B negative semi-definite would drive a query away from its centre; "
    "here the form is D - S.",
    "Four weights of losses are printed and the symbols are lost; .03 for identity, .01 for pixels, .3 for "
    "symmetry and .1 for the adversary are read out of Table 1 and the work that it cites.",
)
