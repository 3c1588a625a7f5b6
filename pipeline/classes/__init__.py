"""What a finding is: its class, slots, features and status, and the scan that it belongs to."""
