"""The recipes on torch: pretrain, finetune, merge, quantize, export."""
