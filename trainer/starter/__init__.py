"""Recipe of the packaged starter checkpoint: a small Qwen2-VL that learns to read rendered pages on two CPU cores."""
