TINY = {
    "input_px": 21, "channels": 4, "batch_size": 8, "old_updates": 1, "generator_updates": 3,
    "discriminator_updates": 2, "old_epochs": 1, "generator_epochs": 2, "discriminator_epochs": 2,
}  # fmt: skip
