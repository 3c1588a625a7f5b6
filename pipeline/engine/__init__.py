"""Inference: tokens in, tokens out. Imports nothing of ours."""
