"""Makes a plan of what can be mended from findings, and writes it as a shell script, a playbook or a document."""
