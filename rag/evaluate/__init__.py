"""Whether a retriever finds what it should: judged questions, runs, measures, comparisons, ablations."""
