"""What is measured. A module a topic; `sandboxkit_bench.plan` puts them in order."""
