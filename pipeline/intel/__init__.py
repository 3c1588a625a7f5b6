"""Local threat intelligence: lists and STIX bundles, matched against what a finding says."""
