TINY = {
    "width": 0.1, "input_px": 75, "batch_size": 8, "epochs": 3, "learning_rate": 1e-3, "schedule": "cosine",
    "stem_from": "corpus", "knowledge_transfer": {"epochs": 2, "batch_size": 8, "blocks": [1, 1, 1]},
}  # fmt: skip
