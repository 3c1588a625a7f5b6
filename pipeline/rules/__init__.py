"""What the rules decide: policy, baseline, correlation, mistakes of the scanner, score, controls, remediation."""
