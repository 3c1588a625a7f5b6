"""What a model learns from: made-up hosts, their cases with right answers, and how these are divided."""
