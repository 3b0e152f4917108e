"""What is wrong with the documents, told before a patient meets it: `rag lint`."""
