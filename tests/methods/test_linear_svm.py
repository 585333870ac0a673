TINY = {"input_px": 8}
