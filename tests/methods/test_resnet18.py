TINY = {
    "input_px": 32, "batch_size": 8, "epochs": 3, "learning_rate": 1e-3, "label_smoothing": 0.0,
    "augmentation": {"flip": 0.5, "rotation_degrees": 5.0, "erase": 0.5},
}  # fmt: skip
