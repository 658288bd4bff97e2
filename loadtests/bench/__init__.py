"""Every ratio of docs/performance.md in one run; see `loadtests.bench.__main__`."""
