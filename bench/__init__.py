"""This tool beside helmfile and plain helm: `bench/run` measures, docs/benchmarks/README.md explains."""
