"""Offline work on the model: data, training, quantisation, evaluation, promotion."""
