"""The 52 facial actions that the mesh knows, under their ARKit names (Apple,
ARFaceAnchor.BlendShapeLocation)."""

_SIDED = (
    "browDown", "browOuterUp", "cheekSquint", "eyeBlink", "eyeLookDown", "eyeLookIn", "eyeLookOut",
    "eyeLookUp", "eyeSquint", "eyeWide", "mouthDimple", "mouthFrown", "mouthLowerDown", "mouthPress",
    "mouthSmile", "mouthStretch", "mouthUpperUp", "noseSneer",
)  # fmt: skip
_UNSIDED = (
    "browInnerUp", "cheekPuff", "jawForward", "jawLeft", "jawOpen", "jawRight", "mouthClose", "mouthFunnel",
    "mouthLeft", "mouthPucker", "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower",
    "mouthShrugUpper", "tongueOut",
)  # fmt: skip

ACTIONS: tuple[str, ...] = tuple(
    sorted([f"{a}{s}" for a in _SIDED for s in ("Left", "Right")] + list(_UNSIDED))
)
"""In this order everywhere; Left and Right are the person's own."""

PLACE = {name: number for number, name in enumerate(ACTIONS)}


def mirrored(name: str) -> str:
    """Give the action of the other side; an unsided one is its own mirror."""
    if name.endswith("Left"):
        return name[:-4] + "Right"
    return name[:-5] + "Left" if name.endswith("Right") else name
