"""What a test can leave behind: one file for each family of resources."""
