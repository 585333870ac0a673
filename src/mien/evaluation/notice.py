"""What every reader of a result must know: forbidden uses and limits, for the report and model cards."""

FORBIDDEN: tuple[str, ...] = (
    "European Union, Regulation (EU) 2024/1689 (AI Act), Article 5(1)(f): inferring the emotions of a person "
    "at work or in education is prohibited since 2 February 2025, except for medical or safety reasons.",
    "Other emotion recognition is a high-risk use there (Annex III, 1(c)), and people exposed to it must be "
    "told (Article 50(3)).",
    "Pictures of faces are personal data. Elsewhere too, data-protection, biometric and labour law may "
    "forbid the use or ask for consent first. Whoever uses a model is answerable for that.",
    "Not for decisions about a person: hiring, schooling, credit, insurance, policing, border control, "
    "lie detection.",
)

LIMITS: tuple[str, ...] = (
    "A model names the look of a face, as posed or as labelled by others. It does not know what one feels.",
    "Figures hold for the named corpus and protocol. Other cameras, light, poses, ages, cultures and "
    "spontaneous expressions will give others, most likely lower ones, and groups of people differ in them.",
    "An interval covers the chance of which people were tested, not the choice of corpus or of settings.",
)

RENDERED = (
    "The rendered corpus consists of faces drawn by a computer from a 3D model: no person is in it. It "
    "stands in for photographs so that every protocol runs without an archive. Figures on it compare methods "
    "with each other; they say nothing about photographs and cannot be set against a paper's."
)
