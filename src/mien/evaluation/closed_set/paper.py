"""What EAN's and HSNet's papers print, in percent."""

EAN_CORPORA = ("ferplus", "raf_db")

EAN_CLEAN: dict[str, tuple[float | None, float | None]] = {
    "SeNet50": (88.8, None),
    "RAN": (88.5, None),
    "RAN-VGG16": (89.16, None),
    "DLP-CNN": (None, 84.22),
    "GaCNN": (None, 85.07),
    "SCN": (89.35, 87.03),
    "EAN": (90.07, 86.36),
}
"""Tables 1 (FERPlus) and 2 (RAF-DB): overall accuracy."""

EAN_NOISE: dict[tuple[float, str], tuple[float | None, float | None]] = {
    (0.1, "CurriculumNet"): (None, 68.5),
    (0.1, "MetaCleaner"): (None, 68.45),
    (0.1, "SCN"): (84.28, 82.18),
    (0.1, "EAN"): (87.15, 84.83),
    (0.2, "CurriculumNet"): (None, 61.23),
    (0.2, "MetaCleaner"): (None, 61.35),
    (0.2, "SCN"): (83.17, 80.10),
    (0.2, "EAN"): (87.03, 84.02),
}
"""Tables 3 and 4: training labels flipped, accuracy on FERPlus and RAF-DB."""

EAN_BACKBONES: dict[str, tuple[tuple[float, float], tuple[float, float]]] = {
    "alexnet": ((63.5, 68.9), (61.0, 64.2)),
    "vgg13": ((72.0, 78.6), (70.6, 75.3)),
    "vgg16": ((73.8, 80.2), (72.5, 78.0)),
    "resnet18": ((77.6, 82.4), (74.1, 81.5)),
}
"""Table 5: without and with the generator, on FERPlus and RAF-DB."""

HSNET_LAYERS = {
    "stem.conv2d_1a": "32 x 111 x 111",
    "stem.conv2d_2a": "32 x 111 x 111",
    "stem.conv2d_2b": "32 x 109 x 109",
    "stem.maxpool_3a": "64 x 54 x 54",
    "stem.conv2d_3b": "80 x 54 x 54",
    "stem.conv2d_4a": "192 x 52 x 52",
    "stem.conv2d_4b": "256 x 25 x 25",
    "trunk.rdib_a": "256 x 25 x 25",
    "trunk.sdib_a": "896 x 12 x 12",
    "trunk.rdib_b": "896 x 12 x 12",
    "trunk.sdib_b": "1792 x 5 x 5",
    "trunk.rdib_c": "1792 x 5 x 5",
}
"""Table 1: output sizes, by our names of the layers."""

HSNET: dict[tuple[int, str], dict[str, tuple[float | None, float]]] = {
    (2, "rafd"): {
        "Bayesian": (None, 74.96),
        "ExpNet": (None, 75.00),
        "DAECNN": (None, 78.51),
        "VSDL": (None, 95.71),
        "HSCIRN": (None, 96.87),
        "SBNN": (None, 96.93),
        "DeepExp3D": (None, 97.65),
        "HSNet": (None, 99.88),
    },
    (3, "kdef"): {
        "ExpNet": (None, 71.00),
        "FDCNN": (None, 72.55),
        "HOG-SRC": (None, 78.00),
        "SDAE": (None, 86.73),
        "AFER": (None, 90.62),
        "DeepExp3D": (None, 92.24),
        "HSNet": (None, 93.35),
    },
    (4, "ferg_db"): {
        "DeepExpr": (None, 89.02),
        "EMF": (None, 97.00),
        "ANN": (None, 98.20),
        "Deep-Emotion": (None, 99.30),
        "HSNet": (None, 99.35),
    },
    (5, "raf_db"): {
        "ECNN": (None, 82.69),
        "DCNN": (72.42, 82.86),
        "Center-CNN": (73.42, 83.86),
        "DLP-CNN": (74.20, 84.13),
        "PAT-ResNet": (None, 84.19),
        "IE-DBN": (None, 84.75),
        "HSNet": (76.89, 86.67),
    },
}
"""Tables 2 to 5: mean accuracy (Table 5 alone) and accuracy."""

HSNET_ABLATION: dict[tuple[bool, bool, bool], float] = {
    (False, False, False): 84.54,
    (True, False, False): 85.10,
    (False, True, False): 85.73,
    (False, False, True): 85.26,
    (True, True, False): 86.21,
    (True, False, True): 86.05,
    (False, True, True): 86.46,
    (True, True, True): 86.67,
}
"""Table 6: accuracy on RAF-DB with and without DIB, FGAL and KTL."""

ERRATA = (
    "EAN's 86.36, 84.83 and 84.02 % on RAF-DB are no shares of its 3,068 test faces; all three are of 3,072, "
    "which batches of 48 or 64 fill. How test batches were formed is not said, and a file sorted by class "
    "gives labels away to a method that links the faces of a batch.",
    "HSNet's text says that no single part adds more than a point to the baseline; in its Table 6 FGAL adds "
    "1.19. Rows of that table differ by half a point, 15 faces, which another seed may move.",
    "HSNet's 86.67 % on RAF-DB is a share of 3,068 test faces, not of the 3,065 that it names.",
)
