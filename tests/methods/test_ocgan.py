TINY = {
    "input_px": 29, "channels": 8, "visual_channels": 4, "latent": 6, "dropout": 0.0, "batch_size": 8,
    "epochs": 3, "mining_from_epoch": 0, "learning_rate": 1e-3, "init_spread": None,
}  # fmt: skip
